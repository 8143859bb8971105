"""The number format in which layers compute statistics."""

import torch
from torch import Tensor


def wide(x: Tensor) -> Tensor:
    """`x` in float32 where its format is narrower, such as bfloat16 under autocast; float64 stays float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def per_channel(weight: Tensor, x: Tensor) -> Tensor:
    """A weight of one value a channel, [c], in the format of `x` and shaped to be broadcast with it, [c, 1, ...]."""
    return weight.to(x.dtype).reshape(-1, *[1] * (x.dim() - 2))
