"""The layers of a network that have a weight, and the weight as a matrix with one row per output."""

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
WEIGHTED = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)

Matrix = Float[Tensor, "outputs rest"]


class Rows(NamedTuple):
    """How a weight is a matrix [outputs, rest].

    Linear, embedding and convolution weights have their outputs first; a transposed convolution has them second,
    [inputs, outputs / groups, *kernel], and `groups` says which of the two it is.
    """

    groups: int = 0
    """Groups of a transposed convolution; 0 where outputs come first."""

    def matrix(self, weight: Tensor) -> Matrix:
        """One row per output; where outputs come first a view, if the weight is contiguous or channels last."""
        if not self.groups:
            return flat(weight)
        return weight.unflatten(0, (self.groups, -1)).transpose(1, 2).flatten(0, 1).flatten(1)

    def weight(self, matrix: Matrix, like: Tensor) -> Tensor:
        """The inverse, for a weight with the shape and layout of `like`."""
        if not self.groups:
            return unflat(matrix, like)
        inputs, outputs, *kernel = like.shape
        return matrix.reshape(self.groups, outputs, inputs // self.groups, *kernel).transpose(1, 2).reshape(like.shape)

    def spread(self, per_output: Float[Tensor, "outputs"], like: Tensor) -> Tensor:
        """One number per output, in a shape that broadcasts against the weight."""
        ones = [1] * (like.ndim - 2)
        if not self.groups:
            return per_output.view(-1, 1, *ones)
        inputs, outputs = like.shape[:2]
        spread = per_output.view(self.groups, 1, outputs).expand(-1, inputs // self.groups, -1)
        return spread.reshape(inputs, outputs, *ones)


def flat(x: Tensor) -> Matrix:
    """All but the first dimension in one, in the order in which they lie in memory: a view of most tensors."""
    if x.is_contiguous():
        return x.view(x.shape[0], -1)
    return (x.permute(0, 2, 3, 1) if is_channels_last(x) else x).flatten(1)


def row(x: Tensor) -> Tensor:
    """The one row of `flat(x)`, as a vector."""
    return x.view(-1) if x.is_contiguous() else flat(x)[0]


def unflat(matrix: Matrix, like: Tensor) -> Tensor:
    """The inverse of `flat`."""
    if not is_channels_last(like):
        return matrix.reshape(like.shape)
    count, inputs, height, width = like.shape
    return matrix.view(count, height, width, inputs).permute(0, 3, 1, 2)


def is_channels_last(x: Tensor) -> bool:
    """Whether channels are nearest in memory."""
    return x.ndim == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def rows_of(layer: nn.Module) -> Rows:
    """How the weight of this layer is a matrix."""
    return Rows(layer.groups) if isinstance(layer, TRANSPOSED) else Rows()


def fan_in(layer: nn.Module) -> float:
    """How many weights one output sees; in a transposed convolution, 1 / stride of those that reach its channel."""
    weight: Tensor = layer.get_parameter("weight")
    fan = float(rows_of(layer).matrix(weight).shape[1])
    return fan / prod(layer.stride) if isinstance(layer, TRANSPOSED) else fan


def layers(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers of `net` that have a weight, linear, convolution or embedding, with their names."""
    return ((name, module) for name, module in net.named_modules() if isinstance(module, WEIGHTED))


def device_of(net: Callable[..., Any]) -> torch.device:
    """Where a network is; of a function without weights, the CPU."""
    weights = net.parameters() if isinstance(net, nn.Module) else iter(())
    return next((weight.device for weight in weights), torch.device("cpu"))
