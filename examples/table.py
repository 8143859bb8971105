"""Rows of a table from the game that images have: `games.adversarial` on vectors, WGAN-GP (Gulrajani 2017, Eq. 3).

The columns are of mixed kinds and depend on each other: a normal, a skewed, a bounded and a binary one, and one of
three categories as one-hot. The generator's last layer gives each column its range, a softmax the categories.

What is printed is the mean absolute error of the correlations of all columns, of samples against rows that were not
seen. About ten seconds:

    python examples/table.py
"""

from itertools import count, islice

import torch
from torch import nn

from equipoise import games, losses, optimizers, penalties
from equipoise.training import State, steps

BATCH, COLUMNS, Z_DIM, WIDTH, D_STEPS = 128, 7, 8, 64, 3


def rows(number, size=BATCH):
    """Rows of the table, [size, COLUMNS]: a function of their number."""
    generator = torch.Generator().manual_seed(number)
    a, b, c, noise = torch.randn(4, size, generator=generator)
    normal, skewed, bounded = a, (0.8 * a + 0.6 * b).exp() / 2, (2 * b + c).tanh()
    binary, category = (a + c > 0.5).float(), (b + noise > 0).long() + (b - c > 1).long()
    return torch.cat([torch.stack([normal, skewed, bounded, binary], 1), nn.functional.one_hot(category, 3)], 1)


def mlp(inputs, outputs):
    """Two hidden layers."""
    hidden = nn.Linear(inputs, WIDTH), nn.LeakyReLU(0.2), nn.Linear(WIDTH, WIDTH), nn.LeakyReLU(0.2)
    return nn.Sequential(*hidden, nn.Linear(WIDTH, outputs))


class Generator(nn.Module):
    """z -> a row."""

    z_dim = Z_DIM

    def __init__(self):
        super().__init__()
        self.net = mlp(Z_DIM, COLUMNS)

    def forward(self, z):
        normal, skewed, bounded, binary, *category = self.net(z).split(1, dim=1)
        ranged = normal, nn.functional.softplus(skewed), bounded.tanh(), binary.sigmoid()
        return torch.cat([*ranged, torch.cat(category, 1).softmax(1)], 1)


@torch.no_grad()
def error(G, size=4000):
    """The mean absolute difference between correlations of samples and of rows that were not seen."""
    z = torch.randn(size, Z_DIM, generator=torch.Generator().manual_seed(0))
    return (G(z).T.corrcoef() - rows(0, size).T.corrcoef()).abs().mean().item()


def start(seed=0):
    """The state before the first round, the players, and batches from so many seen rows on."""
    torch.manual_seed(seed)
    players = games.adversarial(losses.wasserstein(), [penalties.wgan_gp(weight=1.0)], d_steps=D_STEPS)
    state = State.start({"G": Generator(), "D": mlp(COLUMNS, 1)}, players, optimizers.adam(0.0, 0.9), 1e-3)
    return state, players, lambda seen=0: map(rows, count(1 + seen // BATCH))


def main(rounds=500, seed=0):
    """Trains, printing the error of the EMA generator five times; returns the first and the last."""
    state, players, batches = start(seed)
    first = error(state.averages["G"])
    for number, _ in enumerate(islice(steps(state, batches(), players), rounds), start=1):
        if number % max(1, rounds // 5) == 0 or number == rounds:
            last = error(state.averages["G"])
            print(f"round {number:4}: error of correlations {last:.3f}, at first {first:.3f}")
    return first, last


if __name__ == "__main__":
    main()
