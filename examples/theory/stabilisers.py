"""What clipping, a gradient penalty and spectral normalisation do to a critic of points in the plane.

python examples/theory/stabilisers.py
"""

from math import pi

import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap
from style import BLUE, DOCS, INK, ORANGE, RULE, SOFT, TEAL, bare, page, picture
from torch import nn

from equipoise import constraints, instruments, losses, norms, penalties

PAGE = """
# Three ways to keep a critic smooth

The same critic, three hidden layers of {width} units, learns for {steps} steps to tell eight Gaussians on a circle from one blob in their middle, with
`losses.wasserstein`. Its Lipschitz constant is kept in bounds in three ways (after figures 1 and 2 of Gulrajani et al. 2017,
[arXiv:1704.00028](https://arxiv.org/abs/1704.00028)).

![Level lines, gradient norms, weights and singular values of three critics](stabilisers.png)

| | largest gradient (`lipschitz_estimate`) | mean gradient | product of norms (`lipschitz_bound`) | weights at the bound | effective rank of the second layer |
|---|---|---|---|---|---|
| clipping, `constraints.clip({clip:g})` | {rows[clip].estimate:.3f} | {rows[clip].mean:.3f} | {rows[clip].bound:.3g} | {rows[clip].edge:.0%} | {rows[clip].rank:.1f} |
| gradient penalty, `penalties.wgan_gp()` | {rows[penalty].estimate:.2f} | {rows[penalty].mean:.2f} | {rows[penalty].bound:.3g} | | {rows[penalty].rank:.1f} |
| spectral normalisation, `norms.spectral()` | {rows[spectral].estimate:.2f} | {rows[spectral].mean:.2f} | {rows[spectral].bound:.3g} | | {rows[spectral].rank:.1f} |

* **Clipping** drives weights to the two ends of the interval. The layers use few directions, the critic is simple, and the norm of its gradients is an
  accident of the bound and the depth: far from 1.
* The **gradient penalty** holds gradients near 1 (dashed) between real and fake points, whatever the weights are. The product of the layers' norms
  is {loose:.1f} times the largest gradient: a bound, and a loose one.
* **Spectral normalisation** bounds every layer by 1 (about 1: power iteration is a little behind, `instruments.sigma_error`), and with it the whole
  critic everywhere, also far from the data. Gradients stay below the bound: the directions in which layers stretch do not line up.

All numbers are those of `equipoise.instruments`, as is the spectrum in the last row. Made by `python examples/theory/stabilisers.py`.
"""
WIDTH, CLIP = 64, 0.05
KINDS = {
    "clip": ("Weight clipping", ORANGE),
    "penalty": ("Gradient penalty", TEAL),
    "spectral": ("Spectral normalisation", BLUE),
}


class Row:
    """What instruments say of a critic."""

    def __init__(self, D, real, fake):
        norms_found = instruments.gradient_norms(D, real, fake, bins=40)
        self.mean, self.edges, self.counts = (norms_found[name] for name in ("mean", "edges", "counts"))
        self.estimate = instruments.lipschitz_estimate(D, real, fake)["lipschitz_estimate"]
        self.bound = instruments.lipschitz_bound(D)["lipschitz_bound"]
        self.rank = instruments.effective_rank(D)["2"]
        self.spectrum = instruments.spectrum(D)["2.reshaped"]
        self.weights = D[2].weight.detach().flatten()
        self.edge = (
            (torch.cat([w.detach().flatten() for w in D.parameters()]).abs() > 0.99 * CLIP).float().mean().item()
        )


def sides(count):
    """Eight Gaussians on a circle, and a blob in their middle."""
    angle = torch.randint(8, (count,)) * (pi / 4)
    real = 2 * torch.stack([angle.cos(), angle.sin()], 1) + 0.1 * torch.randn(count, 2)
    return real, 0.5 * torch.randn(count, 2)


def critic():
    """Three hidden layers."""
    hidden = [part for inputs in (2, WIDTH, WIDTH) for part in (nn.Linear(inputs, WIDTH), nn.LeakyReLU(0.2))]
    return nn.Sequential(*hidden, nn.Linear(WIDTH, 1), nn.Flatten(0))


