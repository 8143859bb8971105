"""The optimal discriminator's flat sigmoid against the least-squares and the Wasserstein critic.

python examples/theory/critics.py
"""

from math import pi

import torch
from style import BLUE, DOCS, INK, ORANGE, RULE, SOFT, TEAL, page, picture, say
from torch import nn

from equipoise import losses, penalties

PAGE = """
# The gradient that a generator gets from three critics

Real numbers around -{mean:g}, generated ones around {mean:g}, both Gaussians of standard deviation {width:g} (after figure 2 of Arjovsky, Chintala and
Bottou 2017, [arXiv:1701.07875](https://arxiv.org/abs/1701.07875)). Each critic is as good as its loss lets it be.

![Three critics between two Gaussians, and the generator's gradients](critics.png)

Thin lines are closed forms, thick ones networks of two hidden layers after {steps} steps with `losses.minimax`, `losses.least_squares` and
`losses.wasserstein`, the last under `penalties.wgan_gp`. Below is the norm of the generator's gradient at each place, how hard a generated point
is pushed to the left:

| critic | mean gradient at generated points | with the trained network |
|---|---|---|
| minimax, log(1 - s(D)) | {best_minimax:.4f} | {minimax:.4f} |
| least squares, (D - 1)² / 2 | {best_least_squares:.4f} | {least_squares:.4f} |
| Wasserstein, -D | {best_wasserstein:.4f} | {wasserstein:.4f} |

* The optimal discriminator, q / (q + p), is a **flat sigmoid**: 1 on the data, 0 on the fakes, and no gradient at either. The better it is, the
  smaller the generator's gradient. (With `losses.non_saturating` its logits are used where the sigmoid is flat, which is why that is the loss of practice.)
* The **least-squares** critic has the same optimum, and is as flat there. What helps is that networks are not optimal: a linear output that is fitted
  by least squares is seldom flat, and the loss pulls fakes by how far they are from 1, not by how sure the critic is.
* The **Wasserstein** critic is a straight line of gradient -1 between the two, wherever they are, at any distance. (Under a
  penalty of weight w the gradient's norm is 1 + W₁ / 2w, here {slope:.1f}: a gradient penalty is a soft constraint, and scales the critic a little.)

Made by `python examples/theory/critics.py`.
"""
MEAN, WIDTH = 2.0, 0.5
LOSSES = {
    "minimax": (losses.minimax(), None, INK),
    "least_squares": (losses.least_squares(), None, ORANGE),
    "wasserstein": (losses.wasserstein(), penalties.wgan_gp(weight=10.0), TEAL),
}
X = torch.linspace(-4, 4, 801)


def density(x, mean):
    """A Gaussian."""
    return torch.exp(-(((x - mean) / WIDTH) ** 2) / 2) / (WIDTH * (2 * pi) ** 0.5)


def optimal(name):
    """The best critic at each place, as the network that has it would put it out."""
    logit = -2 * MEAN * X.double() / WIDTH**2  # log q / p of two Gaussians of one width
    return {"minimax": logit, "least_squares": logit.sigmoid(), "wasserstein": -X.double()}[name]


def trained(name, steps, count=256):
    """A network after so many steps."""
    loss, penalty, _ = LOSSES[name]
    torch.manual_seed(0)
    D = nn.Sequential(nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1), nn.Flatten(0))
    optimizer = torch.optim.Adam(D.parameters(), lr=3e-3)
    for _ in range(steps):
        real, fake = WIDTH * torch.randn(2, count, 1) + torch.tensor([-MEAN, MEAN])[:, None, None]
        value = loss.d(D(real), D(fake)) + (penalty(D, real, fake) if penalty else 0)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return D(X[:, None]).detach()


def push(name, output):
    """| d loss_G / dx | where a critic has these outputs, by the chain rule."""
    outputs = output.double().requires_grad_()
    loss = LOSSES[name][0]
    each = torch.stack([loss.g(outputs[None, n].detach(), outputs[None, n]) for n in range(len(outputs))])
    (by_output,) = torch.autograd.grad(each.sum(), outputs)
    return (by_output * torch.gradient(outputs.detach(), spacing=(X.double(),))[0]).abs()


def at_fakes(pushes):
    """The mean of a push over generated points."""
    weight = density(X.double(), MEAN)
    return float((pushes * weight).sum() / weight.sum())


def shown(name, output):
    """What is drawn of a critic: a probability, an output, and a line that fits beside them."""
    return {"minimax": output.sigmoid(), "least_squares": output, "wasserstein": 0.5 + (output - output.mean()) / 8}[
        name
    ]


def draw(figure, outputs):
    """Critics over the two densities above, pushes below."""
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.5, 1))
    for mean, colour, word in ((-MEAN, BLUE, "real"), (MEAN, ORANGE, "generated")):
        above.fill_between(X, 0, 0.6 * density(X, mean), color=colour, alpha=0.16, linewidth=0)
        say(above, mean, 0.08, word, colour, ha="center")
    for name, (_, _, colour) in LOSSES.items():
        for output, thickness in ((optimal(name), 0.8), (outputs[name], 2.0)):
            above.plot(X, shown(name, output), color=colour, linewidth=thickness)
            below.plot(X, push(name, output), color=colour, linewidth=thickness)
    words(above, below)


def words(above, below):
    """Names at the curves."""
    say(above, 0.0, 1.04, "optimal discriminator: a flat sigmoid", INK, ha="center")
    say(above, -1.3, 0.55, "Wasserstein critic (an eighth of it)", TEAL, ha="right")
    say(above, 0.75, 0.2, "least squares", ORANGE)
    above.set(ylim=(-0.15, 1.2), yticks=(0, 1), title="Three critics")
    below.set(ylim=(0, 1.6), yticks=(0, 1), title="How hard the generator is pushed", xlim=(-4, 4), xlabel="x")
    say(below, 2.0, 1.28, "Wasserstein: the same everywhere", TEAL, ha="center")
    say(below, 2.5, 0.14, "minimax and least squares: next to nothing", SOFT, ha="center")
    for axes in (above, below):
        axes.grid(axis="y", color=RULE, linewidth=0.7)


def main(out=DOCS, steps=400):
    """Draws the picture and writes the page; returns the mean push at generated points, of the best and of networks."""
    outputs = {name: trained(name, steps) for name in LOSSES}
    best = {f"best_{name}": at_fakes(push(name, optimal(name))) for name in LOSSES}
    found = {name: at_fakes(push(name, output)) for name, output in outputs.items()}
    with picture(out, "critics", 9, 5) as figure:
        draw(figure, outputs)
    page(out, "critics", PAGE.format(**best, **found, mean=MEAN, width=WIDTH, steps=steps, slope=1 + 2 * MEAN / 20))
    return best | found


if __name__ == "__main__":
    main()
