"""Precision, recall, density, coverage: against all distances in float64, ties and large means included."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from test_metrics import normal

from equipoise.metrics import density_coverage, distances, precision_recall
from equipoise.metrics.distances import nearest, spread


def reference(real: torch.Tensor, generated: torch.Tensor, k: int) -> dict[str, float]:
    """What the `prdc` package computes (Naeem 2020)."""
    x, y = real.double().numpy(), generated.double().numpy()
    own = lambda rows: np.sort(cdist(rows, rows), axis=1)[:, k]
    across, of_x, of_y = cdist(x, y), own(x)[:, None], own(y)[None]
    inside = across < of_x
    return {
        "precision": inside.any(0).mean(),
        "recall": (across < of_y).any(1).mean(),
        "density": inside.sum(0).mean() / k,
        "coverage": inside.any(1).mean(),
    }


def scored(metric, real, generated):
    metric.update(real, real=True)
    metric.update(generated, real=False)
    return metric


def ours(real, generated, k):
    both = (scored(make(k), real, generated).compute() for make in (precision_recall, density_coverage))
    return {name: value for found in both for name, value in found.items()}


@pytest.mark.parametrize("tile", [16, 2048])
@pytest.mark.parametrize("shift", [0.0, 1e3])
@pytest.mark.parametrize(("n", "m", "d"), [(90, 70, 2), (40, 131, 64), (100, 100, 1)])
def test_the_numbers_are_those_of_all_distances(monkeypatch, tile: int, shift: float, n: int, m: int, d: int) -> None:
    monkeypatch.setattr(distances, "TILE", tile)
    real, generated = normal(n, d, 1, shift), normal(m, d, 2, 0.3 + shift) * 1.0
    assert ours(real, generated, 4) == pytest.approx(reference(real, generated, 4), abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 6), st.integers(0, 10**6), st.sampled_from([8, 2048]))
def test_ties_are_outside(k: int, d: int, high: int, seed: int, tile: int) -> None:
    """Points of a lattice have many equal distances, whose squares are whole numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distances, "TILE", tile)
        draw = torch.Generator().manual_seed(seed)
        real, generated = (torch.randint(0, high, (n, d), generator=draw).float() for n in (23, 31))
        real[0] = high + 1  # one at least has no equal
        assert ours(real, generated, k) == pytest.approx(reference(real, generated, k), abs=1e-12)


def test_of_a_set_with_itself_all_is_inside() -> None:
    rows = normal(200, 16, 1)
    found = ours(rows, rows.clone(), 3)
    assert [found[name] for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    assert found["density"] == pytest.approx(1)


def test_equal_distributions_have_density_one_and_coverage_one_less_a_power_of_two() -> None:
    found = ours(normal(2000, 8, 1), normal(2000, 8, 2), 5)
    assert found["density"] == pytest.approx(1, abs=0.1)
    assert found["coverage"] == pytest.approx(1 - 2**-5, abs=0.02)


def test_a_metric_of_the_same_rows_does_not_measure_again(monkeypatch) -> None:
    first = scored(precision_recall(5), normal(50, 4, 1), normal(50, 4, 2))
    expected = ours(normal(50, 4, 1), normal(50, 4, 2), 5)
    first.compute()
    monkeypatch.setattr(distances.Pair, "tiles", None)
    second = density_coverage(5)
    second.sides = first.sides
    assert first.intervals().keys() == {"precision", "recall"}
    assert second.compute() == {name: expected[name] for name in ("density", "coverage")}


@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_the_nearest_are_those_of_all_distances(monkeypatch, shift: float) -> None:
    monkeypatch.setattr(distances, "TILE", 32)
    real, generated = normal(150, 20, 1, shift), normal(77, 20, 2, shift)
    found, near = nearest(real, generated, 3)
    all_distances = cdist(generated.double().numpy(), real.double().numpy())
    assert (found.numpy() == np.argsort(all_distances, axis=1)[:, :3]).all()
    np.testing.assert_allclose(near, np.sort(all_distances, axis=1)[:, :3], rtol=1e-12)
    own = np.sort(cdist(real.double().numpy(), real.double().numpy()), axis=1)[:, 1:4]
    np.testing.assert_allclose(spread(real, 3).sqrt(), own, rtol=1e-12)


def test_rows_as_many_as_asked_for_or_equal_are_no_trouble() -> None:
    rows = torch.zeros(5, 3)
    assert nearest(rows, rows, 5)[1].tolist() == [[0.0] * 5] * 5
    assert spread(rows, 4).tolist() == [[0.0] * 4] * 5
    with pytest.raises(ValueError, match="at most the 5 real rows, not 6"):
        nearest(rows, rows, 6)


def test_precision_s_interval_covers_its_limit() -> None:
    real = normal(400, 4, 0)
    truth = scored(precision_recall(), real, normal(20_000, 4, 1, 0.8)).compute()["precision"]
    held = []
    for seed in range(60):
        low, high = scored(precision_recall(), real, normal(150, 4, 10 + seed, 0.8)).intervals()["precision"]
        held.append(low <= truth <= high)
    assert 0.86 <= np.mean(held) <= 1
    assert 0.3 < truth < 0.97


@pytest.mark.parametrize("make", [precision_recall, density_coverage])
def test_fewer_rows_than_neighbours_are_refused(make) -> None:
    with pytest.raises(ValueError, match="k=6 nearest others need at least 7 rows on a side, got 5"):
        scored(make(k=6), normal(9, 2), normal(5, 2)).compute()
    with pytest.raises(ValueError, match="k must be at least 1"):
        make(k=0)


def test_features_too_large_for_float32_are_refused() -> None:
    with pytest.raises(ValueError, match="below 1e18"):
        scored(precision_recall(), normal(9, 2).double() * 1e30, normal(9, 2).double()).compute()
