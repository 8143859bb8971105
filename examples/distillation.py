"""A teacher of many steps distilled into a student of one, with an adversarial term.

The teacher is a flow that walks from noise to data in eight steps (rectified flow, Liu 2022, arXiv:2209.03003), with
batch normalisation. It is handed over in evaluation mode and no player owns it, so that neither its weights nor its
running statistics change, and no checkpoint holds it. The student takes the whole way at once: it is to arrive where
the teacher does, and where a discriminator finds data. With both it ends nearer to the data than the teacher; with the
error alone, `weight=0`, it does not.

The data are eight Gaussians on a circle; what is printed is the energy distance of the student's samples to the data,
and that of the teacher's. About ten seconds:

    python examples/distillation.py
"""

from itertools import count, islice
from math import pi

import torch
from torch import nn

from equipoise import losses, optimizers, penalties
from equipoise.training import Player, State, steps

BATCH, WIDTH, WALK = 256, 64, 8


def mixture(number, size=BATCH):
    """A batch of eight Gaussians on a circle: a function of its number."""
    generator = torch.Generator().manual_seed(number)
    angle = torch.randint(8, (size,), generator=generator) * (pi / 4)
    return 1.5 * torch.stack([angle.cos(), angle.sin()], 1) + 0.1 * torch.randn(size, 2, generator=generator)


def mlp(inputs, outputs, norm=nn.Identity):
    """Three hidden layers."""
    layers = [part for n in (inputs, WIDTH, WIDTH) for part in (nn.Linear(n, WIDTH), norm(WIDTH), nn.SiLU())]
    return nn.Sequential(*layers, nn.Linear(WIDTH, outputs))


class Teacher(nn.Module):
    """z -> x, on the way that the velocities of a network give."""

    def __init__(self):
        super().__init__()
        self.velocity = mlp(3, 2, nn.BatchNorm1d)

    def at(self, x, time):
        return self.velocity(torch.cat([x, time.expand(len(x), 1)], 1))

    def forward(self, z):
        for time in torch.arange(WALK) / WALK:
            z = z + self.at(z, time) / WALK
        return z


def taught(rounds, seed):
    """A teacher, trained to go straight from noise to data."""
    torch.manual_seed(seed)
    teacher = Teacher()
    optimizer = torch.optim.Adam(teacher.parameters(), 4e-3)
    for x in map(mixture, range(1, rounds + 1)):
        z, time = torch.randn_like(x), torch.rand(len(x), 1)
        loss = (teacher.at(z + time * (x - z), time) - (x - z)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return teacher.eval()


@torch.no_grad()
def distance(net, size=2000):
    """The energy distance to the data, 2 E |x - y| - E |x - x'| - E |y - y'| (Szekely 2013)."""
    x, y = mixture(0, size), net(torch.randn(size, 2, generator=torch.Generator().manual_seed(1)))
    return (2 * torch.cdist(x, y) - torch.cdist(x, x) - torch.cdist(y, y)).mean().item()


def game(weight):
    """The student is the generator; the teacher is only asked."""
    loss, r1 = losses.relativistic(), penalties.r1(weight=0.2)

    def student(turn):
        z = turn.latents(len(turn.batch), 2)
        fake, critic = turn.nets["S"](z), turn.critic("D")
        with torch.no_grad():
            wanted = turn.nets["T"](z)
        turn.kept["fake"] = fake.detach()
        fooling = loss.g(critic(turn.batch), critic(fake))
        return {"error": (fake - wanted).square().mean(), "fooling": weight * fooling}

    def discriminator(turn):
        critic, real, fake = turn.critic("D"), turn.batch, turn.kept["fake"]
        return {"loss": loss.d(critic(real), critic(fake)), "r1": r1(critic, real, fake)}

    return {"s": Player(("S",), student), "d": Player(("D",), discriminator, fresh=False, components=(r1,))}


def start(teacher, seed=0, weight=1.0):
    """The state before the first round, the players, and batches from so many seen samples on."""
    torch.manual_seed(seed)
    players, nets = game(weight), {"S": mlp(2, 2), "D": nn.Sequential(mlp(2, 1), nn.Flatten(0)), "T": teacher}
    state = State.start(nets, players, optimizers.adam(0.0, 0.99), 1e-3, averaged=("S",))
    return state, players, lambda seen=0: map(mixture, count(1 + seen // BATCH))


def main(rounds=500, seed=0, weight=1.0):
    """Trains, printing both distances five times; returns the student's first and last, and the teacher's."""
    teacher = taught(rounds, seed)
    state, players, batches = start(teacher, seed, weight)
    first, goal = distance(state.averages["S"]), distance(teacher)
    for number, _ in enumerate(islice(steps(state, batches(), players), rounds), start=1):
        if number % max(1, rounds // 5) == 0 or number == rounds:
            last = distance(state.averages["S"])
            print(f"round {number:4}: energy distance {last:.4f}, at first {first:.4f}, the teacher's {goal:.4f}")
    return first, last, goal


if __name__ == "__main__":
    main()
