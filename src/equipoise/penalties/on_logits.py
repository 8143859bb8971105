"""Penalties on logits: their size, their distance to the other side's mean, their consistency, their smoothness.

Of several heads the values are summed, of a map they are the mean over it. All ask D in float32: in bfloat16 small
differences are rounded away, and so is a small gradient of a logit that is added to that of the loss.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.parametrize import ParametrizationList

from ..checks import check_choice, check_range
from ..critic import Critic, CriticLike, Fakes, Images, Logits, Scalar, heads, per_sample
from ..processes import mean_of_all
from ..randomness import has_drawn, random_state, set_random_state
from ..schedules import Rate, at
from .lazy import Penalty, Remembering, detached, lazily

Kind = Literal["cr", "bcr", "zcr"]


def drift(weight: Rate = 1e-3) -> Penalty:
    """w E D(x)^2 on real images, which keeps a critic from drifting (Karras 2018, arXiv:1710.10196, App. A).

    >>> drift(weight=0.5)(lambda x: x[:, 0], torch.full((3, 4), 2.0), torch.zeros(3, 4)).item()
    2.0
    """
    check_range(at_least=0, weight=weight)

    def penalty(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        asked = Critic.of(critic).exact()
        squares = torch.stack([head.square().mean() for head in heads(asked(real))])
        return at(weight, asked.seen) * squares.sum()

    return penalty


def lecam(weight: Rate = 0.3, decay: float = 0.99, warm_up: int = 1_000) -> Penalty:
    """w (E max(0, D(x) - a_F)^2 + E max(0, a_R - D(G))^2), a_R and a_F averages of D (Tseng 2021, arXiv:2104.03310).

    The averages of E D(x) and E D(G), of each head its own, decay by `decay` a step; for the first `warm_up` steps they
    are the present means and the penalty is 0. As in the authors' code, which adds the max(0, .) to the paper's Eq. 3.
    """
    check_range(at_least=0, weight=weight, warm_up=warm_up)
    check_range(at_least=0, below=1, decay=decay)
    return Lecam(weight, decay, warm_up)


class Lecam(Remembering):
    """The averages of the logits of reals and fakes, and the distance of the logits from the other side's."""

    calls: Tensor

    def __init__(self, weight: Rate, decay: float, warm_up: int) -> None:
        super().__init__()
        self.weight, self.decay, self.warm_up = weight, decay, warm_up
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        """The penalty, after the averages have moved."""
        asked = Critic.of(critic).exact()
        asked.require_whole_batch("lecam")
        reals, fakes = heads(asked(real)), heads(asked(detached(fake)))
        average = self.average("real", reals), self.average("fake", fakes)
        if self.training:
            self.calls.add_(1)
        near = [(head - mean).relu().square().mean() for head, mean in zip(reals, average[1], strict=True)]
        far = [(mean - head).relu().square().mean() for head, mean in zip(fakes, average[0], strict=True)]
        return at(self.weight, asked.seen) * (self.calls > self.warm_up) * torch.stack(near + far).sum()

    @torch.no_grad()
    def average(self, side: str, logits: list[Tensor]) -> Tensor:
        """The averages of one side's heads, which in training mode take a step first."""
        means = mean_of_all(torch.stack([head.detach().mean() for head in logits]))
        averages = self.recall(side, lambda: torch.zeros_like(means))
        if self.training:
            averages.lerp_(means.to(averages), torch.where(self.calls < self.warm_up, 1.0, 1 - self.decay))
        return averages.clone()


