"""Penalties added to the discriminator's objective: functions of (critic, real images, fake images).

The critic is a function of images alone; labels and augmentation are closed over by whoever makes it. Any callable
from images to one logit a sample will do, a plain module among them.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Images = Float[Tensor, "batch *shape"]
Logits = Float[Tensor, "batch"]
Scalar = Float[Tensor, ""]
Critic = Callable[[Tensor], Tensor]
Penalty = Callable[[Critic, Images, Images], Scalar]


def gradient(critic: Critic, images: Images) -> Images:
    """The gradient of each sample's logit with respect to that sample, differentiable in the critic's weights.

    Images that are leaves and require a gradient are used as they are, so that a critic which remembers them answers
    without a second run; of others, such as a generator's, a detached copy is used, so that no gradient reaches the
    generator.
    """
    images = images if images.requires_grad and images.is_leaf else images.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return slope


def wgan_gp(weight: float = 10.0, target: float = 1.0, sided: Literal["two", "one"] = "two") -> Penalty:
    """w E (|grad D(x')| - t)^2, x' = e x + (1 - e) G(z), e ~ U(0, 1) (Gulrajani 2017, arXiv:1704.00028, Eq. 3).

    One norm a sample. `sided="one"` punishes only norms above the target: w E max(0, |grad D(x')| - t)^2 (Sec. 4).

    >>> critic = lambda x: 3 * x.flatten(1).sum(1) / 2  # four inputs: a gradient of norm 3 everywhere
    >>> wgan_gp(weight=10.0)(critic, torch.zeros(8, 1, 2, 2), torch.ones(8, 1, 2, 2)).item()  # 10 (3 - 1)^2
    40.0
    """
    _check_weight(weight)
    if sided not in ("two", "one"):
        raise ValueError(f"sided must be 'two' or 'one', not {sided!r}")

    def penalty(critic: Critic, real: Images, fake: Images) -> Scalar:
        share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device, dtype=real.dtype)
        between = torch.lerp(fake.detach(), real.detach(), share)
        excess = gradient(critic, between).flatten(1).norm(dim=1) - target
        return weight * (excess if sided == "two" else excess.relu()).square().mean()

    return penalty


def r1(weight: float = 10.0) -> Penalty:
    """w/2 E |grad D(x)|^2 on real images (Mescheder 2018, arXiv:1801.04406, Eq. 9).

    The authors' code leaves out the 1/2: its 10 is 20 here.
    """
    _check_weight(weight)
    return lambda critic, real, fake: weight / 2 * _squared_norm(gradient(critic, real)).mean()


def r2(weight: float = 10.0) -> Penalty:
    """w/2 E |grad D(G(z))|^2 on fake images (Mescheder 2018, arXiv:1801.04406, Eq. 10)."""
    _check_weight(weight)
    return lambda critic, real, fake: weight / 2 * _squared_norm(gradient(critic, fake)).mean()


def _check_weight(weight: float) -> None:
    if not weight >= 0:
        raise ValueError(f"weight must be at least 0, not {weight}")


def _squared_norm(slope: Images) -> Logits:
    return slope.flatten(1).square().sum(1)
