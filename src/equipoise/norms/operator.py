"""W / |A|, where A is the convolution itself as an operator on images, not its kernel as a matrix."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv_transpose1d, conv_transpose2d, conv_transpose3d, interpolate

from ..numerics import wide, wide_dtype, without_autocast
from ..weights import TRANSPOSED
from .division import TINY, one_for_zero
from .power import WARM_UP, PowerIteration, Settings
from .registering import chain_of

SIZE = 16  # height and width assumed until the layer has seen an input
TRANSPOSE = {1: conv_transpose1d, 2: conv_transpose2d, 3: conv_transpose3d}


class OperatorSpectral(PowerIteration):
    """The parametrization W -> W / |A_W|, A_W the layer's linear map from images [inputs, *size] to images.

    u and v are an output and an input image. The size is that of the layer's last input in training mode, before which
    it is taken to be 16 in each direction; when it changes, the iteration goes on from near v at the new size.
    """

    def __init__(self, layer: nn.Module, settings: Settings) -> None:
        super().__init__(settings)
        weight: Tensor = layer.get_parameter("weight").detach()
        self.convolve = Convolution(layer)
        size = [max(SIZE, kernel) for kernel in weight.shape[2:]]
        v = torch.randn(1, self.convolve.inputs, *size, dtype=wide_dtype(weight), device=weight.device)
        self.register_buffer("v", unit(v))
        self.register_buffer("u", unit(self.convolve(v, weight.to(v.dtype))))
        self.iterate(weight, WARM_UP)
        self.add_gain(self.sigma(weight), settings)
        layer.register_forward_pre_hook(self.look)

    def forward(self, weight: Tensor) -> Tensor:
        """The normalised weight; iterates first where that is due."""
        with without_autocast(weight):
            if self.is_due():
                self.iterate(weight, self.iterations)
            return self.scaled(self.watched(weight / one_for_zero(self.sigma(weight)).to(weight.dtype)))

    def sigma(self, weight: Tensor) -> Float[Tensor, ""]:
        """<u, A v>."""
        u, v = (x.to(wide_dtype(weight), copy=True) for x in (self.u, self.v))
        return (self.convolve(v, weight.to(v.dtype)) * u).sum()

    @torch.no_grad()
    def iterate(self, weight: Tensor, times: int) -> None:
        """v <- A'u / |A'u|, u <- A v / |A v|, in place; where A v is 0 they stay."""
        weight = wide(weight.detach())
        for _ in range(times):
            u, v = (x.to(weight.dtype) for x in (self.u, self.v))
            self.v.copy_(unit(self.convolve.adjoint(u, v, weight) + TINY * v))
            self.u.copy_(unit(self.convolve(self.v.to(weight.dtype), weight) + TINY * u))

    def look(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Before the layer's forward in training mode: follows the size of its input."""
        size = list(inputs[0].shape[2 - self.v.ndim :]) if inputs else []
        if not self.training or size in ([], [*self.v.shape[2:]]):
            return
        weight: Tensor = chain_of(layer).original
        with torch.no_grad(), without_autocast(weight):
            resized = unit(interpolate(self.v.float(), size))
            self.v = unit(resized + 0.1 * unit(torch.randn_like(resized))).to(self.v.dtype)  # in no subspace for good
            self.u = unit(self.convolve(self.v.to(wide_dtype(weight)), wide(weight))).to(self.u.dtype)
            self.iterate(weight, WARM_UP)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *others: Any) -> None:
        for name in ("u", "v"):  # of the size that was saved
            if prefix + name in state:
                setattr(self, name, torch.empty_like(getattr(self, name)).resize_(state[prefix + name].shape))
        super()._load_from_state_dict(state, prefix, *others)

    @classmethod
    def unhook(cls, layer: nn.Module) -> None:
        """Stops looking at the inputs of a layer."""
        for key, hook in [*layer._forward_pre_hooks.items()]:
            if isinstance(getattr(hook, "__self__", None), cls):
                del layer._forward_pre_hooks[key]


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


def unit(x: Tensor) -> Tensor:
    """x / |x|, the norm over all entries."""
    return x / one_for_zero(x.norm())
