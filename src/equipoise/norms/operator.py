"""W / |A|, where A is the convolution itself as an operator on images, not its kernel as a matrix."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv_transpose1d, conv_transpose2d, conv_transpose3d, interpolate

from ..numerics import wide, wide_dtype, without_autocast
from ..weights import TRANSPOSED
from .parametrization import TINY, WARM_UP, PowerIteration, Settings, chain_of, unit

SIZE = 16  # height and width assumed until the layer has seen an input
TRANSPOSE = {1: conv_transpose1d, 2: conv_transpose2d, 3: conv_transpose3d}


class OperatorSpectral(PowerIteration):
    """The parametrization W -> W / |A_W|, A_W the layer's linear map from images [inputs, *size] to images.

    u and v are an output and an input image. The size is that of the layer's last input in training mode, before which
    it is taken to be 16 in each direction; when it changes, the iteration continues from near v at the new size.
    """

    def __init__(self, layer: nn.Module, settings: Settings) -> None:
        super().__init__(settings)
        weight: Tensor = layer.get_parameter("weight").detach()
        self.convolve = Convolution(layer)
        self.size = [max(SIZE, kernel) for kernel in weight.shape[2:]]
        v = unit(torch.randn(1, self.convolve.inputs, *self.size, dtype=wide_dtype(weight), device=weight.device))
        self.start(weight, self.image(v, weight), v)
        layer.register_forward_pre_hook(self.look)

    def transform(self, v: Tensor, weight: Tensor) -> Tensor:
        """The convolution of v."""
        return self.convolve(v, weight)

    def adjoint(self, u: Tensor, weight: Tensor) -> Tensor:
        """The transposed convolution of u."""
        return self.convolve.adjoint(u, self.v.to(u.dtype), weight)

    def image(self, v: Tensor, weight: Tensor) -> Tensor:
        """A v / |A v|; where A v is 0, of a random direction, so that u can follow when the weight changes."""
        u = self.convolve(v.to(wide_dtype(weight)), wide(weight))
        return unit(u + TINY * torch.randn_like(u))

    def look(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Before the layer's forward: sees the size of its input, and follows it in training mode."""
        self.size = [*inputs[0].shape[2 - self.v.ndim :]] if inputs else self.size
        if self.training:
            self.follow(chain_of(layer).original)

    def advance(self, weight: Tensor) -> None:
        """One iteration, whatever the mode, at the size of the last input in any mode."""
        self.follow(weight)
        self.iterate(weight, 1)

    @torch.no_grad()
    def follow(self, weight: Tensor) -> None:
        """Brings u and v to the size of the last input."""
        if self.size == [*self.v.shape[2:]]:
            return
        with without_autocast(weight):
            resized = unit(interpolate(self.v.float(), self.size))
            self.v = unit(resized + 0.1 * unit(torch.randn_like(resized))).to(self.v.dtype)  # in no subspace for good
            self.u = self.image(self.v, weight).to(self.u.dtype)
            self.iterate(weight, WARM_UP)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *others: Any) -> None:
        for name in ("u", "v"):  # of the size that was saved
            if prefix + name in state:
                setattr(self, name, torch.empty_like(getattr(self, name)).resize_(state[prefix + name].shape))
        super()._load_from_state_dict(state, prefix, *others)
        self.size = [*self.v.shape[2:]]


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

    def adjoint(self, u: Tensor, like: Tensor, weight: Tensor) -> Tensor:
        """A' u: the gradient of <u, A x>, at any x of the shape of `like`."""
        as_they_are = torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x)  # also within a checkpoint
        with torch.enable_grad(), as_they_are:
            x = like.detach().clone().requires_grad_()
            return torch.autograd.grad((self(x, weight) * u).sum(), x)[0]
