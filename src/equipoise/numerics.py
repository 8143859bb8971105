"""The dtype for what must not be rounded: at least float32, whatever networks run in."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def wide_dtype(x: Tensor) -> torch.dtype:
    """The dtype of `x`, or float32 where that is narrower."""
    return torch.promote_types(x.dtype, torch.float32)


def wide(x: Tensor) -> Tensor:
    """`x` in float32 where its dtype is narrower, such as bfloat16 under autocast; float64 stays float64."""
    return x.to(wide_dtype(x))


def without_autocast(x: Tensor) -> torch.autocast:
    """A context in which operations on the device of `x` keep the dtypes of what they are given."""
    return torch.autocast(x.device.type, enabled=False)


def autocast_to(dtype: torch.dtype | None, device: torch.device) -> AbstractContextManager[None]:
    """Autocast to this dtype whatever there is around it, none with float32; None changes nothing."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
