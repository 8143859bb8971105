"""The cost of spectral normalisation: what the algorithm needs, PyTorch's own, ours; and next to other stabilisers.

    python benchmarks/spectral_norm.py [--rounds 20] [--calls 50] [--updates 2] [--size 32] [--scale 1] [--batch 64]

The first table reads the weights of all layers of a discriminator and sends a gradient back through them, once for each
way, in turns of some calls each in this process; times are those of the best call. `needed` is two matrix-vector
products, one dot product and one rank-one update in place. The second table trains the same discriminator's step with
and without the norm. The third is SN-GAN's comparison (arXiv:1802.05957, Sec. 4.1 and App. B.2): the time of 100
generator updates relative to no norm at all.
"""

import argparse
import time
from copy import deepcopy

import torch
from torch.nn.utils.parametrizations import spectral_norm

from equipoise import constraints, games, losses, networks, norms, optimizers, penalties
from equipoise.networks import ImageShape
from equipoise.norms.fast import Together
from equipoise.spec import build
from equipoise.training import State, steps

NETWORKS = {"CIFAR ResNet, 32x32": ImageShape(3, 32, 32), "ResNet, 128x128": ImageShape(3, 128, 128)}
D_STEPS = 5
COMPARED = {  # norm, penalty, constraint
    "none": ("none", None, "none"),
    "spectral": ("spectral", None, "none"),
    "spectral, torch's": ("torch", None, "none"),
    "spectral, of the operator": ("spectral(kind='operator')", None, "none"),
    "weight": ("weight", None, "none"),
    "strict weight": ("strict_weight", None, "none"),
    "Frobenius": ("frobenius", None, "none"),
    "orthogonal": ("orthogonal", None, "none"),
    "weight clipping": ("none", None, "clip"),
    "singular value clipping": ("none", None, "clip_singular_values"),
    "orthonormal regularisation": ("none", "orthonormal", "none"),
    "spectral norm regularisation": ("none", "spectral_regularization", "none"),
    "WGAN-GP": ("none", "wgan_gp", "none"),
    "R1": ("none", "r1", "none"),
    "R1, every 5 steps": ("none", "r1(every=5)", "none"),  # once an update
}


def pair(shape, scale):
    """Generator and discriminator of SN-GAN, their widths scaled."""
    return networks.sn_resnet(g_scale=scale, d_scale=scale)(shape)


def needed(D):
    """What the algorithm must read and write, and no more."""
    weights = [layer.weight.detach().flatten(1) for _, layer in norms.layers(D)]
    gradients = [torch.randn_like(weight) for weight in weights]
    us = [torch.randn(len(weight)) for weight in weights]

    def run():
        for weight, gradient, u in zip(weights, gradients, us, strict=True):
            v = torch.mv(weight.mT, u)
            torch.mv(weight, v)
            torch.dot(gradient.view(-1), weight.view(-1))
            gradient.addr_(u, v, alpha=1e-9)

    return run


class Sent(torch.autograd.Function):
    """Sends gradients back to the weights, as the layers' own backward would."""

    @staticmethod
    def forward(ctx, gradients, *weights):
        ctx.gradients = gradients
        return weights[0].new_zeros(())

    @staticmethod
    def backward(ctx, gradient):
        return None, *ctx.gradients


def through_weights(D, together=None):
    """Reads the weight of each layer once and sends a gradient back."""
    layers = [layer for _, layer in norms.layers(D)]
    gradients = [torch.randn_like(layer.weight) for layer in layers]

    def run():
        if together:
            together.prepare(D, ())
        shown = [layer.weight for layer in layers]
        if together:
            together.forget(D, (), None)
        Sent.apply(gradients, *shown).backward()
        for layer in layers:
            layer.parametrizations.weight.original.grad = None

    return run


def torch_norm():
    return spectral_norm


def d_step(D, batch, shape):
    """One step of the discriminator on a real and a fake batch."""
    optimizer, loss = optimizers.adam()(D, 1e-4), losses.hinge()
    real, fake = torch.rand(2, batch, *shape[:3]) * 2 - 1

    def run():
        optimizer.zero_grad(set_to_none=True)
        loss.d(D(real), D(fake)).backward()
        optimizer.step()

    return run


