"""Penalties on the gradient of the critic with respect to images.

Of several heads and of maps it is the gradient of the sum over heads of the mean over a head's values.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..checks import check_choice, check_range
from ..critic import Critic, CriticLike, Fakes, Images, Scalar
from ..processes import whole
from ..schedules import Rate, at
from .lazy import Penalty, lazily

Norms = Float[Tensor, "batch"]
Sides = Literal["two", "one", "one_unsquared"]
SIDES: dict[str, Callable[[Norms], Norms]] = {
    "two": lambda excess: excess.square(),
    "one": lambda excess: excess.relu().square(),
    "one_unsquared": lambda excess: excess.relu(),
}


def gradient(critic: CriticLike, images: Images) -> Images:
    """`Critic.gradient`: of each sample's logit with respect to that sample, differentiable in the critic's weights."""
    return Critic.of(critic).gradient(images)


def wgan_gp(weight: Rate = 10.0, target: float = 1.0, sided: Sides = "two", every: int = 1) -> Penalty:
    """w E (|grad D(x')| - t)^2, x' = e x + (1 - e) G(z), e ~ U(0, 1) (Gulrajani 2017, arXiv:1704.00028, Eq. 3).

    One norm per sample. `sided="one"` penalises norms above the target alone, w E max(0, |grad D(x')| - t)^2 (Sec. 4);
    "one_unsquared" leaves out the square. Progressive growing's (Karras 2018) target g is `target=g, weight=10 / g**2`.
    `every=16` evaluates it on each 16th step, 16 times as strong; the optimiser's lr is then to be multiplied by
    c = 16 / 17 and its betas to be raised to the power of c (Karras 2020, arXiv:1912.04958, App. B).

    >>> critic = lambda x: 3 * x.flatten(1).sum(1) / 2  # four inputs: a gradient of norm 3 everywhere
    >>> wgan_gp(weight=10.0)(critic, torch.zeros(8, 1, 2, 2), torch.ones(8, 1, 2, 2)).item()  # 10 (3 - 1)^2
    40.0
    """
    check_range(at_least=0, weight=weight, target=target)
    check_choice(sided, [*SIDES], f"sided cannot be {sided!r}")

    def penalty(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        return now(weight, critic) * SIDES[sided](_norm(gradient(critic, between(real, fake))) - target).mean()

    return lazily(every, penalty)


def zero_centered(weight: Rate = 10.0, every: int = 1) -> Penalty:
    """w E |grad D(x')|^2, x' = e x + (1 - e) G(z), e ~ U(0, 1) (Thanh-Tung 2019, arXiv:1902.03984, Eq. 12).

    >>> zero_centered(weight=2.0)(lambda x: 3 * x[:, 0], torch.zeros(3, 4), torch.ones(3, 4)).item()  # 2 times 3^2
    18.0
    """
    check_range(at_least=0, weight=weight)

    def penalty(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        return now(weight, critic) * _squared_norm(gradient(critic, between(real, fake))).mean()

    return lazily(every, penalty)


def max_gradient(weight: Rate = 1.0, every: int = 1) -> Penalty:
    """w max |grad D(x')|^2 over x' = e x + (1 - e) G(z) of the batch (Zhou 2019, arXiv:1902.05687, Sec. 4.2).

    The largest squared norm stands for the squared Lipschitz constant. Its weight depends on the data; the paper
    searches powers of ten.

    >>> critic = lambda x: torch.tensor([1.0, 3.0]) * x[:, 0]  # gradients of 1 and 3
    >>> max_gradient()(critic, torch.zeros(2, 4), torch.ones(2, 4)).item()
    9.0
    """
    check_range(at_least=0, weight=weight)

    def penalty(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        Critic.of(critic).require_whole_batch("max_gradient")
        return now(weight, critic) * whole(_squared_norm(gradient(critic, between(real, fake)))).max()

    return lazily(every, penalty)


def r1(weight: Rate = 10.0, every: int = 1) -> Penalty:
    """w/2 E |grad D(x)|^2 on real images (Mescheder 2018, arXiv:1801.04406, Eq. 9).

    The authors' code leaves out the 1/2: its 10 is 20 here. `every` as for `wgan_gp`.

    >>> critic = lambda x: x.square().sum(1) / 2  # its gradient at x is x
    >>> r1(weight=2.0)(critic, torch.full((3, 4), 0.5), torch.zeros(3, 4)).item()  # 4 times 0.25
    1.0
    """
    check_range(at_least=0, weight=weight)

    def penalty(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        return now(weight, critic) / 2 * _squared_norm(gradient(critic, real)).mean()

    return lazily(every, penalty)


def r2(weight: Rate = 10.0, every: int = 1) -> Penalty:
    """w/2 E |grad D(G(z))|^2 on fake images (Mescheder 2018, arXiv:1801.04406, Eq. 10).

    >>> critic = lambda x: x.square().sum(1) / 2  # its gradient at x is x
    >>> r2(weight=2.0)(critic, torch.zeros(3, 4), torch.full((3, 4), 0.5)).item()
    1.0
    """
    check_range(at_least=0, weight=weight)

    def penalty(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        return now(weight, critic) / 2 * _squared_norm(gradient(critic, fake)).mean()

    return lazily(every, penalty)


def dragan(weight: Rate = 10.0, target: float = 1.0, scale: float = 0.5, every: int = 1) -> Penalty:
    """w E (|grad D(x')| - t)^2, x' = x + a s std(X) u, a, u ~ U(0, 1) (Kodali 2017, arXiv:1705.07215).

    Around the data alone: fakes are not looked at. One a for each sample, one u for each value, s the `scale`. It is
    the authors' code's perturbation, with the standard deviation of the whole batch; the paper writes Gaussian noise.

    >>> dragan(weight=2.0)(lambda x: 3 * x[:, 0], torch.rand(3, 4), torch.zeros(3, 4)).item()  # 2 (3 - 1)^2
    8.0
    """
    check_range(at_least=0, weight=weight, target=target, scale=scale)

    def penalty(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        real = real.detach()
        Critic.of(critic).require_whole_batch("dragan, which takes the standard deviation of the batch,")
        noise = scale * whole(real).std(correction=0) * torch.rand_like(real)
        near = real + one_per_sample(real) * noise
        return now(weight, critic) * (_norm(gradient(critic, near)) - target).square().mean()

    return lazily(every, penalty)


def between(real: Images, fake: Images) -> Images:
    """A random point on the line between each real and its fake."""
    return torch.lerp(fake.detach(), real.detach(), one_per_sample(real))


def one_per_sample(images: Images) -> Tensor:
    """U(0, 1), one number per sample, in a shape that broadcasts against the images."""
    return torch.rand(len(images), *[1] * (images.ndim - 1), device=images.device, dtype=images.dtype)


def now(weight: Rate, critic: CriticLike) -> float:
    """The weight when so many images were seen as the critic says."""
    return at(weight, critic.seen if isinstance(critic, Critic) else None)


def _norm(gradients: Images) -> Norms:
    return gradients.flatten(1).norm(dim=1)


def _squared_norm(gradients: Images) -> Norms:
    return gradients.flatten(1).square().sum(1)
