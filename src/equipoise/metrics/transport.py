"""The earth mover's distance itself, between as many rows as an exact solver can take."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import scipy
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ..checks import check_range
from .intervals import around
from .kept import Rows, float64, once
from .metric import Intervals, SetMetric, Values, pair_of_rows, rows

STEPS = 10_000_000  # of the solver, far more than it takes
TIGHT = 1e-12  # of the largest cost: rounding


@dataclass(frozen=True)
class Solution:
    """The least cost, and for each row of y what a little more mass there would add to it, found when asked for."""

    cost: float
    find: Callable[[], Float64[Tensor, " m"]]

    @cached_property
    def potential(self) -> Float64[Tensor, " m"]:
        """What a little more mass at each y would add."""
        return self.find()


def wasserstein(most: int = 2000) -> SetMetric:
    """min_P sum_ij P_ij |x_i - y_j|, P with uniform marginals: W_1 of the samples (Kantorovich 1942), exactly.

    Between the first `most` rows of each side: of equal numbers the best assignment, of others by POT (`pip install
    equipoise[transport]`), in one dimension in closed form. Two samples of one distribution are about n^(-1/d) apart:
    too large, and hardly less for more images, so compare equal numbers, and with the value of real images. The
    interval is that of the dual potential's mean over generated images (del Barrio and Loubes 2019, arXiv:1705.01299),
    Student's.
    """
    check_range(at_least=2, most=most)
    return SetMetric("wasserstein", rows, partial(_cost, most), partial(_interval, most))


def plan(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> tuple[float, Float64[Tensor, "n m"]]:
    """The least cost of moving mass 1 / n at each x to mass 1 / m at each y, and how much goes from where to where."""
    moved, log = _solve(x, y)
    return float(log["cost"]), torch.from_numpy(moved)


def solution(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Solution:
    """The least cost and the potential of y: in closed form in one dimension, else by scipy or by POT."""
    if x.shape[1] == 1:
        return _on_a_line(float64(x)[:, 0].cpu(), float64(y)[:, 0].cpu())
    if len(x) == len(y):
        return _assigned(_costs(x, y))
    log = _solve(x, y)[1]
    return Solution(float(log["cost"]), lambda: torch.from_numpy(log["v"]))


def _solve(x: Tensor, y: Tensor) -> tuple[Any, dict[str, Any]]:
    try:
        import ot  # type: ignore[import-untyped]
    except ImportError:
        raise ValueError(
            "distances of unequal numbers of points need POT: pip install 'equipoise[transport]'"
        ) from None
    moved, log = ot.emd([], [], _costs(x, y), numItermax=STEPS, log=True)
    return moved, log


def _costs(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float64[np.ndarray, "n m"]:
    return torch.cdist(float64(x), float64(y), compute_mode="donot_use_mm_for_euclid_dist").cpu().numpy()


def _assigned(costs: Float64[np.ndarray, "n n"]) -> Solution:
    """The best assignment of rows to columns."""
    rows, assigned = scipy.optimize.linear_sum_assignment(costs)
    return Solution(float(costs[rows, assigned].mean()), partial(_shortest, costs, assigned))


def _shortest(costs: Float64[np.ndarray, "n n"], assigned: Int64[np.ndarray, " n"]) -> Float64[Tensor, " n"]:
    """v_j = min_i (v_s(i) + c_ij - c_is(i)) for the best assignment s: the shortest ways are a potential."""
    best = costs[np.arange(len(costs)), assigned]
    excess, potential = costs - best[:, None], np.zeros(len(costs))
    for _ in range(len(costs)):
        shorter = (potential[assigned, None] + excess).min(0)
        if (potential - shorter).max() <= TIGHT * best.max():
            break
        potential = np.minimum(potential, shorter)
    return torch.from_numpy(potential)


def _on_a_line(x: Float64[Tensor, " n"], y: Float64[Tensor, " m"]) -> Solution:
    """int |F_x - F_y|; the potential's derivative is the sign of F_x - F_y (Vallender 1974)."""
    places, order = torch.cat([x, y]).sort()
    below = lambda values: torch.searchsorted(values.sort().values, places[:-1], right=True).double() / len(values)
    gaps, lead = places.diff(), below(x) - below(y)
    potential = torch.empty_like(places)
    potential[order] = torch.cat([places.new_zeros(1), (lead.sign() * gaps).cumsum(0)])
    return Solution((lead.abs() * gaps).sum().item(), lambda: potential[len(x) :])


def _found(most: int, real: Rows, generated: Rows) -> Solution:
    x, y = (rows[:most] for rows in pair_of_rows("wasserstein", real, generated))
    return once(real, generated, ("wasserstein", most), lambda: solution(x, y))


def _cost(most: int, real: Rows, generated: Rows) -> Values:
    return {"wasserstein": _found(most, real, generated).cost}


def _interval(most: int, real: Rows, generated: Rows) -> Intervals:
    found = _found(most, real, generated)
    count = len(found.potential)
    return {"wasserstein": around(found.cost, found.potential.std().item() / count**0.5, count - 1)}
