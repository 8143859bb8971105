"""The fast path of spectral normalisation: what `spectral.Spectral` computes, with as little memory traffic as needed.

All layers of a network are normalised together before its forward. Two matrix-vector products find each sigma, one pass
writes W / sigma, one dot product and one rank-one update correct the gradient; large results are written into memory
that is used again. Off with the environment variable EQUIPOISE_PLAIN_NORMS=1 or within `accelerated(False)`.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import compress
from typing import Any, NamedTuple, cast
from weakref import WeakKeyDictionary

import numpy
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrize import is_parametrized

from ..numerics import without_autocast
from ..weights import Rows, flat, row, rows_of
from .parametrization import TINY, PowerIteration, chain_of, one_for_zero

Tensors = Sequence[Tensor]
Piece = NDArray[numpy.floating[Any]]

PRIVATE = {  # what the fast path needs of torch beside its public functions
    torch: ("_foreach_copy_", "_foreach_div_", "_foreach_norm"),
    torch._C: ("_are_functorch_transforms_active",),
    parametrize: ("_cache_enabled",),
}
PLAIN, WIDE = (Tensor, nn.Parameter), (torch.float32, torch.float64)
LEAST = 1 << 18  # bytes; the system's allocator keeps smaller pieces by itself
MOST = 6  # pieces kept for a weight: those of three forwards and their gradients

_wanted = os.environ.get("EQUIPOISE_PLAIN_NORMS", "") in ("", "0")
_pieces: WeakKeyDictionary[nn.Module, list[Piece]] = WeakKeyDictionary()


@contextmanager
def accelerated(enabled: bool) -> Iterator[None]:
    """Switches the fast path of spectral normalisation on or off; without it, results are the same to rounding."""
    global _wanted
    before, _wanted = _wanted, enabled
    try:
        yield
    finally:
        _wanted = before


@cache
def is_supported() -> bool:
    """Whether this torch has all that the fast path needs; says so, once, if it has not."""
    missing = [name for owner, names in PRIVATE.items() for name in names if not hasattr(owner, name)]
    if missing:
        message = "spectral normalisation is slower: torch %s lacks %s; its results are the same"
        logging.getLogger(__name__).warning(message, torch.__version__, ", ".join(missing))
    return not missing


def is_possible() -> bool:
    """Whether the fast path is wanted and supported, and nothing traces or transforms what is computed."""
    if torch.compiler.is_compiling() or not (_wanted and is_supported()):
        return False
    traced = torch.jit.is_tracing()  # type: ignore[attr-defined]
    return not (traced or torch._C._are_functorch_transforms_active())


class Source(NamedTuple):
    """One weight, how it is a matrix, and its power iteration."""

    spectral: PowerIteration
    rows: Rows
    weight: Tensor


def together(sources: Iterable[Source]) -> list[Source]:
    """Those weights that the fast path can take: plain tensors of float32 or more, on the device of the first."""
    ordinary = [s for s in sources if type(s.weight) in PLAIN and s.weight.dtype in WIDE]
    return [s for s in ordinary if s.weight.device == ordinary[0].weight.device]


def normalised(source: Source) -> Tensor | None:
    """The normalised weight of one layer, or None where the fast path cannot take it."""
    spectral, _, weight = source
    if spectral.ready is not None and spectral.ready[0] is weight:
        return spectral.ready[1]
    if not (is_possible() and together([source])):
        return None
    return divided([source], spectral.iterations if spectral.is_due() else 0)[0]


def divided(sources: Sequence[Source], times: int) -> Tensors:
    """W / sigma of each weight, times the learned scale if there is one, after so many iterations."""
    with without_autocast(sources[0].weight):
        results = Division.apply(operands(sources, times), *[source.weight for source in sources])
        return [source.spectral.scaled(result) for source, result in zip(sources, results, strict=True)]


def advance(sources: Sequence[Source]) -> Sequence[Source]:
    """One iteration for each weight that the fast path can take, which are returned."""
    chosen = together(sources) if is_possible() else []
    if chosen:
        with without_autocast(chosen[0].weight):
            operands(chosen, times=1)
    return chosen


class Operand(NamedTuple):
    """What `Division` knows of one weight; u, v and sigma are constants for the gradient."""

    rows: Rows
    u: Float[Tensor, "outputs"]
    v: Float[Tensor, "rest"]
    sigma: Float[Tensor, ""]
    pieces: list[Piece]
    on_gradient: Callable[[], None]

    def direction(self, like: Tensor) -> Tensor:
        """u v' in the shape and layout of the weight."""
        return self.rows.weight(torch.outer(self.u, self.v), like)


@torch.no_grad()
def operands(sources: Sequence[Source], times: int) -> list[Operand]:
    """Singular vectors and sigma of each weight after so many iterations, which its module remembers."""
    spectrals = [source.spectral for source in sources]
    matrices = [source.rows.matrix(source.weight) for source in sources]
    kept = [spectral.u for spectral in spectrals], [row(spectral.v) for spectral in spectrals]
    if times:
        us, vs, sigmas = iterate(matrices, kept[0], times)
        torch._foreach_copy_([*kept[0], *kept[1]], [*us, *vs])
    else:
        us, vs = ([x.clone() for x in xs] for xs in kept)
        sigmas = [one_for_zero(torch.dot(u, torch.mv(m, v))) for u, m, v in zip(us, matrices, vs, strict=True)]
    return [
        Operand(source.rows, u, v, sigma, _pieces.setdefault(source.spectral, []), source.spectral.on_gradient)
        for source, u, v, sigma in zip(sources, us, vs, sigmas, strict=True)
    ]


