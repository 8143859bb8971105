"""Where features are computed: float32 all the way, so that a number does not depend on how the nets are trained."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from jaxtyping import Float, Real
from torch import Tensor, nn

Net = TypeVar("Net", bound=nn.Module)
CHUNK = {"cpu": 16}  # what stays in its cache; elsewhere 64


def rows(look: Callable[[Tensor], Tensor], images: Real[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
    """One row per image: `look(images)`, a few images at a time so that memory does not grow with their number."""
    if not len(images):
        return rows(look, images.new_zeros(1, *images.shape[1:]))[:0]
    with exact(images.device):
        return torch.cat([look(part) for part in torch.split(images, CHUNK.get(images.device.type, 64))])


def frozen(net: Net) -> Net:
    """The network in evaluation mode, its weights channels last and without gradients: as features need it."""
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net.eval().requires_grad_(False)


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
