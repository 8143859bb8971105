"""Laws of spectral normalisation by the norm of the convolution as an operator."""

import math
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from equipoise import norms

OPERATORS = {
    "plain": lambda: nn.Conv2d(2, 3, 3, padding=1),
    "strided": lambda: nn.Conv2d(2, 3, 4, stride=2, padding=1),
    "dilated, in groups": lambda: nn.Conv2d(2, 4, 3, padding=2, dilation=2, groups=2),
    "circular": lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"),
    "1d": lambda: nn.Conv1d(2, 3, 3, stride=2),
    "3d": lambda: nn.Conv3d(1, 2, 2),
    "transposed": lambda: nn.ConvTranspose2d(2, 3, 4, stride=2, padding=1),
    "transposed with output padding": lambda: nn.ConvTranspose2d(2, 3, 3, stride=2, output_padding=1),
}


def dense(layer, shape):
    """The operator as a matrix, one column an input entry."""
    basis = torch.eye(math.prod(shape)).double().view(-1, *shape)
    bias = layer.bias.detach().view(-1, *[1] * (len(shape) - 1))
    return (layer(basis).detach() - bias).flatten(1).mT


@pytest.mark.parametrize("name", OPERATORS)
def test_the_operators_norm_is_one_by_its_dense_matrix(name):
    layer = norms.spectral(iterations=400, kind="operator")(OPERATORS[name]().double())
    weight = layer.parametrizations.weight.original
    shape = (weight.shape[0] if "transposed" in name else weight.shape[1] * layer.groups, *[6] * (weight.ndim - 2))
    layer(torch.randn(2, *shape).double())
    assert torch.linalg.matrix_norm(dense(layer.eval(), shape), 2).item() == pytest.approx(1, abs=1e-4)
    assert not torch.allclose(weight, layer.weight)


def test_the_reshaped_norm_does_not_bound_the_operator():
    layer = nn.Conv2d(1, 1, 3, padding=1, bias=True).double()
    nn.init.ones_(layer.weight)
    norms.spectral(iterations=50)(layer)
    assert torch.linalg.matrix_norm(dense(layer.eval(), (1, 24, 24)), 2).item() == pytest.approx(3, rel=0.05)


def test_the_gradient_through_the_operators_norm():
    layer = norms.spectral(iterations=500, kind="operator")(nn.Conv2d(2, 3, 3, padding=1).double())
    layer(torch.randn(1, 2, 5, 5).double())
    layer.eval()
    weight = layer.parametrizations.weight.original
    assert torch.autograd.gradcheck(layer.parametrizations.weight[0], (weight,))
    basis = torch.eye(2 * 25).double().view(-1, 2, 5, 5)

    def exact(w):
        operator = conv2d(basis, w, padding=1).flatten(1)
        return w / torch.linalg.matrix_norm(operator, 2)

    direction = torch.randn_like(weight)
    (got,) = torch.autograd.grad((layer.weight * direction).sum(), weight)
    (expected,) = torch.autograd.grad((exact(weight) * direction).sum(), weight)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_the_operator_follows_the_size_of_its_input_and_is_saved_with_it():
    layer = norms.spectral(kind="operator")(nn.Conv2d(2, 3, 3, padding=1))
    v = lambda: layer.parametrizations.weight[0].v
    layer(torch.randn(1, 2, 5, 7))
    assert v().shape == (1, 2, 5, 7)
    layer(torch.randn(1, 2, 9, 4))
    assert v().shape == (1, 2, 9, 4)
    twin = norms.spectral(kind="operator")(nn.Conv2d(2, 3, 3, padding=1))
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin.eval().weight, layer.eval().weight)


def test_the_operator_is_still_in_evaluation_whatever_the_size():
    layer = norms.spectral(kind="operator")(nn.Conv2d(2, 3, 3, padding=1))
    layer(torch.randn(1, 2, 8, 8))
    state, x = deepcopy(layer.eval().state_dict()), torch.randn(1, 2, 8, 8)
    before = layer(x)
    torch.manual_seed(5)
    layer(torch.randn(1, 2, 12, 5))
    assert torch.equal(layer(x), before)
    for name, value in layer.state_dict().items():
        assert torch.equal(value, state[name])


def test_a_removed_operator_takes_any_size():
    layer = norms.apply(norms.spectral(kind="operator"), nn.Sequential(nn.Conv2d(2, 3, 3)))
    layer(torch.randn(1, 2, 6, 6))
    norms.remove(layer)
    assert layer(torch.randn(1, 2, 9, 9)).shape == (1, 3, 7, 7)
    assert not layer[0]._forward_pre_hooks


def test_the_operator_follows_alternating_sizes():
    layer = norms.spectral(kind="operator", iterations=20)(nn.Conv2d(2, 3, 3, padding=1).double())
    for size in (6, 9) * 4:
        layer(torch.randn(1, 2, size, size).double())
        assert torch.linalg.matrix_norm(dense(layer.eval(), (2, size, size)), 2).item() == pytest.approx(1, abs=1e-2)
        layer.train()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_operator_takes_inputs_as_a_convolution_does(dtype):
    layer = norms.spectral(kind="operator")(nn.Conv2d(2, 3, 3).to(dtype))
    assert layer(torch.randn(2, 6, 6, dtype=dtype)).shape == (3, 4, 4)
    assert layer(input=torch.randn(1, 2, 6, 6, dtype=dtype)).shape == (1, 3, 4, 4)
