"""Weight normalisers: functions that put a normalisation on one layer's weight, in place, from outside.

`layer.weight` then is the normalised weight, for whoever reads it; what is trained is
`layer.parametrizations.weight.original`. Spectral normalisation has a fast path, which can be switched off: with the
environment variable EQUIPOISE_PLAIN_NORMS=1, or by `with accelerated(False):`.
"""

from collections.abc import Sequence
from fnmatch import fnmatch
from typing import TypeVar

from torch import nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from ..weights import layers as layers
from .closed_form import equalized as equalized
from .closed_form import frobenius as frobenius
from .closed_form import orthogonal as orthogonal
from .closed_form import standardized as standardized
from .closed_form import strict_weight as strict_weight
from .closed_form import weight as weight
from .fast import Together, hook
from .fast import accelerated as accelerated
from .operator import OperatorSpectral
from .parametrization import Norm as Norm
from .parametrization import PowerIteration as PowerIteration
from .parametrization import chain_of, unhook
from .spectral import Spectral
from .spectral import advance as advance
from .spectral import spectral as spectral

Net = TypeVar("Net", bound=nn.Module)


def none() -> Norm:
    """Leaves the weights alone."""
    return _leave


def _leave(layer: nn.Module) -> nn.Module:
    return layer


def apply(norm: Norm, net: Net, skip: str | Sequence[str] = ()) -> Net:
    """Normalises the weight of every linear, convolution and embedding layer of `net`, in place, and returns `net`.

    `skip` names layers to leave alone, by patterns such as `"head.*"`. Spectral normalisation then treats all layers
    together whenever `net` is called, which is faster.

    >>> import torch
    >>> net = apply(spectral(iterations=50), nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 1)))
    >>> round(torch.linalg.matrix_norm(net[0].weight.flatten(1), 2).item(), 3)
    1.0
    """
    named, patterns = dict(layers(net)), [skip] if isinstance(skip, str) else skip
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in named):
            raise ValueError(f"no layer to skip is called {pattern!r}; layers: {', '.join(named)}")
    chosen = {name: layer for name, layer in named.items() if not any(fnmatch(name, p) for p in patterns)}
    if not chosen:
        raise ValueError(f"{type(net).__name__} has no linear, convolution or embedding layer to normalise")
    twice = [name for name, layer in chosen.items() if is_parametrized(layer, "weight")]
    if twice and norm is not _leave:
        raise ValueError(f"normalised already: {', '.join(twice)}; nothing was changed, skip=[...] leaves layers alone")
    for layer in chosen.values():
        norm(layer)
    hook(net, [layer for layer in chosen.values() if _is_spectral(layer)])
    return net


def _is_spectral(layer: nn.Module) -> bool:
    return is_parametrized(layer, "weight") and isinstance(chain_of(layer)[0], Spectral)


def remove(net: Net) -> Net:
    """Takes the normalisers off again, in place: each layer keeps the weight that it showed, as a plain parameter."""
    unhook(net, Together)
    unhook(net, OperatorSpectral)
    for _, layer in layers(net):
        if is_parametrized(layer, "weight"):
            layer.parametrizations.eval()  # type: ignore[union-attr]  # the weight as it is, not one iteration on
            _part_from_copies(layer)
            remove_parametrizations(layer, "weight", leave_parametrized=True)
    return net


def _part_from_copies(layer: nn.Module) -> None:
    """Gives a layer a class of its own: torch takes `weight` off the class, which copies of the layer share."""
    shared = type(layer)
    layer.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
