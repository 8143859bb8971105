"""Optimizers against their formulas in numpy."""

import numpy as np
import pytest
import torch
from torch import nn

from equipoise import optimizers, spec

GRADIENTS = np.array([0.5, -2.0, 0.25])
LR = 0.1


def path(spec_of_one):
    """Where a weight is that starts at 0 and gets those gradients."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    optimizer, places = spec.build(spec_of_one, optimizers)(net, LR), []
    for slope in GRADIENTS.tolist():
        net.weight.grad = torch.full((1, 1), slope)
        optimizer.step()
        places.append(net.weight.item())
    return np.array(places)


def mean(values, decay):
    """Means that start at 0 and decay, after each value."""
    means = [0.0]
    for value in values:
        means.append(decay * means[-1] + (1 - decay) * value)
    return np.array(means[1:])


def unbiased(values, decay):
    return mean(values, decay) / (1 - decay ** np.arange(1, len(values) + 1))


@pytest.mark.parametrize(("beta1", "beta2"), [(0.0, 0.9), (0.5, 0.999)])
def test_adam(beta1, beta2):
    steps = unbiased(GRADIENTS, beta1) / (np.sqrt(unbiased(GRADIENTS**2, beta2)) + 1e-3)
    np.testing.assert_allclose(path(f"adam(beta1={beta1}, beta2={beta2}, eps=1e-3)"), -LR * np.cumsum(steps), rtol=1e-5)


def test_rmsprop():
    steps = GRADIENTS / (np.sqrt(mean(GRADIENTS**2, 0.8)) + 1e-3)
    np.testing.assert_allclose(path("rmsprop(decay=0.8, eps=1e-3)"), -LR * np.cumsum(steps), rtol=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd(momentum):
    balls = mean(GRADIENTS / (1 - momentum), momentum)
    np.testing.assert_allclose(path(f"sgd(momentum={momentum})"), -LR * np.cumsum(balls), rtol=1e-5)


@pytest.mark.parametrize("name", spec.names(optimizers))
def test_all_weights_are_stepped_at_the_rate_that_was_asked_for(name):
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    (group,) = spec.build(name, optimizers)(net, 0.25).param_groups
    assert group["lr"] == 0.25
    assert group["params"] == [*net.parameters()]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("adam(beta1=1.0)", r"beta1 must be at least 0 and below 1, not 1.0"),
        ("adam(beta2=-0.1)", r"beta2 must be at least 0 and below 1, not -0.1"),
        ("adam(eps=-1.0)", "eps must be at least 0, not -1.0"),
        ("rmsprop(decay=1.5)", r"decay must be at least 0 and below 1, not 1.5"),
        ("sgd(momentum=1.0)", r"momentum must be at least 0 and below 1, not 1.0"),
        ("adm", r"optimizers has no 'adm' \(did you mean 'adam'\?\)"),
    ],
)
def test_impossible_ones_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        spec.build(call, optimizers)
