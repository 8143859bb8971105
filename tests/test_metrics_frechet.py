"""The Frechet distance: closed forms, independent references, singular covariances, and its intervals."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from test_metrics import normal
from torch import Tensor

from equipoise.metrics import fd, fd_infinity
from equipoise.metrics.frechet import distance
from equipoise.metrics.kept import Moments


def feed(metric, real: Tensor, generated: Tensor, batch: int = 1000) -> float:
    for rows, side in ((real, True), (generated, False)):
        for part in torch.split(rows, batch):
            metric.update(part, real=side)
    return next(iter(metric.compute().values()))


def gaussian(mean: Tensor, covariance: Tensor, count: int = 100) -> Moments:
    return Moments(count, mean.double(), covariance.double() * (count - 1))


def spd(d: int, seed: int) -> Tensor:
    root = normal(d, d, seed).double()
    return root @ root.T / d + 0.1 * torch.eye(d)


@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_fd_of_a_set_with_itself_vanishes(shift: float) -> None:
    rows = normal(300, 40, 1, shift)
    assert feed(fd(), rows, rows, 64) < 1e-6


def test_fd_of_diagonal_gaussians_is_the_closed_form() -> None:
    a, b = torch.tensor([1.0, 4.0, 0.0]), torch.tensor([9.0, 1.0, 2.0])
    apart = torch.tensor([1.0, -2.0, 0.5])
    expected = apart.square().sum() + (a.sqrt() - b.sqrt()).square().sum()
    value = distance(gaussian(torch.zeros(3), a.diag()), gaussian(apart, b.diag()))
    assert value == pytest.approx(expected.item(), rel=1e-6)


def test_fd_of_full_gaussians_is_that_of_scipy() -> None:
    a, b, apart = spd(20, 1), spd(20, 2), normal(1, 20, 3)[0].double()
    root = sqrtm((a @ b).numpy())
    expected = apart.square().sum().item() + np.trace(a.numpy() + b.numpy() - 2 * root.real)
    assert distance(gaussian(torch.zeros(20), a), gaussian(apart, b)) == pytest.approx(expected, rel=1e-9)


def test_fd_of_samples_is_that_of_numpy_s_moments() -> None:
    a, b = normal(500, 8, 1) @ spd(8, 1).float(), normal(400, 8, 2, 0.4)
    root = sqrtm(np.cov(a.numpy().T) @ np.cov(b.numpy().T))
    apart = np.square(a.numpy().mean(0) - b.numpy().mean(0)).sum()
    expected = apart + np.trace(np.cov(a.numpy().T) + np.cov(b.numpy().T) - 2 * root.real)
    assert feed(fd(), a, b) == pytest.approx(expected, rel=1e-5)


def test_fd_of_fewer_rows_than_dimensions_is_finite_and_exact() -> None:
    rows, other = normal(10, 64, 1), normal(12, 64, 2)
    assert feed(fd(), rows, rows) < 1e-11
    a, b = Moments.of(rows), Moments.of(other)
    overlap = torch.linalg.svdvals(centred(rows) @ centred(other).T).sum()
    expected = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * overlap
    assert feed(fd(), rows, other) == pytest.approx(expected.item(), rel=1e-12)


def centred(rows: Tensor) -> Tensor:
    rows = rows.double()
    return (rows - rows.mean(0)) / (len(rows) - 1) ** 0.5


def test_fd_of_constant_rows_is_the_distance_of_the_constants() -> None:
    assert feed(fd(), torch.zeros(4, 3), torch.full((4, 3), 2.0)) == pytest.approx(12.0)


def test_fd_survives_half_precision_rows_and_a_large_mean() -> None:
    rows = normal(400, 6, 1).double()
    expected = feed(fd(), rows[:200], rows[200:])
    assert feed(fd(), rows[:200] + 1e6, rows[200:] + 1e6, 13) == pytest.approx(expected, rel=1e-6)
    assert feed(fd(), rows[:200].half(), rows[200:].half()) == pytest.approx(expected, rel=0.05)


def test_moments_add_up_to_those_of_all_rows() -> None:
    rows = normal(90, 5, 1, 3.0)
    total = Moments.of(rows[:20]) + Moments.of(rows[20:21]) + Moments.of(rows[21:])
    assert total.count == 90
    np.testing.assert_allclose(total.mean, rows.numpy().astype(float).mean(0), rtol=1e-12)
    np.testing.assert_allclose(total.covariance, np.cov(rows.numpy().astype(float).T), rtol=1e-10)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 12), st.integers(2, 30), st.integers(2, 30), st.integers(0, 1000))
def test_fd_is_the_formula_by_the_eigenvalues_of_the_product(d: int, n: int, m: int, seed: int) -> None:
    a, b = Moments.of(normal(n, d, seed)), Moments.of(normal(m, d, seed + 1, 0.5))
    roots = torch.linalg.eigvals(a.covariance @ b.covariance).sqrt().real.sum()
    expected = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * roots
    assert distance(a, b) == pytest.approx(expected.item(), rel=1e-5, abs=1e-5)
    assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-6, abs=1e-7)
    assert distance(a, a) == pytest.approx(0, abs=1e-6)


def test_one_row_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 rows on a side, got 1 real and 1 generated"):
        feed(fd(), normal(1, 3), normal(1, 3))


def test_of_unequal_constants_in_some_features_the_means_count_alone() -> None:
    rows = torch.cat([normal(50, 2, 1), torch.ones(50, 2)], 1)
    other = torch.cat([normal(50, 2, 1), torch.full((50, 2), 4.0)], 1)
    assert feed(fd(), rows, other) == pytest.approx(18, rel=1e-9)


def repeated(make, shift: float, times: int, count: int) -> list:
    """Metrics of many draws against the same real rows."""
    reference = fd()
    reference.update(normal(20_000, 4, 0), real=True)
    metrics = [make() for _ in range(times)]
    for seed, metric in enumerate(metrics):
        metric.load_reference(reference.reference())
        metric.update(normal(count, 4, 100 + seed, shift), real=False)
    return metrics


def test_fd_infinity_has_no_bias_of_first_order() -> None:
    corrected, plain = (
        np.mean([metric.compute()[make.__name__] for metric in repeated(make, 0.0, 15, 1000)])
        for make in (fd_infinity, fd)
    )
    assert abs(corrected) < 0.2 * plain


def test_the_interval_covers_the_distance_of_many_images() -> None:
    truth = repeated(fd, 0.3, 1, 50_000)[0].compute()["fd"]
    held = [low <= truth <= high for low, high in (metric.intervals()["fd"] for metric in repeated(fd, 0.3, 40, 2000))]
    assert 0.83 <= np.mean(held) <= 1
