"""A plain PyTorch loop with three parts of equipoise: spectral normalisation, the hinge loss and a lazy R1 penalty.

The networks are ordinary `nn.Sequential`s and the loop is the usual one. The data are eight Gaussians on a circle; what
is printed is the share of samples near one of them and how many of the eight are reached. About eight seconds:

    python examples/plain_loop.py
"""

from math import pi

import torch
from torch import nn

from equipoise import losses, norms, penalties

ANGLES = torch.arange(8) * (pi / 4)
CENTRES = 2 * torch.stack([ANGLES.cos(), ANGLES.sin()], dim=1)
BATCH, Z_DIM = 256, 8


def mixture():
    """A batch of the eight Gaussians."""
    return CENTRES[torch.randint(8, (BATCH,))] + 0.1 * torch.randn(BATCH, 2)


def mlp(inputs, outputs, width=64):
    """Three hidden layers."""
    return nn.Sequential(
        nn.Linear(inputs, width), nn.LeakyReLU(0.2),
        nn.Linear(width, width), nn.LeakyReLU(0.2),
        nn.Linear(width, width), nn.LeakyReLU(0.2),
        nn.Linear(width, outputs),
    )  # fmt: skip


@torch.no_grad()
def coverage(G, count=2000, radius=0.4):
    """The share of samples within `radius` of a centre, and how many centres have at least 1 % of the samples."""
    distance, nearest = torch.cdist(G(torch.randn(count, Z_DIM)), CENTRES).min(dim=1)
    hits = nearest[distance < radius].bincount(minlength=8)
    return hits.sum().item() / count, (hits >= count / 100).sum().item()


def main(steps=1500, seed=0):
    """Trains, printing the coverage ten times; returns the first and the last."""
    torch.manual_seed(seed)
    G, D = mlp(Z_DIM, 2), nn.Sequential(mlp(2, 1), nn.Flatten(0))
    norms.apply(norms.spectral(), D)
    loss, r1 = losses.hinge(), penalties.r1(weight=1.0, every=8)
    opt_g = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.0, 0.9))
    opt_d = torch.optim.Adam(D.parameters(), lr=4e-3, betas=(0.0, 0.9))

    first = coverage(G)
    for step in range(1, steps + 1):
        real, fake = mixture(), G(torch.randn(BATCH, Z_DIM))

        loss_d = loss.d(D(real), D(fake.detach())) + r1(D, real, fake)
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()

        loss_g = loss.g(D(real), D(fake))
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()

        if step % max(1, steps // 10) == 0 or step == steps:
            share, modes = coverage(G)
            print(f"step {step:5}: {share:4.0%} of samples near a mode, {modes} of 8 modes")
    return first, (share, modes)


if __name__ == "__main__":
    main()
