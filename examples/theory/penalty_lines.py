"""Penalty lines that cross where no mass moves.

python examples/theory/penalty_lines.py
"""

import numpy as np
import torch
from matplotlib.collections import LineCollection
from style import BLUE, DOCS, ORANGE, RULE, SOFT, TEAL, bare, page, picture, say

from equipoise.metrics.transport import plan

PAGE = """
# Where a gradient penalty looks

The best critic of the earth mover's distance has a gradient of norm 1 along the lines on which the **best plan** moves mass (Gulrajani et al. 2017,
[arXiv:1704.00028](https://arxiv.org/abs/1704.00028), prop. 1). WGAN-GP asks for norm 1 along lines between real and fake points **that were paired
at random**, since it does not know the plan.

![Lines of the best plan and lines between random pairs](penalty_lines.png)

Two heaps of real points, and two of fakes that lie a little above them. The best plan moves fakes nearly straight down, {best:.2f} on average. Half
of the random pairs belong to different heaps, and their lines are {random:.2f} long on average. Of the points x' that `penalties.wgan_gp` would draw on them,
**{outside:.0%} are farther than {near:g} from every line on which anything moves**, most of them in the empty middle, where lines cross.

There a best critic may do what it likes, as long as its gradient has norm 1 at most: to ask for exactly 1 is to ask for something that the theory does not.
Hence the one-sided penalty, `penalties.wgan_gp(sided="one")`, which asks for no more than 1, and penalties at the data alone, `penalties.r1` and
`penalties.dragan`. `instruments.gradient_norms` shows the norms along the same segments for any discriminator.

Made by `python examples/theory/penalty_lines.py`; the plan is that of `metrics.wasserstein`, exact.
"""
NEAR = 0.3


def points(count, seed=0):
    """Two heaps of real points, and two of fakes above them, in an order that is mixed."""
    rng = np.random.default_rng(seed)
    heap = np.where(np.arange(count) % 2, 2.0, -2.0)
    heaps = [np.stack([rng.permutation(heap), np.full(count, y)], 1) for y in (-0.5, 0.5)]
    return [torch.from_numpy(centres + 0.22 * rng.normal(size=(count, 2))) for centres in heaps]


def partners(real, fake):
    """The index of the fake that the best plan brings to each real point."""
    return plan(real, fake)[1].argmax(1)


def off_the_plan(real, fake, best, draws=20, seed=0):
    """The share of points on lines between random pairs that are far from every line of the plan."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.rand(draws, len(real), 1, dtype=real.dtype, generator=generator)
    drawn = torch.lerp(fake, real, t).flatten(0, 1)
    along = torch.lerp(fake[best][None], real[None], torch.linspace(0, 1, 30).double()[:, None, None]).flatten(0, 1)
    return (torch.cdist(drawn, along).amin(1) > NEAR).double().mean().item()


def lines(axes, real, fake, colour, title):
    """Lines between points in their order."""
    segments = np.stack([real.numpy(), fake.numpy()], 1)
    axes.add_collection(LineCollection(segments, colors=colour, linewidths=0.9, alpha=0.55, zorder=1))
    for side, shade in ((real, BLUE), (fake, ORANGE)):
        axes.plot(*side.T, "o", color=shade, markersize=4.5, markeredgecolor="white", markeredgewidth=0.6)
    axes.set(title=title, xlim=(-3, 3), ylim=(-1.6, 1.6), aspect="equal")
    bare(axes)


def draw(figure, real, fake, best):
    """The best plan, and random pairs."""
    left, right = figure.subplots(1, 2)
    lines(left, real, fake[best], TEAL, "Where mass moves: the best plan")
    lines(right, real, fake, SOFT, "Where the penalty looks: random pairs")
    right.axvspan(-1.2, 1.2, 0.14, 0.86, color=RULE, alpha=0.45, zorder=0)
    say(right, 0, 1.25, "nothing moves here", SOFT, ha="center")
    for axes in (left, right):
        say(axes, -2, 1.25, "fake", ORANGE, ha="center")
        say(axes, -2, -1.4, "real", BLUE, ha="center")


def main(out=DOCS, count=60):
    """Draws the picture and writes the page; returns the share of points that are off the plan, and mean lengths."""
    real, fake = points(count)
    best = partners(real, fake)
    lengths = [(real - other).norm(dim=1).mean().item() for other in (fake[best], fake)]
    outside = off_the_plan(real, fake, best)
    with picture(out, "penalty_lines", 10, 3.1) as figure:
        draw(figure, real, fake, best)
    numbers = {"best": lengths[0], "random": lengths[1], "outside": outside, "near": NEAR}
    page(out, "penalty_lines", PAGE.format(**numbers))
    return outside, *lengths


if __name__ == "__main__":
    main()
