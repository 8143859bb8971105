"""The distances between sets of vectors: closed forms, independent references, and independence of batching."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.linalg import sqrtm
from torch import Tensor

from equipoise import metrics
from equipoise.metrics import Metric, fd, kid
from equipoise.metrics.frechet import distance
from equipoise.metrics.kernel import block_mean, discrepancy
from equipoise.metrics.statistics import Moments
from equipoise.spec import names

CHOICES = [getattr(metrics, name) for name in names(metrics)]
each = pytest.mark.parametrize("metric", CHOICES)


def normal(n: int, d: int, seed: int = 0, shift: float = 0.0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def feed(metric: Metric, real: Tensor, fake: Tensor, batch: int = 1000) -> float:
    for rows, side in ((real, True), (fake, False)):
        for part in torch.split(rows, batch):
            metric.update(part, real=side)
    return next(iter(metric.compute().values()))


def gaussian(mean: Tensor, covariance: Tensor, count: int = 100) -> Moments:
    return Moments(count, mean.double(), covariance.double() * (count - 1))


def spd(d: int, seed: int) -> Tensor:
    root = normal(d, d, seed).double()
    return root @ root.T / d + 0.1 * torch.eye(d)


def test_the_namespace_lists_the_metrics_only() -> None:
    assert names(metrics) == ["fd", "kid"]


@each
def test_value_does_not_depend_on_batching(metric) -> None:
    real, fake = normal(107, 12, 1, 5.0), normal(81, 12, 2, 5.5)
    whole = feed(metric(), real, fake)
    assert whole > 0
    for batch in (1, 7, 50):
        assert feed(metric(), real, fake, batch) == pytest.approx(whole, rel=1e-9, abs=1e-9)


@each
def test_sides_may_come_interleaved(metric) -> None:
    real, fake = normal(60, 5, 1), normal(60, 5, 2, 0.3)
    mixed = metric()
    for a, b in zip(torch.split(real, 20), torch.split(fake, 20), strict=True):
        mixed.update(b, real=False)
        mixed.update(a, real=True)
    assert mixed.compute() == pytest.approx(metric_value(metric, real, fake), rel=1e-9)


def metric_value(metric, real: Tensor, fake: Tensor) -> dict[str, float]:
    whole = metric()
    whole.update(real, real=True)
    whole.update(fake, real=False)
    return whole.compute()


@each
def test_the_sides_are_interchangeable_and_the_rows_moved_apart_are_farther(metric) -> None:
    a, b, c = normal(200, 6, 1), normal(200, 6, 2, 0.5), normal(200, 6, 3, 1.0)
    assert feed(metric(), a, b) == pytest.approx(feed(metric(), b, a), rel=1e-9)
    assert 0 < feed(metric(), a, b) < feed(metric(), a, c)


@each
def test_a_stored_reference_replaces_the_real_side(metric, tmp_path) -> None:
    real, fake = normal(150, 9, 1), normal(130, 9, 2, 0.2)
    first, second = metric(), metric()
    value = feed(first, real, fake)
    save_file(first.reference(), tmp_path / "reference.safetensors")
    second.update(normal(50, 9, 5), real=True)
    second.load_reference(load_file(tmp_path / "reference.safetensors"))
    second.update(fake, real=False)
    assert next(iter(second.compute().values())) == pytest.approx(value, rel=1e-9)


@each
def test_a_stored_reference_can_be_added_to(metric) -> None:
    real, fake, half = normal(150, 9, 1), normal(130, 9, 2, 0.2), metric()
    half.update(real[:70], real=True)
    second = metric()
    second.load_reference(half.reference())
    value = feed(second, real[70:], fake)
    assert value == pytest.approx(feed(metric(), real, fake), rel=1e-9)


@each
def test_updates_do_not_keep_the_caller_s_memory(metric) -> None:
    real, fake = normal(50, 4, 1), normal(50, 4, 2, 0.5)
    kept = metric()
    kept.update(real, real=True)
    kept.update(fake, real=False)
    before = kept.compute()
    real.zero_()
    assert kept.compute() == before


@each
def test_too_few_rows_are_refused(metric) -> None:
    one = metric()
    one.update(normal(5, 4), real=True)
    one.update(normal(1, 4), real=False)
    with pytest.raises(ValueError, match="at least 2 rows on a side, got 5 real and 1 generated"):
        one.compute()
    with pytest.raises(ValueError, match=r"got 0 real$"):
        metric().reference()


@each
def test_rows_of_another_dimension_are_refused(metric) -> None:
    mixed = metric()
    mixed.update(normal(5, 4), real=True)
    with pytest.raises(ValueError, match="one dimension, got 6 after 4"):
        mixed.update(normal(5, 6), real=False)


@each
def test_a_reference_of_another_dimension_is_refused(metric) -> None:
    long, short = metric(), metric()
    long.update(normal(5, 6), real=True)
    short.update(normal(5, 4), real=False)
    short.load_reference(long.reference())
    with pytest.raises(ValueError, match="one dimension"):
        short.compute()


@each
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_rows_that_are_not_finite_are_refused(metric, value: float) -> None:
    with pytest.raises(ValueError, match="finite features"):
        feed(metric(), torch.full((4, 3), value), torch.zeros(4, 3))


@each
def test_a_foreign_reference_is_refused(metric) -> None:
    with pytest.raises(ValueError, match=r"holds \[.*\], got \['x'\]"):
        metric().load_reference({"x": torch.zeros(2, 2)})


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


def test_kid_is_the_loop_over_all_pairs() -> None:
    x, y = normal(9, 4, 1).double().numpy(), normal(7, 4, 2).double().numpy()
    k = lambda a, b: (float(a @ b) / 4 + 1) ** 3
    within = lambda z: np.mean([k(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j])
    expected = within(x) + within(y) - 2 * np.mean([k(a, b) for a in x for b in y])
    assert discrepancy(torch.tensor(x), torch.tensor(y)).item() == pytest.approx(expected, rel=1e-10)


def test_kid_is_the_mean_over_full_blocks_of_consecutive_rows() -> None:
    x, y = normal(25, 3, 1), normal(38, 3, 2, 0.4)
    expected = (discrepancy(x[:10], y[:10]) + discrepancy(x[10:20], y[10:20])) / 2
    assert feed(kid(block=10), x, y, 4) == pytest.approx(expected.item(), rel=1e-12)
    assert block_mean(x, y, 1000) == pytest.approx(discrepancy(x, y[:25]).item(), rel=1e-12)


def test_kid_is_unbiased_and_fd_is_not() -> None:
    draws = [(normal(40, 8, 2 * seed), normal(40, 8, 2 * seed + 1)) for seed in range(200)]
    values = np.array([feed(kid(), a, b) for a, b in draws])
    assert abs(values.mean()) < 3 * values.std() / len(values) ** 0.5
    assert min(feed(fd(), a, b) for a, b in draws[:20]) > 0.3


def test_kid_keeps_the_first_ten_thousand_rows() -> None:
    rows = normal(12_000, 2, 1)
    metric = kid()
    for part in torch.split(rows, 3500):
        metric.update(part, real=True)
    assert torch.equal(metric.reference()["rows"], rows[:10_000])


def test_kid_refuses_blocks_without_pairs() -> None:
    with pytest.raises(ValueError, match="block must be at least 2, not 1"):
        kid(block=1)
