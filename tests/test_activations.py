"""Activations against their closed forms, and their exchange in networks."""

from math import erf

import numpy as np
import pytest
import torch
from torch import nn

from equipoise import activations, layers, networks, spec
from equipoise.networks import ImageShape

FORMS = {
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "elu": lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1),
    "smooth_elu": lambda x: np.log1p(np.exp(2 * x + 2)) / 2 - 1,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2,
    "tanh": np.tanh,
}
ALL = spec.names(activations)


@pytest.mark.parametrize("name", ALL)
def test_closed_forms(name):
    x = torch.linspace(-6, 6, 101, dtype=torch.float64)
    np.testing.assert_allclose(spec.build(name, activations)(x).numpy(), FORMS[name](x.numpy()), atol=1e-9)


def test_the_slope_of_a_leaky_relu():
    assert activations.leaky_relu(slope=0.1)(torch.tensor(-2.0)).item() == pytest.approx(-0.2)


def test_smooth_elu_has_right_first_and_second_derivatives():
    x = torch.linspace(-4, 3, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(activations.smooth_elu(), x)
    assert torch.autograd.gradgradcheck(activations.smooth_elu(), x)


def second_derivative(activation, x):
    x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(activation(x), x, create_graph=True)
    return torch.autograd.grad(slope, x)[0].item()


def test_the_second_derivative_of_smooth_elu_is_continuous_where_elus_jumps():
    at = (-1e-4, 1e-4)
    left, right = (second_derivative(activations.smooth_elu(), x) for x in at)
    assert left == pytest.approx(right, rel=1e-3)
    left, right = (second_derivative(activations.elu(), x) for x in at)
    assert (left, right) == (pytest.approx(1, rel=1e-3), 0)


def test_smooth_elu_is_near_the_identity_and_near_minus_one():
    assert activations.smooth_elu()(torch.tensor([20.0, -20.0])).tolist() == [pytest.approx(20), pytest.approx(-1)]


NETS = ["dcgan(g_width=4, d_width=4)", "sn_cnn(g_width=4, d_width=4)", "sn_resnet(g_scale=0.02, d_scale=0.02)", "mlp"]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("network", NETS)
def test_every_hidden_activation_of_a_network_is_exchanged(network, name):
    activation = spec.build(name, activations)
    for net, end in zip(spec.build(network, networks)(ImageShape(1, 8, 8)), (1, 0), strict=True):
        ends = sum(isinstance(module, nn.Tanh) for module in net.modules())
        hidden = sum(isinstance(module, activations.HIDDEN) for module in net.modules())
        assert ends == end
        assert hidden
        assert activations.apply(activation, net) is net
        assert sum(type(module) is type(activation) for module in net.modules()) == hidden + end * (name == "tanh")
        kept = () if name == "tanh" else (type(activation),)
        assert not any(isinstance(m, activations.HIDDEN) and not isinstance(m, kept) for m in net.modules())


def test_a_module_that_is_used_twice_is_exchanged_twice():
    shared = nn.ReLU()
    net = nn.Sequential(shared, nn.Linear(2, 2), shared)
    activations.apply(activations.silu(), net)
    assert [type(layer) for layer in net] == [nn.SiLU, nn.Linear, nn.SiLU]


def test_skip_and_also():
    net = nn.Sequential(nn.Sequential(nn.ReLU()), nn.ReLU(), layers.TReLU(3), nn.Sigmoid())
    activations.apply(activations.silu(), net, skip="0.*")
    assert [type(layer) for layer in (net[0][0], *net[1:])] == [nn.ReLU, nn.SiLU, layers.TReLU, nn.Sigmoid]
    activations.apply(activations.gelu(), net, skip=["0.*", "1"], also=(layers.TReLU,))
    assert [type(layer) for layer in (net[0][0], *net[1:])] == [nn.ReLU, nn.SiLU, nn.GELU, nn.Sigmoid]
    with pytest.raises(ValueError, match=r"no activation to skip is called 'head\.\*'; activations: 0\.0, 1, 2"):
        activations.apply(activations.relu(), net, skip="head.*")


def test_a_network_without_activations_is_refused():
    with pytest.raises(ValueError, match="Sequential has no module that is a hidden activation"):
        activations.apply(activations.relu(), nn.Sequential(nn.Linear(2, 2), nn.Tanh()))
