"""A codec of sounds: an autoencoder of signals [b, 1, t] against a discriminator of several periods and scales.

The discriminator returns a list of (logits, features), one a head: two see the signal folded by a period, two at
some rate (HiFi-GAN, Kong 2020, arXiv:2010.05646). It is trained from the first step; the codec has
the adversarial term from `begin` signals on, balanced against the reconstruction at the decoder's last layer as in
VQGAN (Esser 2021, arXiv:2012.09841, Eq. 7), and matches the discriminator's features.

What is printed is the error on held-out signals, 1 is that of silence, and the treble: the level of what the codec
makes of them at high frequencies as a share of the signals'. The error alone loses treble; the discriminator brings
some of it back at hardly any cost in error. About fifteen seconds:

    python examples/codec.py
"""

from itertools import count, islice

import torch
from torch import nn
from torch.nn.functional import avg_pool1d, leaky_relu

from equipoise import games, losses, optimizers
from equipoise.training import Player, State, steps

BATCH, TIME, WIDTH, CODE = 16, 240, 16, 4


def signals(number, size=BATCH):
    """Sums of three decaying sinusoids, [size, 1, TIME]: a function of their number."""
    draw = lambda *shape: torch.rand(*shape, generator=generator)
    generator = torch.Generator().manual_seed(number)
    time = torch.arange(TIME) / TIME
    pitch, phase, decay, loudness = 2 + 30 * draw(size, 3, 1), 6.3 * draw(size, 3, 1), 6 * draw(size, 3, 1), 0.3
    return (loudness * (-decay * time).exp() * (6.3 * pitch * time + phase).sin()).sum(1, keepdim=True)


def codec():
    """A signal -> a code of TIME / 16 x CODE numbers -> a signal."""
    down = lambda inputs: (nn.Conv1d(inputs, WIDTH, 8, stride=4, padding=2), nn.SiLU())
    up = lambda inputs: (nn.ConvTranspose1d(inputs, WIDTH, 8, stride=4, padding=2), nn.SiLU())
    code = (nn.Conv1d(WIDTH, CODE, 3, padding=1),)
    return nn.Sequential(*down(1), *down(WIDTH), *code, *up(CODE), *up(WIDTH), nn.Conv1d(WIDTH, 1, 7, padding=3))


class Head(nn.Module):
    """A signal at 1 / scale of its rate, folded by a period -> logits [b, 1, time, period], and features."""

    def __init__(self, period=1, scale=1):
        super().__init__()
        self.period, self.scale = period, scale
        self.layers = nn.ModuleList(nn.Conv2d(n, 8, (5, 1), (3, 1), (2, 0)) for n in (1, 8, 8))
        self.last = nn.Conv2d(8, 1, (3, 1), padding=(1, 0))

    def forward(self, x):
        h, features = avg_pool1d(x, self.scale).unflatten(2, (-1, self.period)), []
        for layer in self.layers:
            features.append(h := leaky_relu(layer(h), 0.2))
        return self.last(h), features


class Discriminator(nn.Module):
    """All heads."""

    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList([*(Head(period=n) for n in (2, 3)), *(Head(scale=n) for n in (1, 2))])

    def forward(self, x):
        return [head(x) for head in self.heads]


@torch.no_grad()
def quality(A, x):
    """The error of what the codec makes of signals, 1 is that of silence, and its level at high frequencies."""
    y = A(x)
    high = [
        signal.squeeze(1).stft(48, 12, window=torch.hann_window(48), return_complex=True)[:, 8:] for signal in (y, x)
    ]
    return {
        "error": ((y - x).abs().mean() / x.abs().mean()).item(),
        "treble": (high[0].abs().sum() / high[1].abs().sum()).item(),
    }


def game(begin, weight=0.8, features=4.0):
    """The codec moves first, and the discriminator sees what it made; a `weight` of 0 leaves the GAN out."""
    loss = losses.least_squares()
    matching = losses.feature_matching(of="pairs")

    def codec(turn):
        A, critic, x = turn.nets["A"], turn.critic("D"), turn.batch
        y = turn.kept["y"] = A(x)
        error = (y - x).abs().mean()
        if turn.seen < begin or not weight:
            return {"error": error}
        fooling, matched = loss.g(critic(x), critic(y)), matching.g(critic, x, y)
        balance = games.adaptive_weight(error, fooling + features * matched, A[-1].weight)
        return {"error": error, "adversarial": weight * balance * (fooling + features * matched)}

    def discriminator(turn):
        critic = turn.critic("D")
        return {"loss": loss.d(critic(turn.batch), critic(turn.kept["y"].detach()))}

    return {"codec": Player(("A",), codec), "d": Player(("D",), discriminator, fresh=False)}


def start(begin, seed=0, weight=0.8):
    """The state before the first round, the players, and batches from so many seen signals on."""
    torch.manual_seed(seed)
    players = game(begin, weight)
    state = State.start({"A": codec(), "D": Discriminator()}, players, optimizers.adam(0.5, 0.9), 2e-3, averaged=())
    return state, players, lambda seen=0: map(signals, count(1 + seen // BATCH))


def main(rounds=300, seed=0, weight=0.8):
    """Trains, printing the quality four times; returns the first and the last."""
    state, players, batches = start(begin=BATCH * rounds // 2, seed=seed, weight=weight)
    A, held_out = state.nets["A"], signals(0, size=200)
    first = quality(A, held_out)
    for number, stats in enumerate(islice(steps(state, batches(), players), rounds), start=1):
        if number % max(1, rounds // 4) == 0 or number == rounds:
            last = quality(A, held_out) | {"loss_d": stats["d.loss"].item()}
            print(f"round {number:4}: " + ", ".join(f"{name} {value:.3f}" for name, value in last.items()))
    return first, last


if __name__ == "__main__":
    main()
