"""BiGAN: encoder and generator are one player, against a discriminator of pairs (Donahue 2017, arXiv:1605.09782).

The discriminator tells (x, E(x)) from (G(z), z); encoder and generator minimise the same loss with both sides swapped.
Nothing compares an image with its reconstruction G(E(x)): that they come to agree is what the paper shows.

What is printed is the mean absolute error of held-out images' reconstructions, in [-1, 1], by the EMA networks, and
that of reconstructions of other images. The mean image has an error of 0.46. About twenty seconds:

    python examples/bigan.py
"""

from itertools import islice

import torch
from torch import nn

from equipoise import data, losses, optimizers
from equipoise.training import Player, State, steps

BATCH, Z_DIM, WIDTH, PIXELS = 32, 32, 256, 28 * 28


def mlp(inputs, outputs):
    """Two hidden layers."""
    hidden = nn.Linear(inputs, WIDTH), nn.LeakyReLU(0.2), nn.Linear(WIDTH, WIDTH), nn.LeakyReLU(0.2)
    return nn.Sequential(*hidden, nn.Linear(WIDTH, outputs))


def networks():
    """Encoder, generator, and the discriminator of an image and a latent vector."""
    return {
        "E": nn.Sequential(nn.Flatten(), mlp(PIXELS, Z_DIM)),
        "G": nn.Sequential(mlp(Z_DIM, PIXELS), nn.Tanh(), nn.Unflatten(1, (1, 28, 28))),
        "D": Joint(),
    }


class Joint(nn.Module):
    """An image and a latent vector -> one logit."""

    def __init__(self):
        super().__init__()
        self.net = mlp(PIXELS + Z_DIM, 1)

    def forward(self, x, z):
        return self.net(torch.cat([x.flatten(1), z], 1)).squeeze(1)


@torch.no_grad()
def errors(nets, x):
    """The mean absolute error of reconstructions, and that of reconstructions of other images."""
    made = nets["G"](nets["E"](x))
    return (made - x).abs().mean().item(), (made.roll(1, dims=0) - x).abs().mean().item()


def game():
    """Two players, three networks."""
    loss = losses.non_saturating()

    def pairs(turn):
        x, _ = turn.batch
        z = turn.latents(len(x), Z_DIM)
        return (x, turn.nets["E"](x)), (turn.nets["G"](z), z)

    def discriminator(turn):
        with torch.no_grad():
            real, fake = pairs(turn)
        return {"loss": loss.d(turn.nets["D"](*real), turn.nets["D"](*fake))}

    def encoder_and_generator(turn):
        real, fake = pairs(turn)
        return {"loss": loss.d(turn.nets["D"](*fake), turn.nets["D"](*real))}

    return {"d": Player(("D",), discriminator), "ge": Player(("G", "E"), encoder_and_generator, fresh=False)}


def start(clothes, seed=0):
    """The state before the first round, the players, and batches from so many seen images on."""
    torch.manual_seed(seed)
    players = game()
    state = State.start(networks(), players, optimizers.adam(0.5, 0.999), 1e-3, averaged=("G", "E"))
    return state, players, lambda seen=0: data.batches(clothes, BATCH, seed, start=seen)


def main(rounds=800, seed=0):
    """Trains, printing both errors four times; returns the first and the last."""
    clothes = data.load("builtin", data.Format(1, 28, 28))
    held_out = clothes.held_out.images[:500] / 127.5 - 1
    state, players, batches = start(clothes, seed)
    first = errors(state.averages, held_out)
    for number, _ in enumerate(islice(steps(state, batches(), players, ema_images=3000), rounds), start=1):
        if number % max(1, rounds // 4) == 0 or number == rounds:
            last = errors(state.averages, held_out)
            print(f"round {number:4}: error {last[0]:.3f}, of other images {last[1]:.3f}; at first {first[0]:.3f}")
    return first, last


if __name__ == "__main__":
    main()
