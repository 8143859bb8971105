"""Images a second of a whole iteration of published systems: ours by its own choices, and written by hand.

python benchmarks/training.py [--only sngan-resnet r3gan] [--width 1] [--batch 64] [--rounds 3]

An iteration is every step of the discriminator, one of the generator and the average of its weights, at 32x32. By hand:
float32 and eager, two runs of the discriminator a step, each penalty with a run of its own, PyTorch's spectral_norm,
the average weight by weight, as the known repositories have it. Its networks are ours, which is in its favour, but for
`sngan-resnet`, whose are written by hand too. Both run in turns in this process, so that other work on the machine
slows both alike; the ratio is that of the best times. Ours keeps the memory that it frees, as runs do; by hand the C
library is as it comes. `--width` scales all widths, for a trial or a small machine.

What can be had is told by the operations of an iteration of ours, multiplications and additions of convolutions and
products of matrices, and by the most that the device does of them in a second, measured on one large convolution.
"""

import argparse
import ctypes
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import repeat
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, relu
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from equipoise import losses, networks, presets
from equipoise.labels import LabelSpace
from equipoise.networks import ImageShape
from equipoise.recipe import known
from equipoise.runs.assemble import assemble, rounds
from equipoise.runs.hardware import MMAP_MAX, TRIM_THRESHOLD, keep_freed_memory
from equipoise.spec import build
from equipoise.training.precision import choose
from equipoise.weights import layers

SIZE = 32
CLASSES = LabelSpace("classes", 10)
DECAY = 0.999
MMAP_THRESHOLD = -3  # a parameter of glibc's mallopt(3)


class System(NamedTuple):
    """A preset with a network of a scaled width; what by hand is put on its networks and into its loss."""

    network: Callable[[float], str]
    spectral: str = ""
    penalties: tuple[str, ...] = ()
    labels: LabelSpace = LabelSpace()


def wide(of):
    """A width, scaled."""
    return lambda scale: of.format(*(max(8, round(value * scale / 8) * 8) for value in (64, 128, 192, 4096)))


SYSTEMS = {
    "dcgan": System(wide("dcgan(g_width={0}, d_width={0})")),
    "sngan-resnet": System("sn_resnet(g_scale={0}, d_scale={0})".format, spectral="D"),
    "wgan-gp": System(wide("wgan_gp_resnet(width={1})"), penalties=("gp",)),
    "biggan": System(wide("biggan(width={0})"), spectral="GD", labels=CLASSES),
    "r3gan": System(wide("r3(g_width={2}, d_width={2})"), penalties=("r1", "r2")),
    "pggan": System(wide("pggan(fmap_base={3}, fmap_max={1}, z_dim={1})"), penalties=("gp", "drift")),
}


def recipe(name, batch, scale, device):
    """The preset, complete and without what is no part of an iteration."""
    system, preset = SYSTEMS[name], getattr(presets, name.replace("-", "_"))()
    few = {
        "batch": batch,
        "g_batch": batch,
        "images": 10**7,
        "ema_images": 10_000,
        "size": str(SIZE),
        "channels": 3,
        "range": "bytes",
    }
    simple = {
        "lr_g": 2e-4,
        "lr_d": 2e-4,
        "optimizer": "adam(beta1=0.0, beta2=0.9)",
        "growth": "none",
        "augment": "none",
    }
    if "r1" in system.penalties:
        simple["penalties"] = ("r1(weight=1.0)", "r2(weight=1.0)")
    return replace(preset, network=system.network(scale), precision=choose(device)[0].name, **few, **simple)


def ours(asked, labels, batch, device):
    """Our loop, in the precision that it chooses for this machine."""
    stream = rounds(assemble(asked, labels, device), repeat(batch), asked)

    def iteration():
        keep_freed_memory(device)
        next(stream)

    return iteration


def plain(name, asked, labels, batch, scale, device):
    """The same networks and the same arithmetic, as one writes them by hand."""
    system, (real, classes) = SYSTEMS[name], batch
    G, D = plain_pair(scale) if name == "sngan-resnet" else build(asked.network, networks)(shape(labels))
    if name != "sngan-resnet":
        for net in (net for side, net in (("G", G), ("D", D)) if side in system.spectral):
            for _, layer in [*layers(net)]:
                spectral_norm(layer)
    G, D = G.to(device).train(), D.to(device).train()
    average = [weight.detach().clone() for weight in G.parameters()]
    opt_g, opt_d = (torch.optim.Adam(net.parameters(), 2e-4, betas=(0.0, 0.9)) for net in (G, D))
    loss, z_dim = build(asked.loss, losses), getattr(G, "z_dim", 128)
    also = () if classes is None else (classes,)

    def gradient(images):
        images = images.detach().requires_grad_()
        (found,) = torch.autograd.grad(D(images, *also).sum(), images, create_graph=True)
        return found.flatten(1)

    def between(fake):
        return torch.lerp(fake, real, torch.rand(len(real), 1, 1, 1, device=device))

    penalties = {
        "gp": lambda fake: 10 * (gradient(between(fake)).norm(dim=1) - 1).square().mean(),
        "r1": lambda fake: gradient(real).square().sum(1).mean() / 2,
        "r2": lambda fake: gradient(fake).square().sum(1).mean() / 2,
        "drift": lambda fake: 1e-3 * D(real, *also).square().mean(),
    }

    def iteration():
        give_freed_memory_back()
        for _ in range(asked.d_steps):
            fake = G(torch.randn(len(real), z_dim, device=device), *also).detach()
            opt_d.zero_grad()
            total = loss.d(D(real, *also), D(fake, *also)) + sum(penalties[each](fake) for each in system.penalties)
            total.backward()
            opt_d.step()
        opt_g.zero_grad()
        fake = D(G(torch.randn(len(real), z_dim, device=device), *also), *also)
        loss.g(D(real, *also), fake).backward() if loss.paired else loss.g(fake, fake).backward()
        opt_g.step()
        with torch.no_grad():
            for mean, weight in zip(average, G.parameters(), strict=True):
                mean.mul_(DECAY).add_(weight, alpha=1 - DECAY)

    return iteration


