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


def autocast_to(dtype: torch.dtype | None, x: Tensor) -> AbstractContextManager[None]:
    """Autocast to this dtype on the device of `x`, whatever there is around it; None changes nothing."""
    return nullcontext() if dtype is None else torch.autocast(x.device.type, dtype)


def dtype_in_penalties(device: torch.device) -> torch.dtype | None:
    """That of D in penalties, where its loss is computed now: bfloat16 there too, else None, the one of penalties.

    In float16 gradients with respect to images, which no factor scales, would be rounded to 0.
    """
    enabled, dtype = torch.is_autocast_enabled(device.type), torch.get_autocast_dtype(device.type)
    return dtype if enabled and dtype == torch.bfloat16 else None
