"""Euclidean neighbours among many rows: products of tiles in float32, and what they leave in doubt again in float64.

|x|^2 + |y|^2 - 2 x.y, where it is near r^2, is off by at most g (|x|^2 + (|x| + r)^2), g = (d + 8) u, u = 2^-24 in
float32. What is within that margin of a decision is decided by sum (x - y)^2 in float64: the results are exact, ties
included, and no more than a few tiles are held at once.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from ..numerics import wide
from .full_precision import exact

TILE = 2048  # rows
SPARE = 3  # candidates besides the neighbours
DIRECT = {"cpu": 1 << 16, "cuda": 1 << 24}  # differences at once, which caches or memory hold


class Pair:
    """Rows x and y as they came, and moved near the origin in the dtype of the products, with their squared norms."""

    def __init__(self, x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], dtype: torch.dtype = torch.float32) -> None:
        self.same, self.unit = x is y, (x.shape[1] + 8) * torch.finfo(dtype).eps / 2
        self.x = _wide(x)
        self.y = self.x if self.same else _wide(y)
        origin = _middle(self.y)
        self.near_x = (self.x - origin).to(dtype)
        self.near_y = self.near_x if self.same else (self.y - origin).to(dtype)
        self.xx, self.yy = (torch.linalg.vector_norm(near, dim=1).square() for near in (self.near_x, self.near_y))
        if not (self.xx.isfinite().all() and self.yy.isfinite().all()):
            raise ValueError("distances need features that are finite and below 1e18")

    def tiles(self) -> Iterator[tuple[slice, slice]]:
        """Blocks of rows of x and of y; of one set with itself each two blocks once."""
        for i in range(0, len(self.x), TILE):
            for j in range(i if self.same else 0, len(self.y), TILE):
                yield slice(i, i + TILE), slice(j, j + TILE)

    def squares(self, i: slice, j: slice) -> Float[Tensor, "i j"]:
        """|x|^2 + |y|^2 - 2 x.y of a tile."""
        return torch.addmm(self.yy[j], self.near_x[i], self.near_y[j].T, alpha=-2).add_(self.xx[i, None])

    def exact(self, i: Int64[Tensor, " p"], j: Int64[Tensor, " p"]) -> Float64[Tensor, " p"]:
        """sum (x_i - y_j)^2 of pairs, in float64."""
        size = max(DIRECT.get(self.x.device.type, 1 << 20) // self.x.shape[1], 1)
        parts = zip(i.split(size), j.split(size), strict=True)
        found = [self.x[a].double().sub_(self.y[b]).square_().sum(1) for a, b in parts]
        return torch.cat(found) if found else self.xx.new_empty(0, dtype=torch.float64)


def nearest(
    real: Float[Tensor, "n d"], generated: Float[Tensor, "m d"], count: int = 1
) -> tuple[Int64[Tensor, "m k"], Float64[Tensor, "m k"]]:
    """The `count` nearest real rows of each generated one: their indices and Euclidean distances, nearest first."""
    if not 1 <= count <= len(real):
        raise ValueError(f"count must be at least 1 and at most the {len(real)} real rows, not {count}")
    with exact(real.device):
        found, squares = _neighbours(Pair(generated, real), count, None)
        return found, squares.sqrt()


def spread(rows: Float[Tensor, "n d"], count: int) -> Float64[Tensor, "n k"]:
    """The squared distances of each row to its `count` nearest others, in ascending order."""
    with exact(rows.device):
        return _neighbours(Pair(rows, rows), count, torch.arange(len(rows), device=rows.device))[1]


def balls(
    pair: Pair, of_x: Float64[Tensor, " n"], of_y: Float64[Tensor, " m"]
) -> Iterator[tuple[slice, slice, Bool[Tensor, "i j"], Bool[Tensor, "i j"]]]:
    """For each tile, |x - y|^2 < r_x^2 and |x - y|^2 < r_y^2, for balls about every x and y of these r^2."""
    half_x, margin_x = _half(of_x, pair.xx, pair.unit)
    half_y, margin_y = _half(of_y, pair.yy, pair.unit)
    for i, j in pair.tiles():
        excess = pair.squares(i, j).mul_(-0.5)
        about_x = _inside(pair, i, j, excess + half_x[i, None], margin_x[i, None], of_x[i, None])
        yield i, j, about_x, _inside(pair, i, j, excess.add_(half_y[j]), margin_y[j], of_y[j])


def _half(squares: Tensor, norms: Tensor, unit: float) -> tuple[Tensor, Tensor]:
    """Half of r^2, and of its margin, in the dtype of the products; nothing is inside a ball without radius."""
    radii = squares.to(norms.dtype)
    margin = unit / 2 * (norms + (norms.sqrt() + radii.sqrt()).square())
    return (radii / 2).masked_fill(squares == 0, -torch.inf), margin


def _inside(pair: Pair, i: slice, j: slice, excess: Tensor, margin: Tensor, squares: Tensor) -> Bool[Tensor, "i j"]:
    inside = excess > margin
    a, b = ((excess >= -margin) ^ inside).nonzero(as_tuple=True)
    inside[a, b] = pair.exact(i.start + a, j.start + b) < squares.expand_as(excess)[a, b]
    return inside


def _neighbours(pair: Pair, count: int, own: Tensor | None) -> tuple[Tensor, Tensor]:
    """Indices and squared distances of the nearest y of each x, but for the one of index `own`."""
    asked = min(count + (own is not None) + SPARE, len(pair.y))
    far, found = _candidates(pair, asked)
    of = torch.arange(len(found), device=found.device).repeat_interleave(asked)
    squares = pair.exact(of, found.flatten()).view_as(found)
    if own is not None:
        squares[found == own[:, None]] = torch.inf
    squares, order = squares.topk(count, largest=False)
    found = found.gather(1, order)
    if asked < len(pair.y) and pair.near_x.dtype == torch.float32:
        _again(pair, own, _doubtful(pair, squares[:, -1], far), found, squares)
    return found, squares


def _doubtful(pair: Pair, last: Tensor, far: Tensor) -> Int64[Tensor, " p"]:
    """The rows of which a nearer neighbour than the last one found may not be among the candidates."""
    margin = pair.unit * (pair.xx + (pair.xx.sqrt() + last.sqrt()).square())
    return ((last > 0) & (last + margin >= far)).nonzero().flatten()


def _again(pair: Pair, own: Tensor | None, rows: Tensor, found: Tensor, squares: Tensor) -> None:
    """Finds the neighbours of these rows with products in float64."""
    if len(rows):
        finer = Pair(pair.x[rows], pair.y, torch.float64)
        found[rows], squares[rows] = _neighbours(finer, found.shape[1], None if own is None else own[rows])


def _candidates(pair: Pair, asked: int) -> tuple[Tensor, Tensor]:
    """The y with the smallest products for each x: the largest of their squared distances, and their indices."""
    best = pair.xx.new_full((len(pair.x), asked), torch.inf)
    found = torch.zeros_like(best, dtype=torch.int64)
    for i, j in pair.tiles():
        squares = pair.squares(i, j)
        _keep(best[i], found[i], squares, j.start)
        if pair.same and i != j:
            _keep(best[j], found[j], squares.T.contiguous(), i.start)
    return best.amax(1), found


def _keep(best: Tensor, found: Tensor, squares: Tensor, start: int) -> None:
    """Merges the smallest of a tile, whose columns begin at `start`, into the smallest so far."""
    asked = best.shape[1]
    near, where = squares.topk(min(asked, squares.shape[1]), largest=False, sorted=False)
    best[:], order = torch.cat([best, near], 1).topk(asked, largest=False, sorted=False)
    found[:] = torch.cat([found, where + start], 1).gather(1, order)


def _middle(rows: Tensor) -> Tensor:
    """A row near the mean: to subtract a row leaves whole numbers whole."""
    mean = rows.mean(0)
    return rows[(torch.linalg.vector_norm(rows, dim=1).square() - 2 * (rows @ mean)).argmin()]


def _wide(rows: Tensor) -> Tensor:
    """At least float32, on the CPU where the device has no float64 (Apple's)."""
    return wide(rows.cpu() if rows.device.type == "mps" else rows)
