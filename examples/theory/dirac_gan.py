"""The Dirac-GAN's orbits, with and without R1, by simultaneous and by alternating steps, and their average.

python examples/theory/dirac_gan.py
"""

from itertools import pairwise

import numpy as np
import torch
from style import BLUE, DOCS, INK, ORANGE, RULE, SOFT, TEAL, bare, page, picture, say

from equipoise import losses, penalties

PAGE = """
# Two numbers that chase each other

The smallest GAN there is (Mescheder, Geiger and Nowozin 2018, [arXiv:1801.04406](https://arxiv.org/abs/1801.04406)): the data are one point at
0, the generator makes one point at θ, and the discriminator is a line, D(x) = ψ x. At the equilibrium both are 0.

![Orbits of the Dirac-GAN](dirac_gan.png)

Gradients of the game turn around the equilibrium: they never point to it. {steps} steps of size {lr:g} from distance {start:.2f}:

| | distance from the equilibrium after {steps} steps |
|---|---|
| both step at once | {simultaneous:.2f}: every step leads a little outwards, and they add up |
| they take turns | {alternating:.2f}: a closed orbit, for ever |
| the average of that orbit | {averaged:.2f}: the mean of a circle is its centre, which is why EMA generators are shown and scored |
| taking turns, with R1 | {r1:.3f}: the penalty γ/2 ψ² pulls the discriminator back to flat, and the orbit becomes a spiral |

The first is why GANs diverge with plain gradient steps, the last is why `penalties.r1` belongs to the default recipe. A larger γ is not
better: the spiral of γ = {strong:g} is no spiral any more but creeps in along a line, and is at {overdamped:.2f} when γ = {weight:g} is at {r1:.3f}.

Made by `python examples/theory/dirac_gan.py` with `losses.minimax` and `penalties.r1`, as a training loop would.
"""
START = (1.5, 0.0)
WEIGHT, STRONG = 0.1, 10.0
HALF_LIFE = 120  # steps of the average


def orbit(steps, lr, together=False, weight=0.0):
    """The places (theta, psi) of so many steps of gradient descent."""
    theta, psi = (torch.tensor(number, requires_grad=True) for number in START)
    loss, r1, real = losses.minimax(), penalties.r1(weight=weight), torch.zeros(1, 1)
    D = lambda x: (psi * x).flatten()
    places = [(theta.item(), psi.item())]
    for _ in range(steps):
        loss_d = loss.d(D(real), D(theta.detach().view(1, 1))) + r1(D, real, real)
        (of_psi,) = torch.autograd.grad(loss_d, psi)
        before = psi.item()
        with torch.no_grad():
            psi -= lr * of_psi
        line = torch.tensor(before) if together else psi.detach()
        (of_theta,) = torch.autograd.grad(loss.g(line * real.flatten(), line * theta.view(1)), theta)
        with torch.no_grad():
            theta -= lr * of_theta
        places.append((theta.item(), psi.item()))
    return np.array(places)


def average(places, half_life):
    """The exponential moving average of an orbit."""
    decay, means = 0.5 ** (1 / half_life), [places[0]]
    for place in places[1:]:
        means.append(decay * means[-1] + (1 - decay) * place)
    return np.array(means)


def radius(places):
    """The distance from the equilibrium at each step."""
    return np.hypot(*places.T)


def field(axes, weight, limit):
    """Where gradients point: psi up the discriminator's, theta down the generator's."""
    theta, psi = np.meshgrid(*[np.linspace(-limit, limit, 13)] * 2)
    s = lambda x: 1 / (1 + np.exp(-x))
    along = s(theta * psi) * psi, -s(theta * psi) * theta - weight * psi
    length = np.hypot(*along) + 1e-9
    axes.quiver(theta, psi, *(part / length for part in along), color=RULE, scale=26, width=0.005, pivot="mid")


def trail(axes, places, colour):
    """An orbit that gets darker on its way."""
    parts = np.array_split(np.arange(len(places)), min(40, len(places) - 1))
    edges = [part[0] for part in parts] + [len(places) - 1]
    for number, (first, last) in enumerate(pairwise(edges)):
        alpha = 0.25 + 0.75 * number / len(parts)
        axes.plot(*places[first : last + 1].T, color=colour, alpha=alpha, linewidth=1.4)
    axes.plot(*places[-1], "o", color=colour, markersize=6)


def draw(figure, found, lr, limit=3.0):
    """Four orbits, and their distances from the equilibrium."""
    shown = {
        "simultaneous": ("Both at once", ORANGE, 0.0),
        "alternating": ("In turn", BLUE, 0.0),
        "r1": ("In turn, with R1", TEAL, WEIGHT),
    }
    grid = figure.subplots(1, 4, width_ratios=(1, 1, 1, 1.25))
    for axes, (name, (title, colour, weight)) in zip(grid, shown.items(), strict=False):
        field(axes, weight, limit)
        if name == "alternating":
            trail(axes, found["averaged"], INK)
            say(axes, -0.75, 0.62, "its average", INK, fontsize=8)
        trail(axes, found[name], colour)
        axes.plot(*START, "o", markerfacecolor="white", markeredgecolor=colour, markersize=6)
        axes.plot(0, 0, "+", color=SOFT, markersize=9)
        axes.set(title=title, xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        bare(axes)
        axes.set(xlabel="generator θ", ylabel="discriminator ψ" if name == "simultaneous" else "")
    distances(grid[3], found)


def distances(axes, found):
    """How far from the equilibrium, by step."""
    words = {"simultaneous": ("both at once", ORANGE), "alternating": ("in turn", BLUE)}
    words |= {"averaged": ("its average", INK), "r1": ("with R1", TEAL)}
    for name, (word, colour) in words.items():
        distance = radius(found[name])
        axes.plot(distance, color=colour)
        say(axes, len(distance), distance[-1], f" {word}", colour, va="center", fontsize=8, annotation_clip=False)
    axes.set(title="Distance from the equilibrium", xlabel="steps", xlim=(0, 1.36 * len(distance)), ylim=(0, None))
    axes.set_xticks([0, len(distance) // 2, len(distance) - 1])
    axes.grid(axis="y", color=RULE, linewidth=0.7)


def main(out=DOCS, steps=500, lr=0.1):
    """Draws the picture and writes the page; returns the last distances."""
    found = {
        "simultaneous": orbit(steps, lr, together=True),
        "alternating": orbit(steps, lr),
        "r1": orbit(steps, lr, weight=WEIGHT),
        "overdamped": orbit(steps, lr, weight=STRONG),
    }
    found["averaged"] = average(found["alternating"], HALF_LIFE)
    last = {name: float(radius(places)[-1]) for name, places in found.items()}
    with picture(out, "dirac_gan", 11, 3.1) as figure:
        draw(figure, found, lr)
    numbers = {"steps": steps, "lr": lr, "start": float(np.hypot(*START)), "weight": WEIGHT, "strong": STRONG}
    page(out, "dirac_gan", PAGE.format(**last, **numbers))
    return last


if __name__ == "__main__":
    main()
