"""What weight normalisers share: a parametrization on a layer's weight, and persistent power iteration."""

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized, register_parametrization

from ..numerics import wide, wide_dtype, without_autocast
from ..weights import WEIGHTED

Norm = Callable[[nn.Module], nn.Module]
TINY = 1e-18  # its square is a float32
WARM_UP = 15  # iterations at the start, so that sigma is right from the first forward on


def norm_by(parametrization_of: Callable[[nn.Module], nn.Module]) -> Norm:
    """The norm that registers `parametrization_of(layer)` on the weight of a layer."""

    def normalise(layer: nn.Module) -> nn.Module:
        check(layer)
        return register_parametrization(layer, "weight", parametrization_of(layer))

    return normalise


def check(layer: nn.Module) -> None:
    """Raises ValueError for a layer without a weight to normalise, and for one that is normalised already."""
    if not isinstance(layer, WEIGHTED):
        kinds = ", ".join(kind.__name__ for kind in WEIGHTED)
        raise ValueError(f"{type(layer).__name__} has no weight that can be normalised; these have: {kinds}")
    if is_parametrized(layer, "weight"):
        raise ValueError(f"the weight of this {type(layer).__name__} is normalised already")


def chain_of(layer: nn.Module) -> ParametrizationList:
    """The parametrizations of a normalised layer's weight, which hold the weight that is trained as `original`."""
    return cast(nn.ModuleDict, layer.parametrizations)["weight"]  # type: ignore[return-value]


def unhook(net: nn.Module, owner: type) -> None:
    """Takes the forward hooks that are methods of an `owner` off `net` and all that is in it."""
    for module in net.modules():
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            for key in [key for key, hook in hooks.items() if isinstance(getattr(hook, "__self__", None), owner)]:
                del hooks[key]
                module._forward_hooks_always_called.pop(key, None)


def one_for_zero(norm: Float[Tensor, "*rows"]) -> Float[Tensor, "*rows"]:
    """The norm, or 1 for a weight of zero, which stays what it is."""
    return torch.where(norm > TINY, norm, torch.ones_like(norm))


def unit(x: Tensor) -> Tensor:
    """x / |x|, the norm over all entries; 0 for 0."""
    return x / x.norm().clamp_min(TINY)


class Settings(NamedTuple):
    """The hyper-parameters of `spectral` that both kinds understand."""

    iterations: int = 1
    learned: bool = False
    per_step: bool = False


class PowerIteration(nn.Module):
    """W -> W / sigma, sigma = <u, A v>, by persistent power iteration (Miyato 2018, arXiv:1802.05957, Alg. 1).

    Abstract: a kind of spectral normalisation says what linear map A a weight W defines. u and v are buffers, of the
    shape of A's outputs and inputs. An average of networks leaves the buffers of these modules alone, since a mean of
    unit vectors is none, and calls `norms.advance`.
    """

    u: Tensor
    v: Tensor
    gain: nn.Parameter | None
    stale: Tensor | None
    ready: tuple[Tensor, Tensor] | None = None
    """A weight and what it is normalised, while a network runs whose layers `fast` normalises together."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.iterations, self.learned = settings.iterations, settings.learned
        self.register_parameter("gain", None)
        self.register_buffer("stale", torch.ones((), dtype=torch.bool) if settings.per_step else None)

    def start(self, weight: Tensor, u: Tensor, v: Tensor) -> None:
        """Converges from u and v, so that a learned scale can begin where it leaves the layer as it was."""
        self.register_buffer("u", u)
        self.register_buffer("v", v)
        self.iterate(weight, WARM_UP)
        if self.learned:
            self.gain = nn.Parameter(one_for_zero(self.sigma(weight.detach())))

    def transform(self, v: Tensor, weight: Tensor) -> Tensor:
        """A v."""
        raise NotImplementedError

    def adjoint(self, u: Tensor, weight: Tensor) -> Tensor:
        """A' u."""
        raise NotImplementedError

    def forward(self, weight: Tensor) -> Tensor:
        """W / sigma, times the learned scale if there is one; iterates first where that is due."""
        with without_autocast(weight):
            if self.is_due():
                self.iterate(weight, self.iterations)
            return self.scaled(self.watched(weight / one_for_zero(self.sigma(weight)).to(weight.dtype)))

    def sigma(self, weight: Tensor) -> Float[Tensor, ""]:
        """<u, A v>, where u and v are constants for the gradient."""
        u, v = (x.to(wide_dtype(weight), copy=True) for x in (self.u, self.v))
        return (self.transform(v, wide(weight)) * u).sum()

    @torch.no_grad()
    def iterate(self, weight: Tensor, times: int) -> None:
        """v <- A'u / |A'u|, u <- A v / |A v|, in place; where A v is 0, u stays."""
        weight = wide(weight.detach())
        with without_autocast(weight):
            for _ in range(times):
                u = self.u.to(weight.dtype)
                v = unit(self.adjoint(u, weight))
                self.v.copy_(v)
                self.u.copy_(unit(self.transform(v, weight) + TINY * u))

    def advance(self, weight: Tensor) -> None:
        """One iteration, whatever the mode."""
        self.iterate(weight, 1)

    def is_due(self) -> bool:
        """Whether this forward iterates: in training mode; if per step, where a gradient came since the last."""
        if not self.training or self.stale is None:
            return self.training
        due = bool(self.stale)
        self.stale.fill_(False)
        return due

    def on_gradient(self, gradient: Tensor | None = None) -> None:
        """A gradient has come to the weight, which is about to change."""
        if self.stale is not None:
            self.stale.fill_(True)

    def watched(self, normalised: Tensor) -> Tensor:
        """The normalised weight, whose gradient is noticed."""
        if self.stale is not None and normalised.requires_grad:
            normalised.register_hook(self.on_gradient)
        return normalised

    def scaled(self, normalised: Tensor) -> Tensor:
        """The normalised weight times the learned scale, if there is one."""
        return normalised if self.gain is None else normalised * self.gain

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What is assigned to the layer's weight becomes the weight that is trained."""
        return weight
