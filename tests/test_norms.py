"""Laws of all weight normalisers."""

from copy import deepcopy
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import conv2d

from equipoise import norms, penalties, spec
from equipoise.weights import TRANSPOSED, rows_of

ALL = spec.names(norms)
LAYERS = {
    "linear": (lambda: nn.Linear(6, 5), (3, 6)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3), (2, 4, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 6, 3), (2, 4, 7, 8)),
    "conv2d in groups": (lambda: nn.Conv2d(4, 6, 3, groups=2), (2, 4, 7, 8)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), (2, 2, 4, 4, 4)),
    "transposed 1d": (lambda: nn.ConvTranspose1d(4, 6, 3), (2, 4, 9)),
    "transposed 2d": (lambda: nn.ConvTranspose2d(4, 6, 4, 2, 1), (2, 4, 5, 5)),
    "transposed 2d in groups": (lambda: nn.ConvTranspose2d(4, 6, 4, 2, 1, groups=2), (2, 4, 5, 5)),
    "transposed 3d": (lambda: nn.ConvTranspose3d(2, 3, 2), (2, 2, 3, 3, 3)),
}
EACH_LAYER = pytest.mark.parametrize("kind", LAYERS)
SCALE_FREE = ["frobenius", "orthogonal", "spectral", "standardized(eps=0.0)", "strict_weight(eps=0.0)"]


def matrix(layer):
    """One row an output, written out by hand."""
    weight = layer.weight.detach()
    if not isinstance(layer, TRANSPOSED):
        return torch.stack([row.flatten() for row in weight])
    blocks = weight.chunk(layer.groups)
    return torch.stack([block[:, output].flatten() for block in blocks for output in range(weight.shape[1])])


def original(layer):
    """What is trained of a layer with one trained weight."""
    return layer.parametrizations.weight.original


def made(name, kind):
    return spec.build(name, norms)(LAYERS[kind][0]().double())


@EACH_LAYER
def test_rows_are_the_weights_of_one_output(kind):
    layer = LAYERS[kind][0]()
    rows = rows_of(layer)
    assert torch.equal(rows.matrix(layer.weight), matrix(layer))
    assert torch.equal(rows.weight(rows.matrix(layer.weight), layer.weight), layer.weight)
    numbers = torch.arange(float(len(matrix(layer))))
    assert torch.equal(rows.matrix(rows.spread(numbers, layer.weight).expand_as(layer.weight))[:, 0], numbers)


@EACH_LAYER
@pytest.mark.parametrize("name", ALL)
def test_every_layer_can_be_normalised_trained_and_freed(name, kind):
    make, shape = LAYERS[kind]
    layer = spec.build(name, norms)(make())
    layer(torch.randn(shape)).square().sum().backward()
    assert all(weight.grad.abs().max() > 0 for weight in layer.parameters())
    shown = norms.remove(deepcopy(layer).eval()).weight
    torch.testing.assert_close(shown, layer.eval().weight)


@EACH_LAYER
def test_rows_have_length_one(kind):
    torch.testing.assert_close(matrix(made("standardized(eps=0.0)", kind)).norm(dim=1).min().item(), 1.0)
    layer = made("strict_weight(eps=0.0)", kind)
    share = prod(layer.stride) if isinstance(layer, TRANSPOSED) else 1  # of the kernel that one output pixel sees
    torch.testing.assert_close(matrix(layer).square().sum(1) / share, torch.ones(len(matrix(layer))).double())


@EACH_LAYER
def test_standardized_rows_have_mean_zero(kind):
    torch.testing.assert_close(matrix(made("standardized", kind)).mean(1).abs().max().item(), 0.0)


@EACH_LAYER
def test_frobenius_norm_is_one(kind):
    assert matrix(made("frobenius", kind)).norm().item() == pytest.approx(1)


@EACH_LAYER
def test_orthogonal_weights_have_singular_values_of_one(kind):
    values = torch.linalg.svdvals(matrix(made("orthogonal", kind)))
    torch.testing.assert_close(values, torch.ones_like(values))


