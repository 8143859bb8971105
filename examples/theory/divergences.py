"""JS stays at log 2 while the earth mover's distance falls as two distributions approach.

python examples/theory/divergences.py
"""

from math import log, pi

import numpy as np
import torch
from style import BLUE, DOCS, INK, ORANGE, RULE, SOFT, TEAL, bare, page, picture, say
from torch import nn

from equipoise import instruments, losses

PAGE = """
# Two distances between distributions

Two distributions, each a thin line in the plane: the data at 0, the generator's at θ (Arjovsky, Chintala and Bottou 2017,
[arXiv:1701.07875](https://arxiv.org/abs/1701.07875), example 1). The generator should move to the left. What tells it to?

![JS and the earth mover's distance of two lines](divergences.png)

* The **earth mover's distance** is |θ|: half as far is half as bad, and its gradient is the same everywhere.
* The **Jensen-Shannon divergence** is log 2 = {log2:.4f} wherever the lines do not touch, and jumps to 0 where they are one. At θ = {far:g} and
  at θ = {near:g} it is the same number, so that its gradient is 0. The KL divergence is infinite.

Dots are measured on samples. At each θ a small discriminator is trained with `losses.minimax`, and `instruments.js_estimate` reads its logits:
{js:.4f} on average. `instruments.transport_gap` solves the transport of {count} points to {count} others exactly: {emd_far:.3f} at θ = {far:g},
{emd_near:.3f} at θ = {near:g}.

On the right the lines have some width: they are Gaussians of standard deviation {width:g}. Where they overlap JS has a gradient; at a distance of
{flat_at:.2f}, six standard deviations, it is at {flat:.1%} of log 2. This is what noise on images does (`layers.InstanceNoise`): it widens the
place where the original loss has a gradient.

Made by `python examples/theory/divergences.py`, closed forms as lines, measurements as dots.
"""
WIDTH = 0.15
THETAS = (-1.0, -0.75, -0.5, -0.25, 0.25, 0.5, 0.75, 1.0)


def line(theta, count):
    """Points of a line at theta, evenly spread: (theta, t), t from 0 to 1."""
    return torch.stack([torch.full((count,), float(theta)), torch.linspace(0, 1, count)], 1)


def discriminator(theta, steps, count=64):
    """A discriminator that was trained to tell the line at theta from that at 0."""
    torch.manual_seed(0)
    D = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0))
    loss, optimizer = losses.minimax(), torch.optim.Adam(D.parameters(), lr=0.05)
    for _ in range(steps):
        value = loss.d(D(line(0, count)), D(line(theta, count)))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return D


def js_of_gaussians(distance, width):
    """The Jensen-Shannon divergence of two Gaussians of one width, by integration."""
    x = np.linspace(-6 * width, distance + 6 * width, 20_001)
    p, q = (np.exp(-(((x - mean) / width) ** 2) / 2) / (width * (2 * pi) ** 0.5) for mean in (0, distance))
    middle = np.maximum((p + q) / 2, 1e-300)
    parts = [density * np.log(np.maximum(density, 1e-300) / middle) for density in (p, q)]
    return float(np.trapezoid(sum(parts) / 2, x))


def measured(thetas, steps, count):
    """JS by the logits of a trained discriminator, and the earth mover's distance, at each theta."""
    js, gap = instruments.js_estimate(), instruments.transport_gap()
    rows = []
    for theta in thetas:
        real, fake, D = line(0, count), line(theta, count), discriminator(theta, steps)
        rows.append((js(D, real, fake)["js_estimate"], gap(D, real, fake)["exact"]))
    return np.array(rows).T


def draw(figure, thetas, js, emd):
    """The two lines, both distances, and both for lines with a width."""
    left, middle, right = figure.subplots(1, 3, width_ratios=(0.8, 1.2, 1.2))
    for place, colour, word in ((0, BLUE, "data"), (0.75, ORANGE, "generator")):
        left.plot([place, place], [0, 1], color=colour, linewidth=5)
        say(left, place, 1.06, word, colour, ha="center")
    left.annotate("", (0.05, 0.5), (0.7, 0.5), arrowprops={"arrowstyle": "<->", "color": SOFT})
    say(left, 0.375, 0.54, "θ", SOFT, ha="center")
    left.set(xlim=(-0.25, 1.05), ylim=(-0.1, 1.25), title="Two thin lines")
    bare(left)
    theta = np.linspace(-1, 1, 401)
    middle.plot(theta, np.abs(theta), color=TEAL)
    for side in (theta < 0, theta > 0):
        middle.plot(theta[side], np.full(side.sum(), log(2)), color=INK)
    middle.plot(0, log(2), "o", markerfacecolor="white", markeredgecolor=INK, markersize=5)
    middle.plot(0, 0, "o", color=INK, markersize=5)
    middle.plot(thetas, js, "o", color=INK, markersize=3.5)
    middle.plot(thetas, emd, "o", color=TEAL, markersize=3.5)
    words(middle, "Between thin lines", 0.45, 0.33)
    right.plot(theta, np.abs(theta), color=TEAL)
    right.plot(theta, [js_of_gaussians(abs(t), WIDTH) for t in theta], color=INK)
    words(right, "Between lines with a width", 0.5, 0.36)


def words(axes, title, x, y):
    """Names of the curves at the curves."""
    say(axes, x, y, "earth mover's", TEAL)
    say(axes, 0, log(2) + 0.04, "Jensen-Shannon", INK, ha="center")
    axes.set(title=title, xlabel="θ", ylim=(-0.05, 1.05), xticks=(-1, 0, 1), yticks=(0, log(2), 1))
    axes.set_yticklabels(["0", "log 2", "1"])
    axes.grid(axis="y", color=RULE, linewidth=0.7)


def main(out=DOCS, steps=200, count=128, thetas=THETAS):
    """Draws the picture and writes the page; returns JS and the earth mover's distance by theta."""
    js, emd = measured(thetas, steps, count)
    with picture(out, "divergences", 10, 3.1) as figure:
        draw(figure, thetas, js, emd)
    flat_at = 6 * WIDTH
    near, far = (choice(range(len(thetas)), key=lambda at: abs(thetas[at])) for choice in (min, max))
    numbers = {"log2": log(2), "js": js.mean(), "near": abs(thetas[near]), "far": abs(thetas[far])}
    numbers |= {"emd_near": emd[near], "emd_far": emd[far]}
    numbers |= {"flat_at": flat_at, "flat": js_of_gaussians(flat_at, WIDTH) / log(2), "width": WIDTH, "count": count}
    page(out, "divergences", PAGE.format(**numbers))
    return dict(zip(thetas, zip(js.tolist(), emd.tolist(), strict=True), strict=True))


if __name__ == "__main__":
    main()
