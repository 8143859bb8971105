"""Random numbers, one per sample, from torch's generator of the images' device.

They are drawn in float32 whatever the images are, so that a seed means the same transform in every precision.
"""

import torch
from jaxtyping import Float
from torch import Tensor

Images = Float[Tensor, "b c h w"]
Numbers = Float[Tensor, "b"]
Chance = Float[Tensor, ""]


def uniform(low: float, high: float, images: Images) -> Numbers:
    """u ~ U(low, high)."""
    return low + (high - low) * torch.rand(len(images), device=images.device, dtype=torch.float32)


def normal(deviation: float, images: Images) -> Numbers:
    """u ~ N(0, deviation^2)."""
    return deviation * torch.randn(len(images), device=images.device, dtype=torch.float32)


def perhaps(p: Chance, drawn: Numbers) -> Numbers:
    """Each of the numbers with probability p, else 0."""
    return drawn * (torch.rand_like(drawn) < p)


def beside(images: Images, numbers: Numbers) -> Float[Tensor, "b 1 1 1"]:
    """One number per sample, in the images' precision and shaped to be combined with them."""
    return numbers.to(images.dtype)[:, None, None, None]