@EACH_LAYER
def test_weight_normalisation_starts_where_the_layer_was_and_trains_lengths(kind):
    torch.manual_seed(1)
    plain = LAYERS[kind][0]()
    layer = norms.weight()(deepcopy(plain))
    torch.testing.assert_close(layer.weight, plain.weight)
    with torch.no_grad():
        layer.parametrizations.weight.original1.mul_(7)  # the direction's length is no matter
    torch.testing.assert_close(layer.weight, plain.weight)
    with torch.no_grad():
        layer.parametrizations.weight.original0.mul_(2)
    torch.testing.assert_close(layer.weight, 2 * plain.weight)


@EACH_LAYER
@pytest.mark.parametrize("name", SCALE_FREE)
def test_the_weight_does_not_depend_on_the_scale_of_what_is_trained(name, kind):
    layer = made(name, kind).eval()
    before = layer.weight.detach().clone()
    with torch.no_grad():
        original(layer).mul_(8)
    torch.testing.assert_close(layer.weight, before)


@EACH_LAYER
@pytest.mark.parametrize("name", SCALE_FREE)
def test_the_gradient_is_orthogonal_to_what_is_trained(name, kind):
    layer = made(name, kind)
    layer(torch.randn(LAYERS[kind][1]).double()).square().sum().backward()
    trained = original(layer)
    product = rows_of(layer).matrix(trained.grad * trained.detach()).sum(1)
    largest = product.abs().max() if name.startswith(("strict", "standard")) else product.sum().abs()
    assert largest < 1e-12 * trained.grad.norm() * trained.norm() + 1e-14


