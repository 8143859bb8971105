"""Instruments of critics: their gradients between the data, and the divergences that they estimate."""

from math import log

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..checks import check_range
from ..critic import Critic, Fakes, Images, heads, per_sample
from ..metrics.transport import solution
from .instrument import Instrument, Readings, measuring

Norms = Float[Tensor, "points batch"]
NEWTON = 50  # steps, far more than it takes
DOUBLINGS = 30  # of a step of it, at most, and halvings


@measuring
def lipschitz_estimate(*, points: int = 9) -> Instrument:
    """max |grad D(x')|, x' = x + t (G(z) - x), t on an even grid with both ends: never more than |D|_Lip.

    The gradient is that of each sample's logit, as penalties take it.

    >>> D = lambda x: x.square().sum(1) / 2  # its gradient at x is x
    >>> lipschitz_estimate(D, torch.zeros(2, 4), torch.full((2, 4), 1.5))
    {'lipschitz_estimate': 3.0}
    """
    check_range(at_least=2, points=points)

    def measure(critic: Critic, real: Images, fake: Fakes) -> Readings:
        return {"lipschitz_estimate": along_segments(critic, real, fake, points).max().item()}

    return Instrument("lipschitz_estimate", measure)


@measuring
def gradient_norms(*, points: int = 9, bins: int = 32) -> Instrument:
    """|grad D(x')|, x' = x + t (G(z) - x), t on an even grid (Gulrajani 2017, arXiv:1704.00028, Fig. 1b).

    WGAN-GP wants 1. `edges` and `counts` of a histogram from 0 to the `largest` norm, the `mean`, and the means `along`
    the segments, from real to fake.

    >>> found = gradient_norms(lambda x: x.square().sum(1) / 2, torch.zeros(1, 4), torch.ones(1, 4), points=3, bins=2)
    >>> found["along"], found["edges"], found["counts"]
    ([0.0, 1.0, 2.0], [0.0, 1.0, 2.0], [1.0, 2.0])
    """
    check_range(at_least=2, points=points)
    check_range(at_least=1, bins=bins)

    def measure(critic: Critic, real: Images, fake: Fakes) -> Readings:
        norms = along_segments(critic, real, fake, points).cpu()
        largest = norms.max().item()
        counts = torch.histc(norms, bins, 0, largest or 1.0)
        edges = torch.linspace(0, largest or 1.0, bins + 1)
        lists = {"along": norms.mean(1), "edges": edges, "counts": counts}
        return {"mean": norms.mean().item(), "largest": largest, **{name: x.tolist() for name, x in lists.items()}}

    return Instrument("gradient_norms", measure)


@measuring
def js_estimate(*, calibrated: bool = False) -> Instrument:
    """log 2 + (E log s(D(x)) + E log s(-D(G(z)))) / 2 <= JS (Arjovsky 2017, arXiv:1701.07875, Fig. 4).

    In nats, between minus infinity and log 2, s the sigmoid. Equal to the Jensen-Shannon divergence where D is optimal
    for the original loss. `calibrated` takes s(a D + b) with the best a and b: the most that these logits can say,
    whatever loss they come from. Of several heads it is the mean. On images that D was trained on it is too high.

    >>> D = lambda x: x[:, 0]
    >>> js_estimate(D, torch.zeros(4, 1), torch.zeros(4, 1))
    {'js_estimate': 0.0}
    """

    def measure(critic: Critic, real: Images, fake: Fakes) -> Readings:
        pairs = zip(heads(critic(real)), heads(critic(fake)), strict=True)
        flat = [(of_real.flatten().double(), of_fake.flatten().double()) for of_real, of_fake in pairs]
        found = [divergence(*(calibration(*pair) if calibrated else pair)).item() for pair in flat]
        return {"js_estimate": sum(found) / len(found)}

    return Instrument("js_estimate", measure)


