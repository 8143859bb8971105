"""W / sigma(W) of the weight as a matrix, for one layer or for all layers of a network together."""

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import cast

import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.jit._trace import is_tracing
from torch.nn.functional import normalize
from torch.nn.utils import parametrize
from torch.nn.utils.parametrize import is_parametrized

from ..numerics import wide, without_autocast
from ..weights import Rows, row
from .division import Division, Operand, Tensors, iterate, one_for_zero
from .memory import Memory
from .power import WARM_UP, PowerIteration, Settings
from .registering import chain_of

READY = "weight made ready"  # where a layer keeps it while its network runs


class Spectral(PowerIteration):
    """The parametrization W -> W / sigma(W), sigma = u' W v with u [outputs] and v in the shape of one row of W."""

    def __init__(self, weight: Tensor, rows: Rows, settings: Settings) -> None:
        super().__init__(settings)
        self.rows, self.memory = rows, Memory()
        matrix = wide(rows.matrix(weight.detach()))
        (u,), (v,), (sigma,) = iterate([matrix], [normalize(torch.randn_like(matrix[:, 0]), dim=0)], WARM_UP)
        self.register_buffer("u", u)
        self.register_buffer("v", v[None] if rows.groups else torch.empty_like(weight[:1], dtype=v.dtype))
        row(self.v).copy_(v)
        self.add_gain(sigma, settings)

    def forward(self, weight: Tensor) -> Tensor:
        """The normalised weight; iterates first where that is due."""
        with without_autocast(weight):
            if is_ordinary(weight):
                return self.scaled(normalised([self], [weight], moving=self.is_due())[0])
            return self.scaled(self.traceable(weight))

    def traceable(self, weight: Tensor) -> Tensor:
        """The same in plain operations: for compilation, function transforms and weights of low precision."""
        matrix = wide(self.rows.matrix(weight))
        if self.is_due():
            (u,), (v,), _ = iterate([matrix.detach()], [self.u.to(matrix.dtype)], self.iterations)
            self.u.copy_(u)
            row(self.v).copy_(v)
        u, v = self.u.to(matrix.dtype, copy=True), row(self.v).to(matrix.dtype, copy=True)
        sigma = torch.dot(u, torch.mv(matrix, v))
        return self.watched(weight / one_for_zero(sigma).to(weight.dtype))


@torch.no_grad()
def operands(layers: Sequence[Spectral], weights: Tensors, moving: bool) -> list[Operand]:
    """Singular vectors and sigma of each weight; after an iteration, which the layers remember, if `moving`."""
    matrices = [layer.rows.matrix(weight) for layer, weight in zip(layers, weights, strict=True)]
    kept = [layer.u for layer in layers], [row(layer.v) for layer in layers]
    if moving:
        us, vs, sigmas = iterate(matrices, kept[0], layers[0].iterations)
        torch._foreach_copy_([*kept[0], *kept[1]], [*us, *vs])
    else:
        us, vs = ([x.clone() for x in xs] for xs in kept)
        sigmas = [one_for_zero(torch.dot(u, torch.mv(m, v))) for u, m, v in zip(us, matrices, vs, strict=True)]
    several = zip(layers, us, vs, sigmas, strict=True)
    return [Operand(layer.rows, u, v, sigma, layer.memory, layer.on_gradient) for layer, u, v, sigma in several]


def normalised(layers: Sequence[Spectral], weights: Tensors, moving: bool) -> Tensors:
    """W / sigma of each weight; iterates first if `moving`."""
    return Division.apply(operands(layers, weights, moving), *weights)


def is_ordinary(weight: Tensor) -> bool:
    """Whether the fast path can take this weight: a real tensor of float32 or more, not being traced or transformed."""
    if type(weight) not in (Tensor, nn.Parameter) or weight.dtype not in (torch.float32, torch.float64):
        return False
    return not (torch.compiler.is_compiling() or is_tracing() or is_functorch_wrapped_tensor(weight))


class Together:
    """Hooks that normalise the weights of all layers of a network at once when its forward begins.

    They are forgotten when it ends: a weight that is read at another time is normalised by itself.
    """

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        self.layers = [*layers]
        self.chains = [chain_of(layer) for layer in self.layers]
        self.spectrals = [cast(Spectral, chain[0]) for chain in self.chains]

    def prepare(self, net: nn.Module, inputs: object) -> None:
        """Before the forward, unless something else has a hand in the weights."""
        untouched = all("parametrizations" in layer._modules for layer in self.layers)
        if not untouched or any(len(chain) != 1 for chain in self.chains) or parametrize._cache_enabled:
            return
        weights = [chain.original for chain in self.chains]
        if not all(map(is_ordinary, weights)):
            return
        due = [spectral.is_due() for spectral in self.spectrals]
        for chosen in (due, [not is_due for is_due in due]):
            if any(chosen):
                layers, spectrals = [*compress(self.layers, chosen)], [*compress(self.spectrals, chosen)]
                make_ready(layers, spectrals, [*compress(weights, chosen)], moving=chosen is due)

    def forget(self, net: nn.Module, inputs: object, result: object) -> None:
        """After the forward, whether it succeeded or not."""
        for layer in self.layers:
            vars(layer).pop(READY, None)

    @classmethod
    def hook(cls, net: nn.Module, layers: Iterable[nn.Module]) -> None:
        """Hooks those layers of `net` that are spectrally normalised, where there are several."""
        chosen = [layer for layer in layers if is_parametrized(layer, "weight")]
        chosen = [layer for layer in chosen if isinstance(chain_of(layer)[0], Spectral)]
        if len(chosen) > 1:
            for layer in chosen:
                show_what_is_ready(layer)
            together = cls(chosen)
            net.register_forward_pre_hook(together.prepare)
            net.register_forward_hook(together.forget, always_call=True)

    @classmethod
    def unhook(cls, net: nn.Module) -> None:
        """Takes these hooks off `net` and all that is in it."""
        for module in net.modules():
            for hooks in (module._forward_pre_hooks, module._forward_hooks):
                for key in [key for key, hook in hooks.items() if isinstance(getattr(hook, "__self__", None), cls)]:
                    del hooks[key]
                    module._forward_hooks_always_called.pop(key, None)


def make_ready(layers: Sequence[nn.Module], spectrals: Sequence[Spectral], weights: Tensors, moving: bool) -> None:
    """Normalises the weights of these layers and leaves them where `layer.weight` finds them."""
    with without_autocast(weights[0]):
        for layer, spectral, result in zip(layers, spectrals, normalised(spectrals, weights, moving), strict=True):
            vars(layer)[READY] = spectral.scaled(result)


def show_what_is_ready(layer: nn.Module) -> None:
    """Has `layer.weight` be what `Together` has made, if it has, before torch's property is asked."""
    alone: property = vars(type(layer))["weight"]  # in a class of this layer's own, made by torch

    def weight(layer: nn.Module) -> Tensor:
        ready = vars(layer).get(READY)
        return alone.fget(layer) if ready is None else ready  # type: ignore[misc]

    type(layer).weight = property(weight, alone.fset)  # type: ignore[attr-defined]
