"""The earth mover's distance itself, between as many rows as an exact solver can take."""

from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..checks import check_range
from .intervals import around
from .kept import Rows, float64, once
from .metric import Intervals, SetMetric, Values, pair_of_rows, rows

STEPS = 10_000_000  # of the solver, far more than it takes


class Solution(NamedTuple):
    """The least cost, and for each row of y what a little more mass there would add to it."""

    cost: float
    potential: Float64[Tensor, " m"]


def wasserstein(most: int = 2000) -> SetMetric:
    """min_P sum_ij P_ij |x_i - y_j|, P with uniform marginals: W_1 of the samples (Kantorovich 1942), exactly.

    Between the first `most` rows of each side, by POT (`pip install equipoise[transport]`); in one dimension in closed
    form. Two samples of one distribution are about n^(-1/d) apart: too large, and hardly less for more images, so
    compare equal numbers, and with the value of real images. The interval is that of the dual potential's mean over
    generated images (del Barrio and Loubes 2019, arXiv:1705.01299), Student's.
    """
    check_range(at_least=2, most=most)
    return SetMetric("wasserstein", rows, partial(_cost, most), partial(_interval, most))


def plan(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> tuple[float, Float64[Tensor, "n m"]]:
    """The least cost of moving mass 1 / n at each x to mass 1 / m at each y, and how much goes from where to where."""
    moved, log = _solve(x, y)
    return float(log["cost"]), torch.from_numpy(moved)


def solution(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Solution:
    """The least cost and the potential of y, by the closed form in one dimension, else by POT."""
    if x.shape[1] == 1:
        return _on_a_line(float64(x)[:, 0].cpu(), float64(y)[:, 0].cpu())
    log = _solve(x, y)[1]
    return Solution(float(log["cost"]), torch.from_numpy(log["v"]))


def _solve(x: Tensor, y: Tensor) -> tuple[Any, dict[str, Any]]:
    try:
        import ot  # type: ignore[import-untyped]
    except ImportError:
        raise ValueError("wasserstein needs POT: pip install 'equipoise[transport]'") from None
    costs = torch.cdist(float64(x), float64(y), compute_mode="donot_use_mm_for_euclid_dist").cpu().numpy()
    moved, log = ot.emd([], [], costs, numItermax=STEPS, log=True)
    return moved, log


def _on_a_line(x: Float64[Tensor, " n"], y: Float64[Tensor, " m"]) -> Solution:
    """int |F_x - F_y|; the potential's derivative is the sign of F_x - F_y (Vallender 1974)."""
    places, order = torch.cat([x, y]).sort()
    below = lambda values: torch.searchsorted(values.sort().values, places[:-1], right=True).double() / len(values)
    gaps, lead = places.diff(), below(x) - below(y)
    potential = torch.empty_like(places)
    potential[order] = torch.cat([places.new_zeros(1), (lead.sign() * gaps).cumsum(0)])
    return Solution((lead.abs() * gaps).sum().item(), potential[len(x) :])


def _found(most: int, real: Rows, generated: Rows) -> Solution:
    x, y = (rows[:most] for rows in pair_of_rows("wasserstein", real, generated))
    return once(real, generated, ("wasserstein", most), lambda: solution(x, y))


def _cost(most: int, real: Rows, generated: Rows) -> Values:
    return {"wasserstein": _found(most, real, generated).cost}


def _interval(most: int, real: Rows, generated: Rows) -> Intervals:
    cost, potential = _found(most, real, generated)
    error = potential.std().item() / len(potential) ** 0.5
    return {"wasserstein": around(cost, error, len(potential) - 1)}