@measuring
def transport_gap() -> Instrument:
    """W_1 - (E D(x) - E D(G(z))) / K, K = max |D(x) - D(G(z))| / |x - G(z)| over pairs (Kantorovich 1958).

    `exact` is the earth mover's distance of both batches (of unequal ones in more than one dimension by POT, `pip
    install equipoise[transport]`); `dual` is what the critic knows of it. K is its Lipschitz constant between these
    points, so that the gap is never negative, and 0 for a best critic.

    >>> x, y = torch.zeros(3, 1), torch.full((3, 1), 2.0)
    >>> transport_gap(lambda x: -5 * x[:, 0], x, y)
    {'transport_gap': 0.0, 'exact': 2.0, 'dual': 2.0}
    """

    def measure(critic: Critic, real: Images, fake: Fakes) -> Readings:
        x, y = (images.flatten(1).double() for images in (real, fake))
        of_real, of_fake = (per_sample(critic(images), len(images)).double() for images in (real, fake))
        quotients = (of_real[:, None] - of_fake).abs() / torch.cdist(x, y).clamp_min(torch.finfo(torch.float64).tiny)
        largest = quotients.nan_to_num(0.0).max().item()
        dual = (of_real.mean() - of_fake.mean()).item() / largest if largest else 0.0
        exact = solution(x, y).cost
        return {"transport_gap": exact - dual, "exact": exact, "dual": dual}

    return Instrument("transport_gap", measure)


def along_segments(critic: Critic, real: Images, fake: Fakes, points: int) -> Norms:
    """|grad D| at points that are evenly spread from each real image to a fake."""
    count = min(len(real), len(fake))
    real, fake = real[:count].detach(), fake[:count].detach()
    return torch.stack([norms_at(critic, torch.lerp(real, fake, float(t))) for t in torch.linspace(0, 1, points)])


def norms_at(critic: Critic, images: Images) -> Float[Tensor, " batch"]:
    """|grad D(x)| of each sample's logit."""
    with torch.inference_mode(False), torch.enable_grad():
        leaf = images.detach().clone().requires_grad_()
        total = per_sample(critic.again()(leaf), len(leaf)).sum()
        (gradient,) = torch.autograd.grad(total, leaf, allow_unused=True) if total.requires_grad else (None,)
    return torch.zeros(len(images)) if gradient is None else gradient.detach().flatten(1).norm(dim=1)


def divergence(real: Float[Tensor, " n"], fake: Float[Tensor, " m"]) -> Float[Tensor, ""]:
    """log 2 + E log s(real) / 2 + E log s(-fake) / 2."""
    return log(2) + (logsigmoid(real).mean() + logsigmoid(-fake).mean()) / 2


def calibration(
    real: Float[Tensor, " n"], fake: Float[Tensor, " m"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
    """a D + b for the a and b that maximise `divergence`, by Newton's method; where D tells all apart, a is large."""
    logits = torch.cat([real, fake])
    x = torch.stack([(logits - logits.mean()) / logits.std().clamp_min(1e-12), torch.ones_like(logits)], 1)
    sides = torch.cat([torch.full_like(real, 1 / len(real)), torch.full_like(fake, -1 / len(fake))])
    known = lambda w: (logsigmoid(x @ w * sides.sign()) * sides.abs()).sum()
    w = x.new_zeros(2)
    for _ in range(NEWTON):
        s = (x @ w * sides.sign()).sigmoid()
        curvature = (x.mT * (s * (1 - s) * sides.abs())) @ x
        step = torch.linalg.solve(curvature + 1e-9 * torch.eye(2).to(x), x.mT @ ((1 - s) * sides))
        shares = [2.0**power for power in range(-DOUBLINGS, DOUBLINGS)]  # of a step: far from the optimum it misleads
        w = max((w + share * step for share in (*shares, 0.0)), key=known)
    best = x @ w
    return best[: len(real)], best[len(real) :]
