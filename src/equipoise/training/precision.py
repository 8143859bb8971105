"""The dtype and the memory format of networks in training."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

import torch
from torch import nn

from ..numerics import autocast_to


class Precision(NamedTuple):
    """How networks are run: in `dtype` by autocast where it is not float32, with channels last where that pays.

    Power iteration, averages and metrics are float32 in any case. Penalties are too, but in bfloat16 the gradient of
    the discriminator with respect to images, and its double backward, are computed as its loss is. On a GPU the
    products of float32 numbers in training are rounded to TensorFloat-32's ten bits where `tf32` says so, and only
    there: with `float32` nothing is, with `tf32`, `bfloat16` and `float16` what is left in float32. Metrics and the
    decompositions of norms and constraints never are.
    """

    name: str = "float32"
    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    tf32: bool = False

    @property
    def needs_scale(self) -> bool:
        """Whether small gradients are rounded to 0 unless losses are scaled."""
        return self.dtype == torch.float16

    @property
    def of_critics(self) -> torch.dtype | None:
        """The dtype of a discriminator for losses and penalties alike; None where it is float32 for penalties.

        In float16 gradients with respect to images, which no factor scales, would be rounded to 0.
        """
        return self.dtype if self.dtype == torch.bfloat16 else None

    def autocast(self, device: torch.device) -> AbstractContextManager[None]:
        """The context in which networks run for the losses."""
        return autocast_to(self.dtype, device)

    def place(self, net: nn.Module, device: torch.device) -> nn.Module:
        """The network on the device, in the memory format."""
        memory_format = torch.channels_last if self.channels_last else torch.preserve_format
        return net.to(device, memory_format=memory_format)  # type: ignore[call-overload]

    @contextmanager
    def settings(self, device: torch.device) -> Iterator[None]:
        """On a GPU, sets TensorFloat-32 as stated and lets cuDNN choose by trial; what was set before comes back."""
        if device.type != "cuda":
            yield
            return
        cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
        before = cudnn.conv.fp32_precision, products.fp32_precision, cudnn.benchmark  # type: ignore[attr-defined]
        rounding = "tf32" if self.tf32 else "ieee"
        try:
            cudnn.conv.fp32_precision, products.fp32_precision = rounding, rounding  # type: ignore[attr-defined]
            cudnn.benchmark = True
            yield
        finally:
            cudnn.conv.fp32_precision, products.fp32_precision, cudnn.benchmark = before  # type: ignore[attr-defined]


FLOAT32 = Precision()
TF32 = Precision("tf32", tf32=True)
BFLOAT16 = Precision("bfloat16", torch.bfloat16, channels_last=True, tf32=True)
FLOAT16 = Precision("float16", torch.float16, channels_last=True, tf32=True)
PRECISIONS = {precision.name: precision for precision in (FLOAT32, TF32, BFLOAT16, FLOAT16)}


def choose(device: torch.device) -> tuple[Precision, str]:
    """The precision that the hardware has units for, and why: the same on the same machine, however busy it is."""
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device) >= (8, 0):
            return BFLOAT16, "this GPU has units for bfloat16"
        if torch.cuda.get_device_capability(device) >= (7, 0):
            return FLOAT16, "this GPU has units for float16, and none for bfloat16"
        return FLOAT32, "this GPU has units for neither bfloat16 nor float16"
    if device.type == "cpu" and torch.backends.mkldnn.is_available() and multiplies_bfloat16():
        return BFLOAT16, "this CPU has instructions for products of bfloat16"
    return FLOAT32, "this processor has no instructions for products of bfloat16"


def multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions for it, in tiles (AMX) or in vectors (AVX-512); else it would be emulated."""
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(asked() for name in names if (asked := getattr(torch.cpu, name, None)))
