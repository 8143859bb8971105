"""How much of one set lies where the other has its images: balls about every row, out to its k-th nearest other."""

from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from ..checks import check_range
from .distances import Pair, balls, spread
from .full_precision import exact
from .intervals import of_mean, of_share
from .kept import Rows, once
from .metric import Intervals, SetMetric, Values, pair_of_rows, rows

SHARED = 5  # neighbours that are found for all metrics at once


class Overlap(NamedTuple):
    """What the balls about the rows of each side hold of the other."""

    counts: Int64[Tensor, " m"]  # of balls about real rows that hold each generated row
    covered: Bool[Tensor, " n"]  # is there a generated row in the ball about a real one
    recalled: Bool[Tensor, " n"]  # is a real row in a ball about a generated one


def precision_recall(k: int = 3) -> SetMetric:
    """Shares of y within r_k(x) of some x, and of x within r_k(y) of some y (Kynkaanniemi 2019, arXiv:1904.06991).

    r_k is the distance of a row to its k-th nearest other; on the boundary is outside, as in the `prdc` package. Both
    fall as the number of images grows, for the balls shrink: compare equal numbers. The intervals are Wilson's, of
    precision over generated images, of recall over real ones.
    """
    check_range(at_least=1, k=k)
    return SetMetric("precision_recall", rows, partial(_shares, k), partial(_share_intervals, k), higher=True)


def density_coverage(k: int = 5) -> SetMetric:
    """mean_y |{x : |x - y| < r_k(x)}| / k, and the share of those x that have such a y (Naeem 2020, arXiv:2002.09797).

    Density may exceed one; for equal distributions it is one for any number of images, and coverage
    1 - 2^-k for equal numbers. The interval of density is Student's over generated images, that of coverage Wilson's
    over real ones.
    """
    check_range(at_least=1, k=k)
    return SetMetric("density_coverage", rows, partial(_densities, k), partial(_density_intervals, k), higher=True)


def overlap(real: Rows, generated: Rows, k: int) -> Overlap:
    """Which balls hold which rows of the other side, found once for all metrics of this k."""
    x, y = pair_of_rows("precision and recall", real, generated)
    few = min(len(x), len(y))
    if few <= k:
        raise ValueError(f"k={k} nearest others need at least {k + 1} rows on a side, got {few}")
    if not radii(real, k).any():
        raise ValueError(f"every real row has k={k} others equal to it: there are no balls that could hold anything")
    return once(real, generated, ("overlap", k), lambda: _overlap(x, y, radii(real, k), radii(generated, k)))


def radii(side: Rows, k: int) -> Float64[Tensor, " n"]:
    """The squared distance of each row to its k-th nearest other."""
    count = min(max(k, SHARED), side.count - 1)
    return once(side, side, ("spread", count), lambda: spread(side.rows, count))[:, k - 1]


def _overlap(x: Tensor, y: Tensor, of_x: Tensor, of_y: Tensor) -> Overlap:
    with exact(x.device):
        pair = Pair(x, y)
        counts = of_y.new_zeros(len(y), dtype=torch.int64)
        covered, recalled = of_x.new_zeros(2, len(x), dtype=torch.bool)
        for i, j, about_x, about_y in balls(pair, of_x, of_y):
            counts[j] += about_x.sum(0)
            covered[i] |= about_x.any(1)
            recalled[i] |= about_y.any(1)
    return Overlap(counts, covered, recalled)


def _shares(k: int, real: Rows, generated: Rows) -> Values:
    found = overlap(real, generated, k)
    return {"precision": _mean(found.counts > 0), "recall": _mean(found.recalled)}


def _share_intervals(k: int, real: Rows, generated: Rows) -> Intervals:
    values = _shares(k, real, generated)
    counts = {"precision": generated.count, "recall": real.count}
    return {name: of_share(value, counts[name]) for name, value in values.items()}


def _densities(k: int, real: Rows, generated: Rows) -> Values:
    found = overlap(real, generated, k)
    return {"density": _mean(found.counts) / k, "coverage": _mean(found.covered)}


def _density_intervals(k: int, real: Rows, generated: Rows) -> Intervals:
    found = overlap(real, generated, k)
    density = of_mean((found.counts.double() / k).tolist())
    return {"density": density, "coverage": of_share(_mean(found.covered), real.count)}


def _mean(values: Tensor) -> float:
    return values.double().mean().item()
