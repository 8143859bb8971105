"""The residual blocks of SN-GAN and of those that build on it."""

from collections.abc import Callable
from math import sqrt

from torch import nn

from ..layers import ConvolveThenHalve, DoubleThenConvolve
from .chain import Chain, Residual
from .conditioning import feature_norm
from .init import glorot

Normalize = Callable[[int], nn.Module]  # channels -> normalisation


def up_block(norm: Normalize, inputs: int, outputs: int) -> Residual:
    """norm - ReLU - double - conv3 - norm - ReLU - conv3, beside conv1 - double."""
    first = norm(inputs), nn.ReLU(), glorot(DoubleThenConvolve(inputs, outputs), sqrt(2))
    second = norm(outputs), nn.ReLU(), glorot(nn.Conv2d(outputs, outputs, 3, 1, 1), sqrt(2))
    return Residual(Chain(*first, *second), Chain(glorot(nn.Conv2d(inputs, outputs, 1)), nn.Upsample(scale_factor=2)))


def first_block(inputs: int, outputs: int) -> Residual:
    """conv3 - ReLU - conv3 - halve, beside halve - conv1: the block that sees the image itself."""
    first = glorot(nn.Conv2d(inputs, outputs, 3, 1, 1), sqrt(2))
    second = glorot(ConvolveThenHalve(outputs, outputs), sqrt(2))
    return Residual(Chain(first, nn.ReLU(), second), Chain(nn.AvgPool2d(2), glorot(nn.Conv2d(inputs, outputs, 1))))


def down_block(inputs: int, outputs: int, halve: bool, hidden: int | None = None, normalize: str = "none") -> Residual:
    """ReLU - conv3 - ReLU - conv3 [- halve], beside [halve -] conv1 or, where nothing changes, the identity."""
    hidden = inputs if hidden is None else hidden
    convolution = ConvolveThenHalve(hidden, outputs) if halve else nn.Conv2d(hidden, outputs, 3, 1, 1)
    first = feature_norm(normalize, inputs), nn.ReLU(), glorot(nn.Conv2d(inputs, hidden, 3, 1, 1), sqrt(2))
    second = feature_norm(normalize, hidden), nn.ReLU(), glorot(convolution, sqrt(2))
    if inputs == outputs and not halve:
        return Residual(Chain(*first, *second), nn.Identity())
    shortcut = [nn.AvgPool2d(2)] * halve + [glorot(nn.Conv2d(inputs, outputs, 1))]
    return Residual(Chain(*first, *second), Chain(*shortcut))
