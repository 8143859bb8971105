"""Putting a parametrization on a layer's weight."""

from collections.abc import Callable
from typing import cast

from torch import nn
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized, register_parametrization

from ..weights import WEIGHTED

Norm = Callable[[nn.Module], nn.Module]


def check(layer: nn.Module) -> None:
    """Raises ValueError for a layer without a weight to normalise, and for one that is normalised already."""
    if not isinstance(layer, WEIGHTED):
        kinds = ", ".join(kind.__name__ for kind in WEIGHTED)
        raise ValueError(f"{type(layer).__name__} has no weight that can be normalised; these have: {kinds}")
    if is_parametrized(layer, "weight"):
        raise ValueError(f"the weight of this {type(layer).__name__} is normalised already")


def register(layer: nn.Module, parametrization: nn.Module) -> nn.Module:
    """Puts a parametrization on the weight of a layer."""
    return register_parametrization(layer, "weight", parametrization)


def chain_of(layer: nn.Module) -> ParametrizationList:
    """The parametrizations of a normalised layer's weight, which hold the weight that is trained as `original`."""
    return cast(nn.ModuleDict, layer.parametrizations)["weight"]  # type: ignore[return-value]


def own_class(layer: nn.Module) -> None:
    """Parts a layer from its copies, which share the class in which torch keeps its property `weight`."""
    shared = type(layer)
    layer.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
