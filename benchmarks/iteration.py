"""One full generator iteration of SN-GAN's ResNet, ours against the same in plain float32 eager PyTorch.

Five discriminator steps and one generator step at 32x32, hinge loss, spectral normalisation. Both run in turn in this
process, so that other work on the machine slows both alike; the ratio is of the best times.

    python benchmarks/iteration.py [--batch 64] [--rounds 3] [--scale 1]
"""

import argparse
import time

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate, relu
from torch.nn.utils.parametrizations import spectral_norm

from equipoise import games, losses, networks, norms, optimizers
from equipoise.networks import ImageShape
from equipoise.training import State, steps
from equipoise.training.precision import choose

SHAPE = ImageShape(3, 32, 32)
D_STEPS = 5


def ours(batch, device, scale):
    """Our loop, in the precision that it chooses for this machine."""
    precision, reason = choose(device)
    G, D = networks.sn_resnet(g_scale=scale, d_scale=scale)(SHAPE)
    norms.apply(norms.spectral(), D)
    nets = {name: precision.place(net, device) for name, net in (("G", G), ("D", D))}
    players = games.adversarial(losses.hinge(), d_steps=D_STEPS)
    state = State.start(nets, players, optimizers.adam(), 2e-4)
    rounds = steps(state, endless(batch, device), players, precision=precision)
    return lambda: next(rounds), f"{str(precision.dtype).removeprefix('torch.')}: {reason}"


def plain(batch, device, scale):
    """The same networks and the same arithmetic, as one writes them by hand."""
    G, D = (net.to(device) for net in plain_pair(scale))
    opt_g, opt_d = (torch.optim.Adam(net.parameters(), 2e-4, betas=(0.0, 0.9)) for net in (G, D))
    images = endless(batch, device)

    def iteration():
        for _ in range(D_STEPS):
            real, _ = next(images)
            fake = G(torch.randn(batch, 128, device=device)).detach()
            opt_d.zero_grad()
            (relu(1 - D(real)).mean() + relu(1 + D(fake)).mean()).backward()
            opt_d.step()
        opt_g.zero_grad()
        (-D(G(torch.randn(batch, 128, device=device))).mean()).backward()
        opt_g.step()

    return iteration


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


def endless(batch, device):
    images = torch.rand(batch, *SHAPE[:3], device=device) * 2 - 1
    while True:
        yield images.clone(), None


def plain_pair(scale):
    """Both networks, their widths scaled."""
    return PlainGenerator(round(256 * scale)), PlainDiscriminator(round(128 * scale))


def check_sizes(scale):
    """Both sides must have the same networks."""
    count = lambda net: sum(weight.numel() for weight in net.parameters())
    assert [*map(count, networks.sn_resnet(g_scale=scale, d_scale=scale)(SHAPE))] == [*map(count, plain_pair(scale))]


def seconds(run, device):
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the networks' widths, for a trial")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    fast, what = ours(options.batch, device, options.scale)
    slow = plain(options.batch, device, options.scale)
    check_sizes(options.scale)
    times = {fast: [], slow: []}
    for round_number in range(options.rounds + 1):
        for run in times:
            taken = seconds(run, device)
            if round_number:  # the first round warms up
                times[run].append(taken)
    a, b = min(times[fast]), min(times[slow])
    images = options.batch * D_STEPS
    print(f"{device.type}, torch {torch.__version__}, {torch.get_num_threads()} threads, batch {options.batch}")
    print(f"plain float32  {b:7.2f} s an iteration  {images / b:7.0f} images/s")
    print(f"equipoise      {a:7.2f} s an iteration  {images / a:7.0f} images/s  ({what})")
    print(f"ratio          {b / a:7.2f}")


if __name__ == "__main__":
    main()
