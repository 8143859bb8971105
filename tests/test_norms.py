"""Laws of the weight normalisers."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from equipoise import norms, penalties, spec

LAYERS = {
    "linear": (lambda: nn.Linear(6, 5), (3, 6)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3), (2, 4, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 6, 3), (2, 4, 7, 8)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), (2, 2, 4, 4, 4)),
    "transposed1d": (lambda: nn.ConvTranspose1d(4, 6, 3), (2, 4, 9)),
    "transposed2d": (lambda: nn.ConvTranspose2d(4, 6, 4, 2, 1), (2, 4, 5, 5)),
    "transposed3d": (lambda: nn.ConvTranspose3d(2, 3, 2), (2, 2, 3, 3, 3)),
}


def matrix(layer):
    weight = layer.weight.detach()
    return (
        weight.transpose(0, 1)
        if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
        else weight
    ).flatten(1)


def sigma(layer):
    return torch.linalg.matrix_norm(matrix(layer), 2).item()


@pytest.mark.parametrize("kind", LAYERS)
def test_spectral_norm_is_one_by_the_svd(kind):
    layer = norms.spectral(iterations=300)(LAYERS[kind][0]().double())
    layer(torch.randn(LAYERS[kind][1]).double())
    assert sigma(layer) == pytest.approx(1, abs=1e-4)


def test_embeddings_are_normalised_too():
    table = norms.apply(norms.spectral(iterations=100), nn.Embedding(10, 4))
    assert sigma(table) == pytest.approx(1, abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(outputs=st.integers(1, 9), inputs=st.integers(1, 9), kernel=st.integers(1, 3), seed=st.integers(0, 99))
def test_spectral_norm_is_one_for_any_shape(outputs, inputs, kernel, seed):
    torch.manual_seed(seed)
    layer = norms.spectral(iterations=500)(nn.Conv2d(inputs, outputs, kernel).double())
    assert sigma(layer) == pytest.approx(1, abs=1e-2)


def test_sigma_follows_training_with_one_iteration_a_forward():
    """A few hundred steps on: 1.00 to 1.05 in all layers (methods, paper Fig. 9)."""
    net = norms.apply(
        norms.spectral(),
        nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.Flatten(), nn.Linear(256, 1)),
    )
    optimizer = torch.optim.Adam(net.parameters(), 2e-4)
    for _ in range(200):
        optimizer.zero_grad()
        (net(torch.randn(8, 3, 8, 8)) - 1).square().mean().backward()
        optimizer.step()
    for _, layer in norms.layers(net.eval()):
        assert 0.98 < sigma(layer) < 1.05


def test_gradient_is_that_of_the_paper():
    """dL/dW = (G - <G, W/sigma> u v') / sigma (Miyato 2018, Eq. 12), and u and v are constants."""
    layer = norms.spectral(iterations=200)(nn.Linear(5, 4, bias=False).double())
    x, weights = torch.randn(7, 5).double(), torch.randn(7, 4).double()
    shown = layer.weight
    (g,) = torch.autograd.grad((torch.nn.functional.linear(x, shown) * weights).sum(), shown, retain_graph=True)
    original = layer.parametrizations.weight.original
    (got,) = torch.autograd.grad((torch.nn.functional.linear(x, shown) * weights).sum(), original)
    left, values, right = torch.linalg.svd(original.detach())
    expected = (g - (g * shown.detach()).sum() * torch.outer(left[:, 0], right[0])) / values[0]
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", LAYERS)
def test_gradient_agrees_with_finite_differences(kind):
    make, shape = LAYERS[kind]
    layer = norms.spectral(iterations=300)(make().double()).eval()  # frozen u and v, at convergence
    x, original = torch.randn(shape).double(), layer.parametrizations.weight.original

    def value(weight):
        with torch.no_grad():
            kept = original.clone()
            original.copy_(weight)
            layer.train()
            result = layer(x).square().sum()
            layer.eval()
            original.copy_(kept)
        return result.item()

    layer(x).square().sum().backward()
    direction = torch.randn_like(original)
    numeric = (value(original + 1e-5 * direction) - value(original - 1e-5 * direction)) / 2e-5
    torch.testing.assert_close((original.grad * direction).sum().item(), numeric, rtol=1e-4, atol=1e-6)


def test_output_does_not_depend_on_the_weights_scale_and_the_gradient_shrinks_by_it():
    small, x = norms.spectral(iterations=50)(nn.Linear(6, 5)), torch.randn(3, 6)
    large = deepcopy(small)
    with torch.no_grad():
        large.parametrizations.weight.original.mul_(8)
    outputs = [layer.eval()(x) for layer in (small, large)]
    torch.testing.assert_close(*outputs)
    grads = [
        torch.autograd.grad(o.square().sum(), layer.parametrizations.weight.original)[0]
        for o, layer in zip(outputs, (small, large), strict=True)
    ]
    torch.testing.assert_close(grads[0], grads[1] * 8, rtol=1e-4, atol=1e-5)


def test_the_vectors_move_in_training_and_rest_in_evaluation():
    layer = norms.spectral()(nn.Linear(30, 20))
    with torch.no_grad():
        layer.parametrizations.weight.original.normal_()
    u = lambda: layer.parametrizations.weight[0].u.clone()
    before = u()
    layer.eval()(torch.randn(2, 30))
    assert torch.equal(u(), before)
    layer.train()(torch.randn(2, 30))
    assert not torch.equal(u(), before)
    assert {"parametrizations.weight.0.u", "parametrizations.weight.0.v"} <= layer.state_dict().keys()


def test_two_forwards_before_one_backward():
    layer = norms.spectral()(nn.Linear(6, 5))
    (layer(torch.randn(2, 6)).sum() - layer(torch.randn(2, 6)).sum()).backward()
    assert layer.parametrizations.weight.original.grad.isfinite().all()


def test_channels_last_gives_the_same_weight():
    plain = norms.spectral()(nn.Conv2d(4, 6, 3))
    last = deepcopy(plain).to(memory_format=torch.channels_last)
    torch.testing.assert_close(plain.weight, last.weight)
    last.load_state_dict(plain.state_dict())
    torch.testing.assert_close(plain.eval().weight, last.eval().weight)


def test_iteration_is_float32_under_autocast():
    layer = norms.spectral(iterations=100)(nn.Linear(64, 64))
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(2, 64)).dtype == torch.bfloat16
        assert layer.weight.dtype == torch.float32
    assert sigma(layer) == pytest.approx(1, abs=1e-3)