def iterate(matrices: Tensors, us: Tensors, times: int) -> tuple[Tensors, Tensors, Tensors]:
    """v <- W'u / |W'u|, u <- Wv / |Wv|, `times` times: new u, v, and sigma = u' W v, which is |Wv|.

    Both are brought to norm one together, since W W'u points where Wv does. Where W is zero, u stays and sigma is 1.
    Right for sigma between 1e-7 and 1e9.
    """
    count = len(us)
    for _ in range(times):
        products = [back_and_forth(matrix, u) for matrix, u in zip(matrices, us, strict=True)]
        both = [v for v, _ in products] + [next_u for _, next_u in products]
        norms = torch.stack(torch._foreach_norm(both)).clamp_min(TINY)
        torch._foreach_div_(both, norms.unbind())
        vs, us = both[:count], both[count:]
    return us, vs, (norms[count:] / norms[:count]).unbind()


def back_and_forth(matrix: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """W'u and W W'u, u where that is 0, one after the other, so that a small W is still near when it is read again."""
    v = torch.mv(matrix.mT, u)
    return v, torch.addmv(u, matrix, v, beta=TINY)


class Division(torch.autograd.Function):
    """(operands, *weights) -> each W / sigma, where sigma = u' W v is a function of W too."""

    @staticmethod
    def forward(ctx: Any, operands: Sequence[Operand], *weights: Tensor) -> tuple[Tensor, ...]:
        """One pass over each weight."""
        results = [
            torch.div(w, of.sigma, out=empty_like(w, of.pieces)) for of, w in zip(operands, weights, strict=True)
        ]
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
    into = empty_like(G, of.pieces)
    scale, along = 1 / of.sigma.item(), torch.dot(matrix.view(-1), flat(result).view(-1)).item()
    torch.addr(matrix, of.u, of.v, beta=scale, alpha=-along * scale, out=flat(into))
    return into


def differentiable(of: Operand, G: Tensor, weight: Tensor) -> Tensor:
    """The same as a function of G and the weight, for gradients of gradients with respect to weights."""
    direction = of.direction(weight)
    sigma = one_for_zero((direction * weight).sum())
    return (G - (G * weight).sum() / sigma * direction) / sigma


def users(pieces: Sequence[Piece]) -> list[int]:
    """How many hold each piece: one more for each tensor made from it, whose memory it is."""
    return [sys.getrefcount(piece) for piece in pieces]


ALONE = users([numpy.empty(0)])[0]


def empty_like(x: Tensor, pieces: list[Piece]) -> Tensor:
    """An uninitialised tensor with the shape, strides and type of the dense `x`, in a piece of memory without users.

    On a CPU, where the system takes large pieces back and clears them for the next use, which costs more than the
    arithmetic. Whatever tensor, view or graph is made from a piece holds it, and while it lives the piece is not free.
    """
    if x.nbytes < LEAST or not x.is_cpu:
        return torch.empty_like(x)
    if pieces and (pieces[0].size, pieces[0].nbytes) != (x.numel(), x.nbytes):
        pieces.clear()  # the weight's format has changed
    counts = users(pieces)
    if ALONE in counts:
        piece = pieces[counts.index(ALONE)]
    else:
        piece = torch.empty(x.numel(), dtype=x.dtype).numpy()
        pieces.extend([piece] * (len(pieces) < MOST))
    return torch.from_numpy(piece).as_strided_(x.shape, x.stride())


class Together:
    """Hooks that normalise the weights of all layers of a network at once when its forward begins.

    They are forgotten when it ends: a weight that is read at another time is normalised by itself.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        self.layers = layers
        self.chains = [chain_of(layer) for layer in layers]
        self.spectrals = [cast(PowerIteration, chain[0]) for chain in self.chains]
        self.rows = [rows_of(layer) for layer in layers]

    def prepare(self, net: nn.Module, inputs: object) -> None:
        """Before the forward, unless weights are cached already."""
        if not is_possible() or parametrize._cache_enabled:
            return
        parts = zip(self.layers, self.spectrals, self.rows, self.chains, strict=True)
        here = (Source(s, rows, chain.original) for layer, s, rows, chain in parts if is_parametrized(layer, "weight"))
        sources = together(here)
        times = [source.spectral.iterations if source.spectral.is_due() else 0 for source in sources]
        for count in {*times}:
            chosen = [*compress(sources, [count == other for other in times])]
            for source, result in zip(chosen, divided(chosen, count), strict=True):
                vars(source.spectral)["ready"] = source.weight, result  # as `.ready = ` without what modules do beside

    def forget(self, net: nn.Module, inputs: object, result: object) -> None:
        """After the forward, whether it succeeded or not."""
        for spectral in self.spectrals:
            vars(spectral).pop("ready", None)


def hook(net: nn.Module, layers: Sequence[nn.Module]) -> None:
    """Has these layers of `net` normalised together, where there are several."""
    if len(layers) > 1:
        hooks = Together(layers)
        net.register_forward_pre_hook(hooks.prepare)
        net.register_forward_hook(hooks.forget, always_call=True)
