"""Weight normalisers: functions that put a normalisation on one layer's weight, in place, from outside.

`layer.weight` then is the normalised weight, for whoever reads it; what is trained is
`layer.parametrizations.weight.original`.
"""

from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from typing import TypeVar

from torch import nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from .spectral import spectral as spectral

Norm = Callable[[nn.Module], nn.Module]
Net = TypeVar("Net", bound=nn.Module)

WEIGHTED = (
    nn.Linear,
    nn.Embedding,
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)


def none() -> Norm:
    """Leaves the weights alone."""
    return lambda layer: layer


def apply(norm: Norm, net: Net, skip: Sequence[str] = ()) -> Net:
    """Normalises the weight of every linear, convolution and embedding layer of `net`, in place, and returns `net`.

    `skip` names layers to leave alone, by patterns such as `"head.*"`.

    >>> import torch
    >>> net = apply(spectral(iterations=50), nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 1)))
    >>> round(torch.linalg.matrix_norm(net[0].weight.flatten(1), 2).item(), 3)
    1.0
    """
    named = dict(layers(net))
    for pattern in skip:
        if not any(fnmatch(name, pattern) for name in named):
            raise ValueError(f"no layer to skip is called {pattern!r}; layers: {', '.join(named)}")
    chosen = [layer for name, layer in named.items() if not any(fnmatch(name, pattern) for pattern in skip)]
    if not chosen:
        raise ValueError(f"{type(net).__name__} has no linear, convolution or embedding layer to normalise")
    for layer in chosen:
        norm(layer)
    return net


def remove(net: Net) -> Net:
    """Takes the normalisers off again, in place: each layer keeps the weight that it showed, as a plain parameter."""
    for _, layer in layers(net):
        if is_parametrized(layer, "weight"):
            layer.parametrizations.eval()  # type: ignore[union-attr]  # the weight as it is, not one iteration on
            remove_parametrizations(layer, "weight", leave_parametrized=True)
    return net


def layers(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers of `net` that have a weight to normalise, with their names."""
    return ((name, module) for name, module in net.named_modules() if isinstance(module, WEIGHTED))