def best(runs, rounds, calls=1):
    """The best seconds of each run, all taking turns of so many calls, after a turn to warm up."""
    times = {name: [] for name in runs}
    for round_number in range(rounds + 1):
        for name, run in runs.items():
            for _ in range(calls):
                start = time.perf_counter()
                run()
                if round_number:
                    times[name].append(time.perf_counter() - start)
    return {name: min(taken) for name, taken in times.items()}


def cost_of_the_norm(rounds, calls, scale):
    print(f"{'forward and backward of the norm alone':34}{'needed':>11}{'torch':>11}{'equipoise':>11}{'ratios':>20}")
    for name, shape in NETWORKS.items():
        _, D = pair(shape, scale)
        ours = norms.apply(norms.spectral(), deepcopy(D))
        theirs = norms.apply(torch_norm(), deepcopy(D))
        (together,) = (hook.__self__ for hook in ours._forward_pre_hooks.values())
        assert isinstance(together, Together)
        runs = {"needed": needed(D), "torch": through_weights(theirs), "ours": through_weights(ours, together)}
        times = best(runs, rounds, calls=calls if shape.height == 32 else -(-calls // 16))
        count = sum(weight.numel() for weight in D.parameters())
        cells = "".join(f"{times[way] * 1e3:8.2f} ms" for way in runs)
        ratios = f"{times['torch'] / times['ours']:.1f}x faster, {times['ours'] / times['needed']:.1f}x needed"
        print(f"{name + f', {count / 1e6:.1f} M weights':34}{cells}  {ratios}")


def share_of_a_step(rounds, batch, scale):
    print(f"\n{'discriminator step':34}{'no norm':>11}{'torch':>11}{'equipoise':>11}")
    for name, shape in NETWORKS.items():
        count = batch if shape.height == 32 else max(1, batch // 8)
        _, D = pair(shape, scale)
        nets = {"no norm": D, "torch": norms.apply(torch_norm(), deepcopy(D))}
        nets["ours"] = norms.apply(norms.spectral(), deepcopy(D))
        times = best({way: d_step(net, count, shape) for way, net in nets.items()}, rounds)
        cells = "".join(f"{times[way] * 1e3:8.1f} ms" for way in nets)
        more = {way: times[way] / times["no norm"] - 1 for way in nets}
        print(f"{name + f', batch {count}':34}{cells}  torch {more['torch']:+.1%}, equipoise {more['ours']:+.1%}")


def updates_of(norm, penalty, constraint, shape, batch, scale):
    """Generator updates of a whole training loop."""
    G, D = pair(shape, scale)
    norms.apply(torch_norm() if norm == "torch" else build(norm, norms), D)
    players = games.adversarial(
        losses.hinge(),
        [build(penalty, penalties)] if penalty else [],
        constraint=build(constraint, constraints),
        d_steps=D_STEPS,
    )
    state = State.start({"G": G, "D": D}, players, optimizers.adam(), 1e-4)
    images = (torch.rand(batch, *shape[:3]) * 2 - 1 for _ in iter(int, 1))
    rounds = steps(state, images, players)
    return lambda: next(rounds)


def comparison(rounds, batch, size, scale):
    shape = ImageShape(3, size, size)
    print(f"\n{f'sn_resnet at {size}x{size}, batch {batch}':34}{'100 G updates':>15}{'relative':>10}")
    times = best({name: updates_of(*parts, shape, batch, scale) for name, parts in COMPARED.items()}, rounds)
    for name, seconds in times.items():
        print(f"{name:34}{seconds * 100:13.1f} s{seconds / times['none']:10.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--calls", type=int, default=50, help="calls in turn in the first table")
    parser.add_argument("--updates", type=int, default=2)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--scale", type=float, default=1.0, help="of the networks' widths, for a trial")
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; best of {options.rounds} rounds")
    cost_of_the_norm(options.rounds, options.calls, options.scale)
    share_of_a_step(min(options.rounds, max(3, options.rounds // 4)), options.batch, options.scale)
    comparison(options.updates, options.batch, options.size, options.scale)


if __name__ == "__main__":
    main()