@EACH_LAYER
@pytest.mark.parametrize("name", [name for name in ALL if name != "none"])
def test_first_and_second_gradients_agree_with_finite_differences(name, kind):
    layer = made(name, kind).eval()
    chain = layer.parametrizations.weight
    originals = [weight for key, weight in chain.named_parameters() if "original" in key]
    trained = [weight.detach().clone().requires_grad_() for weight in originals]
    shown = (lambda w: chain[0](w)) if len(trained) == 1 else (lambda g, v: chain[0](g, v))
    assert torch.autograd.gradcheck(shown, trained, fast_mode=True, atol=1e-6)
    assert torch.autograd.gradgradcheck(shown, trained, fast_mode=True, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from([name for name in ALL if name != "none"]),
    outputs=st.integers(1, 7),
    inputs=st.integers(1, 7),
    kernel=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_weights_and_gradients_are_finite_for_any_shape(name, outputs, inputs, kernel, seed):
    torch.manual_seed(seed)
    layer = spec.build(name, norms)(nn.Conv2d(inputs, outputs, kernel))
    layer(torch.randn(1, inputs, 5, 6)).square().sum().backward()
    assert layer.weight.shape == (outputs, inputs, kernel, kernel)
    assert layer.weight.isfinite().all()
    assert all(weight.grad.isfinite().all() for weight in layer.parameters())


def test_a_strict_transposed_convolution_keeps_the_variance_of_white_input():
    """Xiang and Li 2017: stride 2, kernel 4; without the stride's factor it would be a quarter."""
    layer = norms.strict_weight()(nn.ConvTranspose2d(16, 32, 4, 2, 1, bias=False))
    inside = layer(torch.randn(64, 16, 12, 12))[:, :, 2:-2, 2:-2]
    assert inside.var().item() == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("kind", ["linear", "conv2d", "transposed 2d", "transposed 2d in groups"])
def test_equalized_layers_keep_the_variance_and_train_unit_weights(kind):
    wide = {
        "linear": (nn.Linear(200, 300), (400, 200)),
        "conv2d": (nn.Conv2d(32, 48, 3), (16, 32, 12, 12)),
        "transposed 2d": (nn.ConvTranspose2d(32, 48, 4, 2, 1), (16, 32, 12, 12)),
        "transposed 2d in groups": (nn.ConvTranspose2d(32, 48, 4, 2, 1, groups=2), (16, 32, 12, 12)),
    }
    layer, shape = wide[kind]
    norms.equalized(gain=1.0)(layer)
    assert original(layer).std().item() == pytest.approx(1, rel=0.05)
    out = layer(torch.randn(shape))
    inside = out[:, :, 3:-3, 3:-3] if out.ndim == 4 else out
    assert inside.var().item() == pytest.approx(1, rel=0.15)


def test_equalized_layers_take_equal_steps_relative_to_their_scale():
    small, large = (norms.equalized()(nn.Linear(inputs, 8)) for inputs in (10, 1000))
    for layer in (small, large):
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
        before = layer.weight.detach().clone()
        layer(torch.randn(4, layer.in_features)).square().sum().backward()
        optimizer.step()
        step = (layer.weight - before).abs().median() / before.std()
        assert step.item() == pytest.approx(0.01, rel=0.2)


def test_equalized_without_gain_keeps_the_layer():
    plain = nn.Conv2d(4, 6, 3)
    layer = norms.equalized(gain=None)(deepcopy(plain))
    torch.testing.assert_close(layer.weight, plain.weight)
    torch.testing.assert_close(layer.bias, plain.bias)
    assert original(layer).square().mean().item() == pytest.approx(1, rel=1e-4)


def test_embeddings_are_normalised_by_row():
    assert norms.strict_weight()(nn.Embedding(5, 3)).weight.norm(dim=1).tolist() == pytest.approx([1] * 5, abs=1e-5)
    assert norms.orthogonal()(nn.Embedding(5, 3)).weight.detach().norm().item() == pytest.approx(3**0.5)


def test_code_that_reads_the_weight_sees_the_normalised_one():
    layer, x = norms.strict_weight()(nn.Conv2d(3, 4, 3)), torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(conv2d(x, layer.weight, layer.bias), layer(x))


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


def test_remove_in_training_keeps_what_evaluation_shows():
    D = norms.apply(norms.spectral(), net())
    shown = deepcopy(D).eval()[0].weight
    assert torch.equal(norms.remove(D)[0].weight, shown)


def test_a_layer_to_skip_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no layer to skip is called 'head'; layers: 0, 3"):
        norms.apply(norms.spectral(), net(), skip=["head"])


def test_a_weight_is_normalised_once():
    with pytest.raises(ValueError, match="normalised already: 0, 3; nothing was changed"):
        norms.apply(norms.spectral(), norms.apply(norms.spectral(), net()))


@pytest.mark.parametrize("name", ["frobenius", "weight", "strict_weight", "standardized"])
def test_zero_weights_have_finite_gradients_that_are_not_huge(name):
    layer = nn.Linear(4, 3)
    nn.init.zeros_(layer.weight)
    spec.build(name, norms)(layer)
    layer(torch.ones(2, 4)).sum().backward()
    assert all(weight.grad.abs().max() < 1e6 for weight in layer.parameters())


def test_orthogonal_rows_where_a_filter_is_zero():
    layer = nn.Linear(6, 4)
    layer.weight.data[1] = 0
    W = norms.orthogonal()(layer).weight.detach()
    torch.testing.assert_close(W @ W.mT, torch.eye(4), atol=1e-5, rtol=0.0)


def test_a_pattern_to_skip_may_be_a_string():
    D = norms.apply(norms.spectral(), net(), skip="3")
    assert [name for name, layer in norms.layers(D) if hasattr(layer, "parametrizations")] == ["0"]


def test_a_net_that_is_refused_is_left_as_it_was():
    D = net()
    norms.spectral()(D[3])
    with pytest.raises(ValueError, match="normalised already: 3; nothing was changed"):
        norms.apply(norms.weight(), D)
    assert not hasattr(D[0], "parametrizations")
