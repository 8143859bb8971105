"""Where features are computed: float32 all the way, so that a number does not depend on how the nets are trained."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

CHUNK = 64


def rows(look: Callable[[Tensor], Tensor], images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
    """One row per image: `look(images)`, 64 images at a time so that memory does not grow with their number."""
    with exact(images.device):
        return torch.cat([look(part) for part in torch.split(images, CHUNK)])


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """No gradients, no autocast, no TensorFloat-32; what was set before comes back afterwards."""
    users = torch.backends.cudnn.conv, torch.backends.cuda.matmul  # type: ignore[attr-defined]
    before = [user.fp32_precision for user in users]
    for user in users:
        user.fp32_precision = "ieee"
    try:
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        for user, precision in zip(users, before, strict=True):
            user.fp32_precision = precision