def give_freed_memory_back():
    """The C library as it comes, with the thresholds that it finds by itself for large blocks (mallopt(3))."""
    if platform.libc_ver()[0] == "glibc":
        for parameter, value in ((MMAP_MAX, 65_536), (MMAP_THRESHOLD, 32 << 20), (TRIM_THRESHOLD, 64 << 20)):
            ctypes.CDLL(None).mallopt(parameter, value)


def shape(labels):
    """What both networks are built for."""
    return ImageShape(3, SIZE, SIZE, labels)


class PlainUp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.shortcut = nn.Conv2d(width, width, 1)

    def forward(self, x):
        h = self.conv1(interpolate(relu(self.norm1(x)), scale_factor=2))
        return self.conv2(relu(self.norm2(h))) + self.shortcut(interpolate(x, scale_factor=2))


class PlainGenerator(nn.Module):
    def __init__(self, width=256):
        super().__init__()
        self.first = nn.Linear(128, width * 16)
        self.blocks = nn.Sequential(*(PlainUp(width) for _ in range(3)))
        self.last = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 3, 3, padding=1), nn.Tanh())

    def forward(self, z):
        return self.last(self.blocks(self.first(z).unflatten(1, (-1, 4, 4))))


class PlainDown(nn.Module):
    def __init__(self, inputs, outputs, halve, first=False):
        super().__init__()
        self.halve, self.first = halve, first
        self.conv1 = spectral_norm(nn.Conv2d(inputs, outputs if first else inputs, 3, padding=1))
        self.conv2 = spectral_norm(nn.Conv2d(outputs if first else inputs, outputs, 3, padding=1))
        self.shortcut = spectral_norm(nn.Conv2d(inputs, outputs, 1)) if halve else nn.Identity()

    def forward(self, x):
        h = self.conv2(relu(self.conv1(x if self.first else relu(x)))) + self.shortcut(x)
        return avg_pool2d(h, 2) if self.halve else h


class PlainDiscriminator(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        down = [PlainDown(3, width, True, first=True), PlainDown(width, width, True)]
        self.blocks = nn.Sequential(*down, *(PlainDown(width, width, False) for _ in range(2)))
        self.last = spectral_norm(nn.Linear(width, 1, bias=False))

    def forward(self, images):
        return self.last(relu(self.blocks(images)).sum((2, 3))).squeeze(1)


def plain_pair(scale):
    """Both networks of SN-GAN by hand, their widths scaled."""
    G, D = PlainGenerator(round(256 * scale)), PlainDiscriminator(round(128 * scale))
    count = lambda net: sum(weight.numel() for weight in net.parameters())
    theirs = networks.sn_resnet(g_scale=scale, d_scale=scale)(shape(LabelSpace()))
    assert [*map(count, theirs)] == [count(G), count(D)]
    return G, D


def compare(name, options, device):
    """The row of a system: seconds of an iteration by hand and of ours, images a second of ours, the ratio."""
    asked, labels = recipe(name, options.batch, options.width, device), SYSTEMS[name].labels
    images = torch.rand(options.batch, 3, SIZE, SIZE, device=device) * 2 - 1
    classes = labels.example(options.batch)
    batch = images, None if classes is None else classes.to(device)
    runs = [plain(name, asked, labels, batch, options.width, device), ours(asked, labels, batch, device)]
    with Operations() as done:
        runs[1]()
    times = [[], []]
    for number in range(options.rounds + 1):
        for run, taken in zip(runs, times, strict=True):
            once = seconds(run, device)
            if number:  # the first round warms up
                taken.append(once)
    by_hand, own = map(min, times)
    pace, reached = options.batch * known(asked.d_steps) / own, done.count / own / options.peak
    measured = f"{by_hand:.2f} | {own:.2f} | {pace:,.0f} | {by_hand / own:.2f}"
    return f"| {name} | {asked.network} | {measured} | {done.count / 1e9:,.0f} | {reached:.0%} |"


class Operations(TorchDispatchMode):
    """Counts multiplications and additions of convolutions and products of matrices."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if (of := flop_registry.get(func._overloadpacket)) is not None:
            self.count += of(*args, **(kwargs or {}), out_val=result)
        return result


def most_a_second(dtype, device):
    """Operations a second of a large convolution, the best of several."""
    x = torch.randn(64, 512, 8, 8, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    w = torch.randn(512, 512, 3, 3, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    with torch.no_grad(), Operations() as done:
        conv2d(x, w, padding=1)
    with torch.no_grad():
        return done.count / min(seconds(lambda: conv2d(x, w, padding=1), device) for _ in range(10))


def seconds(run, device):
    """The time of an iteration."""
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), metavar="PRESET")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=float, default=1.0, help="of all networks, as a share of the published one")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    precision, reason = choose(device)
    where = f"{device.type}, torch {torch.__version__}, {torch.get_num_threads()} threads, batches of {options.batch}"
    options.peak = most_a_second(precision.dtype, device)
    print(f"{where}; ours in {precision.name}: {reason}")
    print(f"at most {options.peak / 1e9:,.0f} billion operations a second in {precision.name}\n")
    print("| preset | network | by hand, s | ours, s | ours, images/s | ratio | 10^9 operations | of the most |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.only:
        print(compare(name, options, device), flush=True)


if __name__ == "__main__":
    main()
