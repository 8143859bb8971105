"""The equalised learning rate of progressive growing."""

import torch
from torch import Tensor, nn

from ..checks import check_range
from ..weights import fan_in
from .registering import Norm, check, register


def equalized(gain: float | None = 2**0.5) -> Norm:
    """w = c v, c = gain / sqrt(fan in), v ~ N(0, 1): one speed for all (Karras 2018, arXiv:1710.10196, Sec. 4.1).

    Draws the weight anew and sets the bias to 0; `gain` is 1 for layers without a ReLU after them. With `gain=None` the
    layer stays what it is, and c is the root mean square of its weights, as in the authors' Theano code.

    >>> layer = equalized()(nn.Linear(100, 50))
    >>> round(layer.weight.std().item(), 2)  # sqrt(2 / 100)
    0.14
    """
    check_range(above=0, gain=1.0 if gain is None else gain)

    @torch.no_grad()
    def normalise(layer: nn.Module) -> nn.Module:
        check(layer)
        weight = layer.get_parameter("weight")
        if gain is None:
            return register(layer, Scale(weight.square().mean().sqrt().item()))
        scale = gain / fan_in(layer) ** 0.5
        nn.init.normal_(weight, std=scale)
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.get_parameter("bias"))
        return register(layer, Scale(scale))

    return normalise


class Scale(nn.Module):
    """The parametrization v -> c v."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """The weight that the layer uses."""
        return self.scale * weight

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What is trained, of unit size."""
        return weight / self.scale if self.scale else weight
