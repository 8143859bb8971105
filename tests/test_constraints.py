"""Laws of the constraints: what holds after one was applied, and what it left alone."""

from copy import deepcopy
from inspect import unwrap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import register_parametrization

from equipoise import constraints, spec
from equipoise.weights import TRANSPOSED

ALL = spec.names(constraints)
LAYERS = {
    "linear": lambda: nn.Linear(5, 7),
    "embedding": lambda: nn.Embedding(6, 4),
    "conv1d": lambda: nn.Conv1d(3, 4, 3),
    "conv2d": lambda: nn.Conv2d(3, 8, 3),
    "conv2d in groups": lambda: nn.Conv2d(4, 8, 3, groups=2),
    "conv3d": lambda: nn.Conv3d(2, 3, 2),
    "transposed 1d": lambda: nn.ConvTranspose1d(3, 4, 3),
    "transposed 2d": lambda: nn.ConvTranspose2d(4, 6, 3),
    "transposed 3d": lambda: nn.ConvTranspose3d(3, 2, 2),
}


def net():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(8, 4, 3),
        nn.Flatten(),
        nn.Linear(9, 2),
    )


def matrix(layer):
    """The weight as a matrix [outputs, rest], written out."""
    weight = layer.weight.detach()
    if isinstance(layer, TRANSPOSED):
        return torch.stack([weight[:, i].flatten() for i in range(weight.shape[1])])
    return torch.stack([row.flatten() for row in weight])


def snapshot(net):
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def assert_same(before, net):
    for name, value in net.state_dict().items():
        assert torch.equal(before[name], value), name


def test_names():
    assert ALL == ["clip", "clip_singular_values", "none"]


@pytest.mark.parametrize("name", ALL)
def test_a_constraint_works_in_place_and_is_a_projection(name):
    trained = net()
    parameters = list(trained.parameters())
    constrain = spec.build(name, constraints)
    assert constrain(trained) is None
    once = snapshot(trained)
    constrain(trained)
    for key, value in trained.state_dict().items():
        torch.testing.assert_close(value, once[key], rtol=1e-5, atol=1e-6)
    assert all(after is before for after, before in zip(trained.parameters(), parameters, strict=True))
    assert all(p.requires_grad and p.is_leaf and p.grad is None for p in trained.parameters())


def test_none_leaves_everything_alone():
    trained = net()
    before = snapshot(trained)
    constraints.none()(trained)
    assert_same(before, trained)


# Clipping of weights


@given(value=st.floats(1e-3, 2.0))
@settings(max_examples=20, deadline=None)
def test_clip_puts_every_parameter_into_the_box(value):
    trained = net()
    for parameter in trained.parameters():
        nn.init.normal_(parameter)
    before = snapshot(trained)
    constraints.clip(value=value)(trained)
    for name, parameter in trained.named_parameters():
        expected = before[name].numpy().clip(-value, value)
        assert torch.equal(parameter.detach(), torch.from_numpy(expected)), name
    assert torch.equal(before["1.running_var"], trained[1].running_var)  # a statistic is no parameter


def test_clip_is_of_a_hundredth_as_in_the_paper():
    layer = nn.Linear(50, 50)
    constraints.clip()(layer)
    assert layer.weight.abs().max().item() == pytest.approx(0.01)


def test_clip_of_weights_alone_leaves_biases_and_norms():
    trained = net()
    before = snapshot(trained)
    constraints.clip(value=1e-3, which="weights")(trained)
    for name, parameter in trained.named_parameters():
        weight_of_a_layer = name in ("0.weight", "3.weight", "5.weight")
        assert torch.equal(parameter, before[name]) != weight_of_a_layer, name
        assert (parameter.abs().max() <= 1e-3) == (weight_of_a_layer or name == "1.bias"), name


@pytest.mark.parametrize("which", ["all", "weights"])
def test_clip_acts_on_what_is_trained_of_a_parametrized_weight(which):
    layer = parametrizations.spectral_norm(nn.Linear(6, 6))
    vectors = layer.parametrizations.weight[0]._u.clone()
    constraints.clip(value=0.01, which=which)(layer)
    assert layer.parametrizations.weight.original.abs().max() <= 0.01
    assert torch.equal(layer.parametrizations.weight[0]._u, vectors)
    assert layer.weight.abs().max() > 0.05  # what is shown has norm 1
    assert (layer.bias.abs().max() <= 0.01) == (which == "all")


class Halved(nn.Module):
    def forward(self, weight):
        return weight / 2


def test_a_parametrized_bias_is_no_weight():
    layer = register_parametrization(nn.Linear(20, 20), "bias", Halved())
    before = snapshot(layer)
    constraints.clip(value=0.01, which="weights")(layer)
    assert torch.equal(layer.parametrizations.bias.original, before["parametrizations.bias.original"])
    assert layer.weight.abs().max() <= 0.01