def consistency_term(weight: Rate = 2.0, features: float = 0.1, margin: float = 0.0) -> Penalty:
    """E max(0, w |D(x') - D(x'')|^2 + w f mean |D_(x') - D_(x'')|^2 - M) (Wei 2018, arXiv:1803.01541, Eq. 4-5).

    x' and x'' are two runs of the same real through D with its own dropout, D_ its features. Squares and means as in
    the authors' code. D must have dropout (the paper: 0.2, 0.5, 0.5 in its last blocks); a D that draws nothing, or
    whose logits are alike twice, is refused.
    """
    check_range(at_least=0, weight=weight, features=features)

    def penalty(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        first = Critic.of(critic).exact()
        second, before = first.again(), random_state(real.device)
        change = _squared_change(second(real), first(real))
        if not has_drawn(real.device, before):  # power iteration changes logits too, without any dropout
            raise ValueError("consistency_term compares two runs of a D with dropout, but this D draws nothing")
        if features:
            pairs = zip(first.features(real), second.features(real), strict=True)
            change = change + features * torch.stack([(x - y).square().mean(1) for x, y in pairs]).sum(0)
        return (at(weight, first.seen) * change - margin).relu().mean()

    return penalty


def consistency(kind: Kind = "cr", weight: Rate | None = None, shift: float = 0.125, noise: float = 0.03) -> Penalty:
    """w E |D(x) - D(T x)|^2, T a random flip and shift (Zhang 2020, arXiv:1910.12027; Zhao 2020, arXiv:2002.04724).

    "cr" asks it of reals, "bcr" of fakes too. "zcr" asks D for the same logits at neighbouring latents, w E |D(G(z)) -
    D(G(z + n))|^2 with n ~ `noise` N(0, I); added to the generator's objective it is that player's half, -w E |G(z) -
    G(z + n)|^2, which keeps G from collapsing. Weights are 10, and for zcr 5 for D and 0.5 for G. `shift` is the
    largest shift as a share of the image's sides.

    >>> blind = lambda x: x.flatten(1).abs().sum(1)  # to flips, and on a flat image to shifts
    >>> consistency(kind="bcr")(blind, torch.ones(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)).item()
    0.0
    """
    check_choice(kind, ["cr", "bcr", "zcr"], f"kind cannot be {kind!r}")
    check_range(at_least=0, weight=weight or 0.0, shift=shift, noise=noise)
    if kind == "zcr":
        return _latent_consistency(weight, noise)

    def penalty(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        asked = Critic.of(critic).exact()
        sides = (real, detached(fake)) if kind == "bcr" else (real,)
        changed = [_squared_change(asked(x), asked(shifted_and_flipped(x.detach(), shift))).mean() for x in sides]
        return at(10.0 if weight is None else weight, asked.seen) * torch.stack(changed).sum()

    return penalty


def _latent_consistency(weight: Rate | None, noise: float) -> Penalty:
    def penalty(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        asked = Critic.of(critic).exact()
        z = asked.made_from()
        near = asked.generate(z + noise * torch.randn_like(z))
        if asked.generator_learns:
            return -at(0.5 if weight is None else weight, asked.seen) * (fake - near).square().mean()
        change = _squared_change(asked(detached(fake)), asked(near.detach()))
        return at(5.0 if weight is None else weight, asked.seen) * change.mean()

    return penalty


def approximate_r1(weight: Rate = 10.0, scale: float = 0.01, every: int = 1) -> Penalty:
    """w/(2 s^2) E (D(x) - D(x + s n))^2 on reals, n ~ N(0, I): `r1` approximated (Lin 2025, arXiv:2501.08316).

    It tends to w/2 E |grad D(x)|^2 as s -> 0, so that `weight` means what it means in `r1`; s is the `scale`, in units
    of the images, which go from -1 to 1. The authors' lambda is w / (2 s^2): 100 at s = 0.01 is w = 0.02. For networks
    that cannot be differentiated twice, such as sharded ones and those with fused attention.

    Both runs see the same dropout and augmentation and the same normalised weights, in float32 also under autocast,
    whose rounding is as large as the difference. `every` as for `wgan_gp`.

    >>> round(approximate_r1(weight=2.0)(lambda x: 3 * x[:, 0], torch.zeros(100_000, 1), torch.zeros(1, 1)).item(), 1)
    9.0
    """
    return _approximate(weight, scale, every, lambda real, fake: real)


def approximate_r2(weight: Rate = 10.0, scale: float = 0.01, every: int = 1) -> Penalty:
    """w/(2 s^2) E (D(G(z)) - D(G(z) + s n))^2 on fakes, n ~ N(0, I): `r2` as `approximate_r1` is `r1` (Lin 2025).

    >>> round(approximate_r2(weight=2.0)(lambda x: 3 * x[:, 0], torch.zeros(1, 1), torch.zeros(100_000, 1)).item(), 1)
    9.0
    """
    return _approximate(weight, scale, every, lambda real, fake: fake)


def _approximate(weight: Rate, scale: float, every: int, side: Callable[[Images, Fakes], Images]) -> Penalty:
    check_range(at_least=0, weight=weight)
    check_range(above=0, scale=scale)

    def penalty(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        images, asked = detached(side(real, fake)), Critic.of(critic).exact()
        with resting(asked.D):
            change = _change(asked, images, images + scale * torch.randn_like(images))
        return at(weight, asked.seen) / (2 * scale**2) * change.square().mean()

    return lazily(every, penalty)


def _change(critic: Critic, images: Images, moved: Images) -> Float[Tensor, "batch"]:
    """D(x) - D(x'), both with the same random numbers; where D draws none, D(x) is that of the loss."""
    before = random_state(images.device)
    second = per_sample(critic.again()(moved), len(images))
    if not has_drawn(images.device, before):
        return per_sample(critic(images), len(images)) - second
    set_random_state(images.device, before)
    return per_sample(critic.again()(images), len(images)) - second


@contextmanager
def resting(net: Callable[..., Any]) -> Iterator[None]:
    """Inside, power iteration takes no step, so that normalised weights stay what they were in the run before."""
    modules = [*net.modules()] if isinstance(net, nn.Module) else []
    chains = [part for part in modules if isinstance(part, ParametrizationList)]
    hooked = [part for part in modules if hasattr(part, "weight_u")]  # by PyTorch's older spectral_norm
    moving = [part for part in (*(part for chain in chains for part in chain.modules()), *hooked) if part.training]
    for part in moving:
        part.training = False
    try:
        yield
    finally:
        for part in moving:
            part.training = True


def shifted_and_flipped(images: Images, share: float) -> Images:
    """Each image shifted by up to `share` of its sides, with what is at its edge repeated, and half of them flipped."""
    height, width = images.shape[-2:]
    rows, columns = round(share * height), round(share * width)
    down = torch.randint(0, 2 * rows + 1, (len(images), 1, 1), device=images.device)
    right = torch.randint(0, 2 * columns + 1, (len(images), 1, 1), device=images.device)
    flip = torch.rand(len(images), 1, 1, device=images.device) < 0.5
    x = torch.arange(width, device=images.device)
    x = torch.where(flip, width - 1 - x, x)
    y = torch.arange(height, device=images.device)[:, None]
    padded = pad(images, (columns, columns, rows, rows), mode="replicate").movedim(1, -1)
    sample = torch.arange(len(images), device=images.device)[:, None, None]
    return padded[sample, y + down, x + right].movedim(-1, 1)


def _squared_change(one: Logits, other: Logits) -> Float[Tensor, "batch"]:
    """|D(x) - D(y)|^2 of each sample, the mean over a map, the sum over heads."""
    squares = [(a - b).square() for a, b in zip(heads(one), heads(other), strict=True)]
    return per_sample(squares, len(squares[0]))