def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2))


@pytest.mark.parametrize("name", spec.names(norms))
def test_copy_save_and_penalise(name):
    D = norms.apply(
        spec.build(name, norms),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(64, 1), nn.Flatten(0)),
    )
    twin = deepcopy(D)
    D.load_state_dict(twin.state_dict())
    x = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(D.eval()(x), twin.eval()(x))
    penalties.r1()(D.train(), x, x).backward()
    for weight_name, weight in D.named_parameters():
        assert weight_name.endswith("3.bias") or (weight.grad.isfinite().all() and weight.grad.abs().max() > 0)


@pytest.mark.parametrize("name", spec.names(norms))
def test_remove_keeps_what_was_shown(name):
    D, x = norms.apply(spec.build(name, norms), net()).eval(), torch.randn(2, 3, 6, 6)
    expected = D(x)
    torch.testing.assert_close(norms.remove(D)(x), expected)
    assert {key for key, _ in D.named_parameters()} == {key for key, _ in net().named_parameters()}


def test_skip_leaves_layers_alone():
    D = norms.apply(norms.spectral(), net(), skip=["3"])
    assert [name for name, layer in norms.layers(D) if hasattr(layer, "parametrizations")] == ["0"]


def test_a_net_without_weights_is_refused():
    with pytest.raises(ValueError, match="ReLU has no linear, convolution or embedding layer to normalise"):
        norms.apply(norms.spectral(), nn.ReLU())


def test_iterations_must_be_positive():
    with pytest.raises(ValueError, match="iterations must be at least 1, not 0"):
        norms.spectral(iterations=0)


def test_a_weight_of_zeros_stays_what_it_is():
    layer = nn.Linear(4, 3)
    nn.init.zeros_(layer.weight)
    norms.spectral()(layer)
    layer(torch.randn(2, 4)).sum().backward()
    assert torch.equal(layer.weight, torch.zeros(3, 4))
    assert layer.parametrizations.weight.original.grad.isfinite().all()


def test_remove_in_training_keeps_what_evaluation_shows():
    D = norms.apply(norms.spectral(), net())
    shown = deepcopy(D).eval()[0].weight
    assert torch.equal(norms.remove(D)[0].weight, shown)


def test_a_layer_to_skip_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no layer to skip is called 'head'; layers: 0, 3"):
        norms.apply(norms.spectral(), net(), skip=["head"])


def test_a_weight_is_normalised_once():
    with pytest.raises(ValueError, match="the weight of this ParametrizedConv2d is normalised already"):
        norms.apply(norms.spectral(), norms.apply(norms.spectral(), net()))
