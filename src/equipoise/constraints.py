"""Constraints on the discriminator's weights: functions that are applied to a network, in place, after each step."""

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import nn

from .checks import check_choice, check_range
from .numerics import wide, without_autocast
from .weights import Matrix, Rows, layers, rows_of

Constraint = Callable[[nn.Module], None]


def none() -> Constraint:
    """Leaves the weights alone."""
    return lambda net: None


def clip(value: float = 0.01, which: Literal["all", "weights"] = "all") -> Constraint:
    """w <- min(max(w, -c), c) for every parameter (Arjovsky 2017, arXiv:1701.07875, Alg. 1).

    Biases and the scales and shifts of norms are clipped as well. `which="weights"` clips the weights of linear,
    convolution and embedding layers alone (the comparison of Miyato 2018, arXiv:1802.05957). Where a weight is
    parametrized, that which is trained is clipped.

    >>> net = nn.Linear(8, 1)
    >>> clip(value=0.01)(net)
    >>> bool(net.weight.abs().max() <= 0.01)
    True
    """
    check_range(above=0, value=value)
    check_choice(which, ["all", "weights"], f"which cannot be {which!r}")

    @torch.no_grad()
    def constrain(net: nn.Module) -> None:
        for parameter in net.parameters() if which == "all" else _weights(net):
            parameter.clamp_(-value, value)

    return constrain


def clip_singular_values(value: float = 1.0) -> Constraint:
    """W = U S V' <- U min(S, c) V' for every linear, convolution and embedding layer (Saito 2017, arXiv:1611.06624).

    W is the weight as a matrix [outputs, rest]. Decomposed afresh at every call, in float32 at least. A weight that is
    parametrized is refused: its singular values are those that the parametrization gives it.

    >>> net = nn.Linear(2, 2, bias=False)
    >>> net.weight.data = torch.tensor([[0.0, 3.0], [0.5, 0.0]])
    >>> clip_singular_values(value=1.0)(net)
    >>> net.weight.data
    tensor([[0.0000, 1.0000],
            [0.5000, 0.0000]])
    """
    check_range(above=0, value=value)

    @torch.no_grad()
    def constrain(net: nn.Module) -> None:
        for weight, rows in list(_plain_weights(net)):
            weight.copy_(rows.weight(_with_sigma_at_most(value, rows.matrix(weight)), weight))

    return constrain


def _with_sigma_at_most(value: float, matrix: Matrix) -> Matrix:
    """U min(S, c) V', and the matrix to the bit where all of S is inside."""
    with without_autocast(matrix):
        exact = wide(matrix)
        U, S, Vh = torch.linalg.svd(exact, full_matrices=False)
        return torch.where(S[0] > value, U * S.clamp(max=value) @ Vh, exact)


def _weights(net: nn.Module) -> Iterator[nn.Parameter]:
    """What is trained of each layer's weight: of a parametrized one, the original."""
    for _, layer in layers(net):
        for name, parameter in layer.named_parameters():
            if name != "bias" and not name.startswith("parametrizations.bias."):
                yield parameter


def _plain_weights(net: nn.Module) -> Iterator[tuple[nn.Parameter, Rows]]:
    """Each layer's weight, and how it is a matrix."""
    named = dict(layers(net))
    if not named:
        raise ValueError(f"{type(net).__name__} has no linear, convolution or embedding layer to clip")
    for name, layer in named.items():
        weight = layer.weight
        if not isinstance(weight, nn.Parameter):
            raise ValueError(
                f"the weight of {name or type(layer).__name__} is normalised: take the norm off to clip it"
            )
        yield weight, rows_of(layer)