def test_a_clipped_linear_critic_measures_the_distance_of_means():
    """Its optimum is w = c sign(difference), its value c |difference| (Arjovsky 2017)."""
    critic = nn.Linear(2, 1, bias=False)
    real, fake = torch.tensor([[3.0, -1.0]]), torch.tensor([[1.0, 4.0]])
    constrain = constraints.clip(value=0.1)
    optimizer = torch.optim.RMSprop(critic.parameters(), lr=0.05)
    for _ in range(50):
        optimizer.zero_grad()
        (critic(fake) - critic(real)).mean().backward()
        optimizer.step()
        constrain(critic)
    assert (critic(real) - critic(fake)).item() == pytest.approx(0.1 * (2 + 5))


# Clipping of singular values


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("value", [0.3, 1.0])
def test_no_singular_value_is_above_and_the_rest_stays(kind, value):
    layer = LAYERS[kind]()
    nn.init.normal_(layer.weight)
    U, S, Vh = torch.linalg.svd(matrix(layer), full_matrices=False)
    assert S.max() > value
    bias = None if getattr(layer, "bias", None) is None else layer.bias.detach().clone()
    constraints.clip_singular_values(value=value)(layer)
    assert torch.linalg.svdvals(matrix(layer)).max() <= value * (1 + 1e-5)
    torch.testing.assert_close(U.T @ matrix(layer) @ Vh.T, S.clamp(max=value).diag(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(matrix(layer), U * S.clamp(max=value) @ Vh, rtol=1e-5, atol=1e-5)
    assert bias is None or torch.equal(bias, layer.bias)


def test_every_layer_of_a_net_is_clipped_and_nothing_else():
    trained = net()
    for parameter in trained.parameters():
        nn.init.normal_(parameter, std=2.0)
    before = snapshot(trained)
    constraints.clip_singular_values()(trained)
    for index in (0, 3, 5):
        assert torch.linalg.svdvals(matrix(trained[index])).max().item() == pytest.approx(1, abs=1e-5)
    for name in set(before) - {"0.weight", "3.weight", "5.weight"}:
        assert torch.equal(before[name], trained.state_dict()[name]), name


@pytest.mark.parametrize("kind", LAYERS)
def test_weights_that_are_inside_stay_the_same_to_the_bit(kind):
    layer = LAYERS[kind]()
    before = snapshot(layer)
    largest = torch.linalg.svdvals(matrix(layer)).max().item()
    constraints.clip_singular_values(value=largest * 1.01)(layer)
    constraints.clip(value=largest * 1.01, which="weights")(layer)
    assert_same(before, layer)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-6), (torch.bfloat16, 1e-2)]
)
def test_precision_is_that_of_the_weight(dtype, tolerance):
    layer = nn.Conv2d(3, 8, 3).to(dtype).to(memory_format=torch.channels_last)
    nn.init.normal_(layer.weight)
    strides = layer.weight.stride()
    constraints.clip_singular_values()(layer)
    assert layer.weight.dtype == dtype
    assert layer.weight.stride() == strides
    torch.testing.assert_close(
        torch.linalg.svdvals(matrix(layer).double()).max().item(), 1.0, rtol=tolerance, atol=tolerance
    )


def test_training_goes_on_after_a_constraint():
    layer = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    for _ in range(3):
        layer(torch.ones(2, 4)).square().sum().mul(-1).backward()
        optimizer.step()
        constraints.clip_singular_values()(layer)
    assert layer.weight.grad.abs().max() > 0
    assert torch.linalg.matrix_norm(layer.weight, 2).item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("norm", [parametrizations.spectral_norm, parametrizations.weight_norm])
def test_singular_values_of_a_normalised_weight_are_refused_before_anything_changes(norm):
    trained = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), norm(nn.Linear(4, 4)))
    nn.init.normal_(trained[0].weight, std=3.0)
    before = deepcopy(trained[0].weight)
    with pytest.raises(ValueError, match=r"the weight of 2 is normalised: take the norm off to clip it"):
        constraints.clip_singular_values()(trained)
    assert torch.equal(before, trained[0].weight)


def test_a_net_without_a_layer_is_refused():
    with pytest.raises(ValueError, match=r"ReLU has no linear, convolution or embedding layer to clip"):
        constraints.clip_singular_values()(nn.ReLU())


@pytest.mark.parametrize(
    ("string", "message"),
    [
        ("clip(value=-1.0)", r"^value must be above 0, not -1.0$"),
        ("clip(value=0.0)", r"^value must be above 0, not 0.0$"),
        ("clip_singular_values(value=-1.0)", r"^value must be above 0, not -1.0$"),
    ],
)
def test_errors_say_what_is_wrong(string, message):
    with pytest.raises(ValueError, match=message):
        spec.build(string, constraints)


def test_an_unknown_choice_of_weights_is_refused():
    with pytest.raises(ValueError, match=r"^which cannot be 'biases'; choices: all, weights$"):
        unwrap(constraints.clip)(which="biases")  # without the type checks of the tests, which would be faster
