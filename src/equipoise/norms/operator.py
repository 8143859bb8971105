"""W / |A|, where A is the convolution itself as an operator on images, not its kernel as a matrix."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv_transpose1d, conv_transpose2d, conv_transpose3d

from ..weights import TRANSPOSED
from .division import EPS
from .power import WARM_UP, PowerIteration, Settings, full, full_precision
from .registering import chain_of

SIZE = 16  # height and width assumed until the layer has seen an input
TRANSPOSE = {1: conv_transpose1d, 2: conv_transpose2d, 3: conv_transpose3d}


class OperatorSpectral(PowerIteration):
    """The parametrization W -> W / |A_W|, A_W the layer's linear map from images [inputs, *size] to images.

    u and v are an output and an input image. The size is that of the layer's last input; when it changes, the iteration
    starts anew.
    """

    def __init__(self, layer: nn.Module, settings: Settings) -> None:
        super().__init__(settings)
        weight: Tensor = layer.get_parameter("weight")
        self.convolve = Convolution(layer)
        size = [max(SIZE, kernel) for kernel in weight.shape[2:]]
        self.register_buffer("u", torch.empty(0))
        self.register_buffer("v", torch.empty(0))
        self.restart(weight, size)
        self.add_gain(self.sigma(weight.detach()), settings)
        layer.register_forward_pre_hook(self.look)

    def forward(self, weight: Tensor) -> Tensor:
        """The normalised weight; iterates first where that is due."""
        with full_precision(weight):
            if self.is_due():
                self.iterate(weight, self.iterations)
            sigma = self.sigma(weight.to(full(weight))).clamp(min=EPS)
            return self.scaled(self.watched(weight / sigma.to(weight.dtype)))

    def sigma(self, weight: Tensor) -> Float[Tensor, ""]:
        """<u, A v>."""
        return (self.convolve(self.v.clone(), weight) * self.u.clone()).sum()

    @torch.no_grad()
    def iterate(self, weight: Tensor, times: int) -> None:
        """v <- A'u / |A'u|, u <- A v / |A v|, in place; A' is the gradient of A."""
        weight = weight.detach().to(full(weight))
        for _ in range(times):
            adjoint = torch.func.vjp(lambda x: self.convolve(x, weight), self.v)[1]
            self.v.copy_(unit(adjoint(self.u)[0]))
            self.u.copy_(unit(self.convolve(self.v, weight)))

    @torch.no_grad()
    def restart(self, weight: Tensor, size: list[int]) -> None:
        """New singular images for inputs of this size."""
        self.v = unit(torch.randn(1, self.convolve.inputs, *size, dtype=full(weight), device=weight.device))
        self.u = unit(self.convolve(self.v, weight.detach().to(full(weight))))
        self.iterate(weight, WARM_UP)

    def look(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Before the layer's forward: takes note of the size of its input."""
        size = [*inputs[0].shape[2:]]
        if size != [*self.v.shape[2:]]:
            with full_precision(inputs[0]):
                self.restart(chain_of(layer).original, size)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *others: Any) -> None:
        for name in ("u", "v"):  # of the size that was saved
            if prefix + name in state:
                setattr(self, name, torch.empty_like(getattr(self, name)).resize_(state[prefix + name].shape))
        super()._load_from_state_dict(state, prefix, *others)


class Convolution:
    """A convolution layer without its bias, as a function of input and weight."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer, self.transposed = layer, isinstance(layer, TRANSPOSED)
        self.inputs = int(layer.in_channels)  # type: ignore[arg-type]
        names = ("stride", "padding", "output_padding", "groups", "dilation")
        self.arguments = [getattr(layer, name) for name in names] if self.transposed else []

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        """A x."""
        if self.transposed:
            return TRANSPOSE[x.ndim - 2](x, weight, None, *self.arguments)
        return self.layer._conv_forward(x, weight, None)  # type: ignore[operator]


def unit(x: Tensor) -> Tensor:
    """x / |x|, the norm over all entries."""
    return x / x.norm().clamp(min=EPS)
