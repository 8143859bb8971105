"""How networks are called: with labels where there are some, and a generator by way of w where it has some."""

from collections.abc import Callable
from typing import Any, Protocol, TypeGuard

from torch import Tensor

from .numerics import wide


def ask(net: Callable[..., Any], x: Any, labels: Tensor | None) -> Any:
    """The output of a network, which is called with labels only where there are some."""
    return net(x) if labels is None else net(x, labels)


class Mapped(Protocol):
    """A generator with intermediate latents w."""

    mapping: Callable[..., Any]
    """From z to w."""
    synthesis: Callable[..., Any]
    """From w to images."""


def has_mapping(G: object) -> TypeGuard[Mapped]:
    """Whether a generator is one with intermediate latents."""
    return hasattr(G, "mapping") and hasattr(G, "synthesis")


def generate(G: Callable[..., Any], z: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """Fakes, and the latents that they are made from: w of a generator with `mapping` and `synthesis`, else z."""
    if not has_mapping(G):
        return wide(ask(G, z, labels)), z
    w = ask(G.mapping, z, labels)
    return wide(G.synthesis(w)), w
