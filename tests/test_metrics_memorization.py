"""Copies of training images, and of each other."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from test_metrics import normal

from equipoise.metrics import memorization
from equipoise.metrics.copies import cosine_distance, mifid
from equipoise.metrics.frechet import distance
from equipoise.metrics.kept import Moments


def scored(metric, real, generated):
    metric.update(real, real=True)
    metric.update(generated, real=False)
    return metric


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
    assert cosine_distance(torch.cat([real, torch.zeros(2, 3)]), generated) == pytest.approx(expected, rel=1e-4)
    assert 0 < expected < 0.1
    fd = distance(Moments.of(real), Moments.of(generated))
    assert mifid(real, generated) == pytest.approx(fd / expected, rel=1e-4)


def test_what_is_far_from_all_training_images_keeps_its_distance() -> None:
    real, generated = normal(50, 64, 1), normal(50, 64, 2)
    assert cosine_distance(real, generated) == 1
    assert mifid(real, generated) == pytest.approx(distance(Moments.of(real), Moments.of(generated)))
    assert mifid(real, real) == 0
    assert cosine_distance(real, torch.zeros(3, 64)) == 1


def test_a_share_of_none_or_all_is_refused() -> None:
    with pytest.raises(ValueError, match="quantile must be above 0 and below 1"):
        memorization(quantile=1)
