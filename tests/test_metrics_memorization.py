"""Copies of training images, and of each other."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from test_metrics import held, normal

from equipoise.metrics import memorization
from equipoise.metrics.copies import cosine_distances
from equipoise.metrics.frechet import distance
from equipoise.metrics.kept import Moments


def scored(metric, real, generated):
    metric.update(real, real=True)
    metric.update(generated, real=False)
    return metric


def mifid(real, generated) -> float:
    return scored(memorization(), real, generated).compute()["mifid"]


def test_copies_are_counted() -> None:
    real = normal(400, 8, 1)
    generated = torch.cat([real[:50], normal(100, 8, 2) + 20, torch.full((50, 8), -9.0)])
    found = scored(memorization(), real, generated).compute()
    assert found["memorization"] == 50 / 200
    assert found["duplicates"] == 50 / 200
    assert found["nearest"] == pytest.approx(cdist(generated.numpy(), real.numpy()).min(1).mean(), rel=1e-5)


def test_new_images_are_near_as_often_as_training_images_are_to_each_other() -> None:
    found = scored(memorization(quantile=0.2), normal(3000, 6, 1), normal(3000, 6, 2))
    low, high = found.intervals()["memorization"]
    assert low - 0.02 <= 0.2 <= high + 0.02
    assert found.compute()["duplicates"] == pytest.approx(0.2, abs=0.03)


def test_mifid_is_the_distance_over_that_of_the_nearest_directions() -> None:
    real, generated = normal(300, 3, 1), normal(200, 3, 2)
    x, y = real.double().numpy(), generated.double().numpy()
    cosines = np.abs((y / np.linalg.norm(y, axis=1, keepdims=True)) @ (x / np.linalg.norm(x, axis=1, keepdims=True)).T)
    expected = (1 - cosines.max(1)).mean()
    found = cosine_distances(torch.cat([real, torch.zeros(2, 3)]), torch.cat([generated, torch.zeros(2, 3)]))
    np.testing.assert_allclose(found[:200], 1 - cosines.max(1), atol=1e-6)
    assert found[200:].isnan().all()
    assert 0 < expected < 0.1
    fd = distance(Moments.of(real), Moments.of(generated))
    assert mifid(real, generated) == pytest.approx(fd / expected, rel=1e-4)
    assert mifid(real, torch.cat([generated, torch.zeros(1, 3)])) == pytest.approx(fd / expected, rel=0.02)


def test_what_is_far_from_all_training_images_keeps_its_distance() -> None:
    real, generated = normal(50, 64, 1), normal(50, 64, 2)
    assert cosine_distances(real, generated).mean() > 0.1
    assert mifid(real, generated) == pytest.approx(distance(Moments.of(real), Moments.of(generated)))
    assert mifid(real, real) == 0
    for one, other in ((real, torch.zeros(3, 64)), (torch.zeros(3, 64), generated)):
        assert mifid(one, other) == pytest.approx(distance(Moments.of(one), Moments.of(other)))


@pytest.mark.parametrize(("d", "shift"), [(4, 0.3), (6, 0.0), (16, 0.3)])
def test_the_interval_of_mifid_covers_its_mean_over_draws(d: int, shift: float) -> None:
    real = normal(1000, d, 0)
    share, width = held([scored(memorization(), real, normal(400, d, seed, shift)) for seed in range(1, 81)], "mifid")
    assert share >= 0.88
    assert 0.8 <= width <= 2


def test_the_interval_of_mifid_leaves_each_of_ten_groups_out() -> None:
    real, generated = normal(300, 4, 1), normal(2345, 4, 2, 0.1)
    group = torch.arange(2345) % 10
    without = [mifid(real, generated[group != i]) for i in range(10)]
    low, high = scored(memorization(), real, generated).intervals()["mifid"]
    assert (low + high) / 2 == pytest.approx(mifid(real, generated))
    assert (high - low) / 2 == pytest.approx(2.2622 * (0.9 * np.var(without) * 10) ** 0.5, rel=1e-4)


def test_below_a_hundred_images_mifid_has_no_interval() -> None:
    for count, has in ((99, False), (100, True)):
        assert ("mifid" in scored(memorization(), normal(300, 4, 1), normal(count, 4, 2)).intervals()) == has


def test_a_share_of_none_or_all_is_refused() -> None:
    with pytest.raises(ValueError, match="quantile must be above 0 and below 1"):
        memorization(quantile=1)