def trained(kind, steps, count=128):
    """A critic under one of the three."""
    torch.manual_seed(0)
    D, loss, gp, clip = critic(), losses.wasserstein(), penalties.wgan_gp(), constraints.clip(CLIP)
    if kind == "spectral":
        norms.apply(norms.spectral(), D)
    optimizer = torch.optim.Adam(D.parameters(), lr=2e-3, betas=(0.5, 0.9))
    for _ in range(steps):
        real, fake = sides(count)
        value = loss.d(D(real), D(fake)) + (gp(D, real, fake) if kind == "penalty" else 0)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        if kind == "clip":
            clip(D)
    return D.eval()


@torch.no_grad()
def levels(axes, D, colour, real, fake):
    """The critic's values as shades with level lines, and some of the points."""
    x, y = np.meshgrid(*[np.linspace(-3, 3, 90)] * 2)
    values = D(torch.from_numpy(np.stack([x.ravel(), y.ravel()], 1)).float()).view(x.shape).numpy()
    shades = LinearSegmentedColormap.from_list("values", ["white", colour])
    axes.contourf(x, y, values, 14, cmap=shades, alpha=0.55)
    axes.contour(x, y, values, 14, colors=INK, linewidths=0.4, linestyles="solid", alpha=0.6)
    axes.plot(*real[:150].T, ".", color=INK, markersize=2.5)
    axes.plot(*fake[:100].T, ".", color="white", markersize=3, markeredgecolor=INK, markeredgewidth=0.3)
    axes.set(aspect="equal", xlim=(-3, 3), ylim=(-3, 3))
    bare(axes)


def bars(axes, values, edges, colour, word):
    """A histogram, as tall as its panel."""
    axes.bar(edges[:-1], values, np.diff(edges), align="edge", color=colour, linewidth=0)
    axes.set(yticks=[], xlabel=word)
    axes.spines["left"].set_visible(False)


def draw(figure, critics, rows, real, fake):
    """A column for each: level lines, gradient norms, weights and singular values of the second layer."""
    grid = figure.subplots(4, 3, height_ratios=(2.6, 0.7, 0.7, 0.7))
    for column, (kind, (title, colour)) in enumerate(KINDS.items()):
        levels(grid[0, column], critics[kind], colour, real, fake)
        grid[0, column].set_title(title)
        row = rows[kind]
        bars(grid[1, column], row.counts, np.array(row.edges), colour, "gradient norm, from real to fake")
        grid[1, column].set(xlim=(0, max(1.5, row.edges[-1])), xticks=(0, 0.5, 1, 1.5))
        counts, edges = np.histogram(row.weights, 50)
        bars(grid[2, column], counts, edges, colour, "weights of the second layer")
        places = np.arange(len(row.spectrum))
        axes = grid[3, column]
        axes.fill_between(places, row.spectrum, color=colour, alpha=0.2, linewidth=0)
        axes.plot(places, row.spectrum, color=colour)
        axes.set(xlabel="its singular values", xticks=[], ylim=(0, None), yticks=[0, row.spectrum[0]])
        axes.set_yticklabels(["0", f"{row.spectrum[0]:.2g}"])
        axes.grid(axis="y", color=RULE, linewidth=0.7)
    grid[1, 1].axvline(1, color=SOFT, linewidth=1, dashes=(3, 3))


def main(out=DOCS, steps=600):
    """Draws the picture and writes the page; returns what instruments say of each critic."""
    critics = {kind: trained(kind, steps) for kind in KINDS}
    torch.manual_seed(1)
    real, fake = sides(256)
    rows = {kind: Row(D, real, fake) for kind, D in critics.items()}
    with picture(out, "stabilisers", 9, 7) as figure:
        draw(figure, critics, rows, real, fake)
    loose = rows["penalty"].bound / rows["penalty"].estimate
    page(out, "stabilisers", PAGE.format(rows=rows, width=WIDTH, steps=steps, clip=CLIP, loose=loose))
    return rows


if __name__ == "__main__":
    main()
