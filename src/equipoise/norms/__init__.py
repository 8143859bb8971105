"""Weight normalisers: functions that put a normalisation on one layer's weight, in place, from outside.

`layer.weight` then is the normalised weight, for whoever reads it; what is trained is
`layer.parametrizations.weight.original`.
"""

from collections.abc import Sequence
from fnmatch import fnmatch
from typing import TypeVar

from torch import nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from ..weights import layers as layers
from .equalized import equalized as equalized
from .lengths import frobenius as frobenius
from .lengths import standardized as standardized
from .lengths import strict_weight as strict_weight
from .lengths import weight as weight
from .operator import OperatorSpectral
from .orthogonal import orthogonal as orthogonal
from .registering import Norm as Norm
from .registering import own_class
from .reshaped import Together
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
    Together.hook(net, chosen.values())
    return net


def remove(net: Net) -> Net:
    """Takes the normalisers off again, in place: each layer keeps the weight that it showed, as a plain parameter."""
    Together.unhook(net)
    for _, layer in layers(net):
        if is_parametrized(layer, "weight"):
            layer.parametrizations.eval()  # type: ignore[union-attr]  # the weight as it is, not one iteration on
            OperatorSpectral.unhook(layer)
            own_class(layer)
            remove_parametrizations(layer, "weight", leave_parametrized=True)
    return net
