"""Classifiers that learn of generated images: logistic regression on features, and a small network on images."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from test_metrics import normal

from equipoise.metrics import cas, classifier_scores
from equipoise.metrics.labelled import regression


def classes(n: int, seed: int, spread: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    """Points about the corners of a triangle."""
    labels = torch.arange(n) % 3
    return torch.eye(3)[labels] + spread * normal(n, 3, seed), labels


def striped(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy images of horizontal or vertical stripes."""
    labels = torch.arange(n) % 2
    stripes = (torch.arange(16) % 4 < 2).float() * 150
    pictures = torch.stack([stripes.expand(16, 16), stripes.expand(16, 16).T])[labels][:, None]
    noise = torch.rand(n, 1, 16, 16, generator=torch.Generator().manual_seed(seed)) * 100
    return (pictures + noise).byte(), labels


def scored(metric, real, generated):
    metric.update(real[0], True, real[1])
    metric.update(generated[0], False, generated[1])
    return metric


def test_the_regression_is_scipy_s() -> None:
    rows, labels = classes(90, 1)
    x, one = rows.double().numpy(), np.eye(3)[labels]

    def objective(flat):
        weight, bias = flat[:9].reshape(3, 3), flat[9:]
        logits = x @ weight + bias
        return np.mean(np.log(np.exp(logits).sum(1)) - (logits * one).sum(1)) + 0.05 * np.square(weight).sum()

    expected = minimize(objective, np.zeros(12), tol=1e-12).x
    weight, bias = regression(rows.double(), labels, 3, 0.1)
    np.testing.assert_allclose(weight.numpy().ravel(), expected[:9], atol=1e-4)
    np.testing.assert_allclose((bias - bias.mean()).numpy(), expected[9:] - expected[9:].mean(), atol=1e-4)


def test_each_direction_tells_its_own_fault() -> None:
    real, good = classes(600, 1), classes(600, 2)
    tight = classes(600, 2, 0.01)
    noisy = (good[0], good[1][torch.randperm(600, generator=torch.Generator().manual_seed(0))])
    first, narrow, wrong = (scored(classifier_scores(), real, side).compute() for side in (good, tight, noisy))
    assert narrow["gan_test"] == 1 > first["gan_test"]
    assert wrong["gan_test"] < 0.5 < first["gan_train"]
    assert abs(first["gan_train"] - first["gan_test"]) < 0.05


def test_constant_features_and_classes_without_images_are_no_trouble() -> None:
    rows, labels = classes(60, 1)
    constant = torch.cat([rows, torch.ones(60, 2)], 1)
    found = scored(classifier_scores(), (constant, labels), (constant[labels < 2], labels[labels < 2]))
    assert found.compute()["gan_train"] == pytest.approx(2 / 3, abs=0.05)
    low, high = found.intervals()["gan_test"]
    assert low < found.compute()["gan_test"] <= high


def test_a_network_trained_on_good_images_knows_real_ones() -> None:
    real, good = striped(64, 1), striped(256, 2)
    metric = scored(cas(epochs=4), real, good)
    assert metric.compute()["cas"] > 0.95
    assert metric.compute()["cas.top5"] == 1
    assert metric.intervals()["cas"][1] == 1
    assert scored(cas(epochs=4), real, (good[0], 1 - good[1])).compute()["cas"] < 0.05


def test_the_seed_of_the_caller_stays_as_it_was() -> None:
    before = torch.random.get_rng_state()
    scored(cas(epochs=1), striped(8, 1), striped(8, 2)).compute()
    assert torch.equal(before, torch.random.get_rng_state())
