"""Exact transport: closed forms, scipy's solvers, and its interval."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance
from test_metrics import normal

from equipoise.metrics import wasserstein
from equipoise.metrics.transport import plan, solution


def test_a_translation_costs_its_norm() -> None:
    rows, shift = normal(40, 3, 1), torch.tensor([3.0, 0.0, 4.0])
    cost, moved = plan(rows, rows + shift)
    assert cost == pytest.approx(5, rel=1e-6)
    assert moved.sum(0).numpy() == pytest.approx(1 / 40)


def test_a_permutation_costs_nothing() -> None:
    rows = normal(30, 4, 1)
    cost, moved = plan(rows, rows.flip(0))
    assert cost == 0
    assert torch.allclose(moved, torch.eye(30).flip(0).double() / 30)


def test_of_equal_numbers_it_is_the_best_assignment() -> None:
    x, y = normal(50, 5, 1), normal(50, 5, 2, 0.3)
    costs = cdist(x.double().numpy(), y.double().numpy())
    cost, moved = plan(x, y)
    assert cost == pytest.approx(costs[linear_sum_assignment(costs)].mean(), rel=1e-9)
    assert (moved.numpy() * costs).sum() == pytest.approx(cost, rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 20), st.integers(2, 20), st.integers(0, 1000))
def test_on_a_line_it_is_scipy_s_and_the_solver_s(n: int, m: int, seed: int) -> None:
    x, y = normal(n, 1, seed).double(), normal(m, 1, seed + 1, 0.2).double()
    found, general = solution(x, y), solution(torch.cat([x, 0 * x], 1), torch.cat([y, 0 * y], 1))
    assert found.cost == pytest.approx(wasserstein_distance(x[:, 0].numpy(), y[:, 0].numpy()), rel=1e-9)
    assert found.cost == pytest.approx(general.cost, rel=1e-9)


def test_of_equal_numbers_scipy_and_pot_agree_and_the_potential_is_a_dual_solution() -> None:
    x, y = normal(60, 2, 1), normal(60, 2, 2, 0.4)
    found, costs = solution(x, y), cdist(x.double().numpy(), y.double().numpy())
    assert found.cost == pytest.approx(plan(x, y)[0], rel=1e-12)
    other_side = (costs - found.potential.numpy()).min(1)
    assert other_side.mean() + found.potential.mean().item() == pytest.approx(found.cost, rel=1e-9)
    assert solution(x, x).cost == 0


@pytest.mark.parametrize("d", [1, 2])
def test_the_potential_tells_what_more_mass_at_a_row_adds(d: int) -> None:
    x, y = normal(300, d, 1), normal(200, d, 2, 0.5)
    found = solution(x, y)
    without = [solution(x, torch.cat([y[:i], y[i + 1 :]])).cost for i in (3, 50, 120)]
    change = [(found.potential.mean() - found.potential[i]).item() / 199 for i in (3, 50, 120)]
    assert np.subtract(without, found.cost) == pytest.approx(change, abs=0.1 / 200)


def test_the_interval_covers_the_mean_over_draws() -> None:
    real, metrics = normal(3000, 1, 0), [wasserstein(most=3000) for _ in range(100)]
    for seed, metric in enumerate(metrics):
        metric.update(real, real=True)
        metric.update(normal(200, 1, 10 + seed, 0.5), real=False)
    truth = np.mean([metric.compute()["wasserstein"] for metric in metrics])
    held = [low <= truth <= high for low, high in (metric.intervals()["wasserstein"] for metric in metrics)]
    assert 0.88 <= np.mean(held) <= 1


def test_the_first_rows_alone_are_moved() -> None:
    metric = wasserstein(most=20)
    metric.update(normal(30, 2, 1), real=True)
    metric.update(normal(40, 2, 2), real=False)
    expected = plan(normal(30, 2, 1)[:20], normal(40, 2, 2)[:20])[0]
    assert metric.compute()["wasserstein"] == pytest.approx(expected, rel=1e-12)


def test_without_pot_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(ValueError, match=r"unequal numbers of points need POT: pip install 'equipoise\[transport\]'"):
        plan(normal(4, 2), normal(4, 2))
