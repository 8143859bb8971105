"""Captured modes: points about centres, classes of a classifier, thousand-mode stacks."""

from math import log

import numpy as np
import pytest
import torch
from test_metrics import held, images, normal

from equipoise import metrics
from equipoise.data import toys
from equipoise.data.toys import grid, ring
from equipoise.metrics import modes
from equipoise.metrics.features import classifier
from equipoise.metrics.mode_coverage import frequencies, reverse_kl
from equipoise.spec import build, names


def scored(metric, generated, real=None):
    if real is not None:
        metric.update(real, real=True)
    metric.update(generated, real=False)
    return metric


def test_rings_and_grids_are_where_they_should_be() -> None:
    points = np.array(ring(8).centers)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 2)
    np.testing.assert_allclose(np.linalg.norm(points - np.roll(points, 1, 0), axis=1), 4 * np.sin(np.pi / 8))
    assert len(set(grid().centers)) == 25
    assert {point[0] for point in grid().centers} == {-4, -2, 0, 2, 4}


def test_modes_within_three_deviations_are_captured() -> None:
    centers = torch.tensor(ring(8).centers)
    near = centers[:3].repeat(20, 1) + 0.02 * normal(60, 2, 1)
    far = torch.tensor([[0.0, 0.0]] * 20)
    found = scored(modes(centers=ring(8), deviation=0.02), torch.cat([near, far]))
    values = found.compute()
    assert values["modes"] == 3
    assert values["high_quality"] == pytest.approx((near - centers[:3].repeat(20, 1)).norm(dim=1).le(0.06).sum() / 80)
    low, high = found.intervals()["high_quality"]
    assert low < values["high_quality"] < high


def test_the_divergence_is_that_of_frequencies() -> None:
    generated, real = torch.tensor([30, 10, 0]), torch.tensor([10, 10, 20])
    expected = 0.75 * log(0.75 / 0.25) + 0.25 * log(0.25 / 0.25)
    assert reverse_kl(generated, real) == pytest.approx(expected)
    assert reverse_kl(torch.tensor([4, 4]), None) == 0
    assert reverse_kl(torch.tensor([4, 0]), None) == pytest.approx(log(2))
    assert reverse_kl(torch.tensor([0, 4]), torch.tensor([7, 0])) == pytest.approx(log(7.5 / 0.5))


def test_real_points_give_the_frequencies() -> None:
    centers = grid(side=2).centers
    generated, real = torch.tensor([*centers[:1] * 9, *centers[1:2]]), torch.tensor([*centers[:1] * 9, *centers[1:2]])
    assert scored(modes(centers=centers), generated, real).compute()["reverse_kl"] == pytest.approx(
        0.9 * log(0.9 / (9 / 11)) + 0.1 * log(0.1 / (1 / 11))
    )


def test_classes_are_modes() -> None:
    logits = torch.eye(5)[[0, 1, 1, 4]]
    assert scored(modes(), logits).compute() == pytest.approx({"modes": 3, "reverse_kl": log(5) - 1.5 * log(2)})
    assert scored(modes(least=2), logits).compute()["modes"] == 1


def test_planes_are_classified_one_by_one() -> None:
    grey = images(30, 1, 28)
    told = classifier.classify(grey).argmax(1)
    stacked = grey[:, 0].view(10, 3, 28, 28)
    expected = {(*row,) for row in told.view(10, 3).tolist()}
    assert scored(modes(planes=True), stacked).compute()["modes"] == len(expected)


def test_a_string_with_a_ring_is_a_call() -> None:
    also = {name: getattr(toys, name) for name in names(toys)}
    metric = build("modes(centers=ring(5), deviation=0.1)", metrics, also)
    assert scored(metric, torch.tensor(ring(5).centers)).compute()["modes"] == 5
    literal = build("modes(centers=[(0, 0), (1, 1)])", metrics)
    assert scored(literal, torch.zeros(3, 2)).compute()["modes"] == 1


def draws(p, count: int, times: int = 100, **how) -> list:
    """Metrics of many draws of so many points of these frequencies, at the points of a grid or nowhere."""
    points = torch.tensor([*grid().centers, (9.0, 9.0)])
    drawn = [np.random.default_rng(seed).choice(26, count, p=p) for seed in range(times)]
    return [scored(modes(centers=grid(), **how), points[chosen]) for chosen in drawn]


RARE = 1 / np.arange(1, 26) ** 1.5


@pytest.mark.parametrize(
    ("p", "count", "how"),
    [
        (np.append(np.ones(25) / 25, 0), 60, {}),
        (np.append(RARE / RARE.sum(), 0), 100, {}),
        (np.append(RARE / RARE.sum() / 2, 0.5), 200, {}),
        (np.append(RARE / RARE.sum(), 0), 200, {"least": 5}),
    ],
)
def test_the_intervals_cover_the_means_over_draws(p, count: int, how) -> None:
    found = draws(p, count, **how)
    for name in ("modes", "reverse_kl"):
        share, width = held(found, name)
        assert share >= 0.88
        assert 0.8 <= width <= 2


def test_modes_that_are_never_missed_have_an_interval_of_one_number() -> None:
    (metric,) = draws(np.append(np.ones(3) / 3, np.zeros(23)), 600, 1)
    assert metric.intervals()["modes"] == (3, 3)


def test_no_interval_holds_more_modes_than_there_are() -> None:
    for metric in draws(np.append(np.ones(25) / 25, 0), 80, 20):
        low, high = metric.intervals()["modes"]
        assert low < metric.compute()["modes"] <= high <= 25


def test_modes_without_a_sample_share_what_modes_with_one_have() -> None:
    assert frequencies(np.array([5, 1, 1, 0, 0]), 10) == pytest.approx([0.4, 0.08, 0.08, 0.1, 0.1, 0.24])
    assert frequencies(np.array([5, 1]), 8) == pytest.approx([5 / 8, 1 / 8, 2 / 8])


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="by centers or in planes, not both"):
        modes(centers=ring(3), planes=True)
    with pytest.raises(ValueError, match="8 centers of dimension 2 got 3"):
        modes(centers=ring()).update(normal(4, 3), real=False)
