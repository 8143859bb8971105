"""The number format and the memory format that networks run in."""

import time
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from torch import nn

WORTHWHILE = 1.3  # the least speed-up for which bfloat16 is chosen
ROUNDS = 6


class Precision(NamedTuple):
    """How networks are run: in `dtype` by autocast where it is not float32, with channels last where that pays.

    Power iteration, penalties, averages and metrics are float32 in any case.
    """

    dtype: torch.dtype = torch.float32
    channels_last: bool = False

    def autocast(self, device: torch.device) -> AbstractContextManager[None]:
        """The context in which networks run for the losses."""
        return torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32)

    def place(self, net: nn.Module, device: torch.device) -> nn.Module:
        """The network on the device, in the memory format."""
        memory_format = torch.channels_last if self.channels_last else torch.preserve_format
        return net.to(device, memory_format=memory_format)  # type: ignore[call-overload]


FLOAT32 = Precision()
BFLOAT16 = Precision(torch.bfloat16, channels_last=True)


def choose(device: torch.device) -> tuple[Precision, str]:
    """The precision that pays on this device, and why: bfloat16 with channels last if a probe is faster in it."""
    best = {precision: float("inf") for precision in (FLOAT32, BFLOAT16)}
    for precision in [FLOAT32, BFLOAT16] * ROUNDS:  # in turn, so that other work on the machine slows both alike
        net = precision.place(probe(), device)
        best[precision] = min(best[precision], _once(net, torch.ones(32, 3, 32, 32, device=device), precision))
    ratio = best[FLOAT32] / best[BFLOAT16]
    chosen = BFLOAT16 if ratio > WORTHWHILE else FLOAT32
    return chosen, f"convolutions in bfloat16 with channels last ran {ratio:.1f} times as fast as in float32 here"


def probe() -> nn.Module:
    """A few layers such as networks are made of."""
    widths = [3, 64, 64, 64]
    convolutions = (nn.Conv2d(i, o, 3, padding=1) for i, o in zip(widths, widths[1:], strict=False))
    return nn.Sequential(*(layer for convolution in convolutions for layer in (convolution, nn.ReLU())))


def _once(net: nn.Module, images: torch.Tensor, precision: Precision) -> float:
    start = time.perf_counter()
    with precision.autocast(images.device):
        total = net(images).float().sum()
    total.backward()
    total.item()  # waits for the device
    return time.perf_counter() - start
