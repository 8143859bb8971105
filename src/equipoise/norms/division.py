"""W / sigma for many weights at once, with as little memory traffic as the arithmetic allows.

Two matrix-vector products find sigma, one pass writes W / sigma, one dot product and one rank-one update correct the
gradient; results are written into memory that is used again.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..weights import Rows, flat
from .memory import Memory

Tensors = Sequence[Tensor]
TINY = 1e-18  # its square is a float32


def one_for_zero(sigma: Float[Tensor, "*rows"]) -> Float[Tensor, "*rows"]:
    """sigma, or 1 for a weight of zero, which stays what it is."""
    return torch.where(sigma > TINY, sigma, torch.ones_like(sigma))


class Operand(NamedTuple):
    """What is known of one weight: how it is a matrix, its singular vectors (constants for the gradient), sigma."""

    rows: Rows
    u: Float[Tensor, "outputs"]
    v: Float[Tensor, "rest"]
    sigma: Float[Tensor, ""]
    memory: Memory
    on_gradient: Callable[[], None]

    def direction(self, like: Tensor) -> Tensor:
        """u v' in the shape and layout of the weight."""
        return self.rows.weight(torch.outer(self.u, self.v), like)


class Division(torch.autograd.Function):
    """(operands, *weights) -> each W / sigma, where sigma = u' W v is a function of W too."""

    @staticmethod
    def forward(ctx: Any, operands: Sequence[Operand], *weights: Tensor) -> tuple[Tensor, ...]:
        """One pass over each weight."""
        results = [torch.div(w, of.sigma, out=of.memory.like(w)) for of, w in zip(operands, weights, strict=True)]
        ctx.operands, ctx.weights = operands, weights
        ctx.save_for_backward(*results)
        ctx.set_materialize_grads(False)
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """(G - <G, W/sigma> u v') / sigma (Miyato 2018, Eq. 12)."""
        for of in ctx.operands:
            of.on_gradient()
        differentiate = torch.is_grad_enabled()
        several = zip(ctx.operands, gradients, ctx.weights, ctx.saved_tensors, strict=True)
        return None, *(
            G if G is None else differentiable(of, G, w) if differentiate else corrected(of, G, result)
            for of, G, w, result in several
        )


def corrected(of: Operand, G: Tensor, result: Tensor) -> Tensor:
    """The gradient with respect to the weight: on a CPU in one pass after the dot product, where layouts agree."""
    G = G.to_dense() if G.is_sparse else G
    matrix = flat(G)
    if of.rows.groups or not G.is_cpu or G.stride() != result.stride() or not matrix.is_contiguous():
        return (G - (G * result).sum() * of.direction(result)) / of.sigma
    into = of.memory.like(G)
    scale, along = 1 / of.sigma.item(), torch.dot(matrix.view(-1), flat(result).view(-1)).item()
    torch.addr(matrix, of.u, of.v, beta=scale, alpha=-along * scale, out=flat(into))
    return into


def differentiable(of: Operand, G: Tensor, weight: Tensor) -> Tensor:
    """The same as a function of G and the weight, for gradients of gradients with respect to weights."""
    direction = of.direction(weight)
    sigma = (direction * weight).sum()
    return (G - (G * weight).sum() / sigma * direction) / sigma


@torch.no_grad()
def iterate(matrices: Tensors, us: Tensors, times: int) -> tuple[Tensors, Tensors, Tensors]:
    """v <- W'u / |W'u|, u <- Wv / |Wv|, `times` times: new u, v, and sigma = u' W v, which is |Wv|.

    Both are brought to length one together, since W W'u points where Wv does. Where W is zero, u stays and sigma is 1.
    Right for sigma between 1e-7 and 1e9.
    """
    count = len(us)
    for _ in range(times):
        products = [back_and_forth(matrix, u) for matrix, u in zip(matrices, us, strict=True)]
        both = [v for v, _ in products] + [next_u for _, next_u in products]
        torch._foreach_add_(both[count:], list(us), alpha=TINY)
        lengths = torch._foreach_clamp_min(torch._foreach_norm(both), TINY)
        torch._foreach_div_(both, lengths)
        vs, us = both[:count], both[count:]
    return us, vs, torch._foreach_div(lengths[count:], lengths[:count])


def back_and_forth(matrix: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """W'u and W W'u, one after the other, so that a small W is still near when it is read again."""
    v = torch.mv(matrix.mT, u)
    return v, torch.mv(matrix, v)
