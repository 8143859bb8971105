"""The fast path of spectral normalisation computes what the plain one does; the switch; u and v of averages."""

import logging
import os
import subprocess
import sys
from copy import deepcopy

import pytest
import torch
from test_norms_operator import dense
from test_norms_spectral import sigma
from test_norms_together import net, spectrals, trained
from torch import nn

from equipoise import norms, spec
from equipoise.norms import fast

OPTIONS = ["", "iterations=3", "scale='learned'", "update='step'"]


def is_fast(layer):
    weight = layer.weight
    return type(weight.grad_fn).__name__ == "DivisionBackward"


def train(D, x, steps=3):
    """A few steps of gradient descent on the outputs and on their gradient with respect to the weights."""
    optimizer = torch.optim.SGD(D.parameters(), 0.001)
    for _ in range(steps):
        optimizer.zero_grad()
        gradients = torch.autograd.grad(D(x).square().mean(), [*D.parameters()], create_graph=True)
        sum(gradient.square().sum() for gradient in gradients).backward()
        optimizer.step()
    return D


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("training", [True, False])
def test_both_paths_have_the_same_values_gradients_and_second_gradients(options, layout, training):
    quick = norms.apply(spec.build(f"spectral({options})", norms), net().double().to(memory_format=layout))
    plain, x = deepcopy(quick), torch.randn(2, 3, 8, 8).double()
    assert is_fast(quick[0]) or "learned" in options
    train(quick.train(training), x)
    with norms.accelerated(False):
        assert not is_fast(plain[0])
        train(plain.train(training), x)
        torch.testing.assert_close(plain.eval()(x), (expected := deepcopy(plain))(x))
    torch.testing.assert_close(quick.eval()(x), expected(x))
    for one, other in zip(quick.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    torch.testing.assert_close(dict(quick.state_dict()), dict(plain.state_dict()))


class TwoFormats(nn.Sequential):
    def forward(self, x):
        return self[1](self[0](x).double())


def test_layers_of_two_formats():
    quick = norms.apply(norms.spectral(), TwoFormats(nn.Linear(6, 5), nn.Linear(5, 4).double()))
    plain = deepcopy(quick)
    for D, enabled in ((quick, True), (plain, False)):
        with norms.accelerated(enabled):
            D(torch.ones(2, 6)).square().sum().backward()
            norms.advance(D)
    for one, other in zip(quick.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close([*quick.buffers()], [*plain.buffers()], rtol=1e-4, atol=1e-5)


def test_both_paths_begin_alike():
    states = []
    for enabled in (True, False):
        torch.manual_seed(1)
        with norms.accelerated(enabled):
            states.append(dict(norms.apply(norms.spectral(scale="learned", update="step"), net()).state_dict()))
    torch.testing.assert_close(*states)


@pytest.mark.parametrize("enabled", [True, False])
def test_both_paths_keep_u_where_the_weight_is_zero(enabled):
    layer = nn.Linear(8, 6)
    nn.init.zeros_(layer.weight)
    with norms.accelerated(enabled):
        norms.spectral(scale="learned")(layer)
        layer(torch.randn(2, 8)).sum().backward()
        norms.advance(layer)
    iterated = layer.parametrizations.weight[0]
    assert iterated.u.norm().item() == pytest.approx(1)
    assert iterated.v.norm().item() == 0
    assert iterated.gain.item() == 1


@pytest.mark.parametrize("kind", ["reshaped", "operator"])
def test_u_recovers_from_weights_of_zero(kind):
    layer = nn.Conv2d(2, 3, 3, padding=1).double()
    nn.init.zeros_(layer.weight)
    norms.spectral(kind=kind, iterations=50)(layer)
    with norms.accelerated(False):
        for _ in range(3):
            layer(torch.randn(1, 2, 6, 6).double())
        layer.parametrizations.weight.original.data.normal_()
        for _ in range(10):
            layer(torch.randn(1, 2, 6, 6).double())
    norm = sigma(layer.eval()) if kind == "reshaped" else torch.linalg.matrix_norm(dense(layer.eval(), (2, 6, 6)), 2)
    assert float(norm) == pytest.approx(1, abs=1e-3)


def test_the_switch_is_put_back():
    layer = norms.spectral()(nn.Linear(4, 3))
    with norms.accelerated(False):
        with norms.accelerated(True):
            assert is_fast(layer)
        assert not is_fast(layer)
    with pytest.raises(KeyError), norms.accelerated(False):
        raise KeyError
    assert is_fast(layer)


@pytest.mark.parametrize(("value", "expected"), [("1", "plain"), ("0", "fast")])
def test_the_environment_can_switch_the_fast_path_off(value, expected):
    code = (
        "from torch import nn; from equipoise import norms; weight = norms.spectral()(nn.Linear(4, 3)).weight\n"
        "print('fast' if type(weight.grad_fn).__name__ == 'DivisionBackward' else 'plain')"
    )
    environment = os.environ | {"EQUIPOISE_PLAIN_NORMS": value}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == expected, done.stderr


@pytest.mark.parametrize(("owner", "name"), [(torch._C, "_are_functorch_transforms_active"), (torch, "_foreach_copy_")])
def test_a_torch_without_what_the_fast_path_needs_takes_the_plain_one_and_says_so_once(
    owner, name, monkeypatch, caplog, request
):
    D, x = norms.apply(norms.spectral(), net()), torch.randn(2, 3, 8, 8)
    twin = deepcopy(D)
    expected = twin(x)
    request.addfinalizer(fast.is_supported.cache_clear)
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "equipoise"):
        patch.delattr(owner, name)
        fast.is_supported.cache_clear()
        torch.testing.assert_close(D(x), expected)
        norms.advance(D)
        assert not is_fast(D[0])
    assert [record.getMessage() for record in caplog.records] == [
        f"spectral normalisation is slower: torch {torch.__version__} lacks {name}; its results are the same"
    ]


def test_this_torch_has_what_the_fast_path_needs():
    assert fast.is_supported()


@pytest.mark.parametrize("kind", ["reshaped", "operator"])
@pytest.mark.parametrize("enabled", [True, False])
def test_the_average_keeps_its_norm_when_it_is_advanced(kind, enabled):
    torch.manual_seed(1)  # weights whose second singular value does not overtake the first, which takes u some moves
    live = norms.apply(norms.spectral(kind=kind), nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)).double())
    average, x = deepcopy(live).eval(), torch.randn(1, 3, 9, 9).double()
    average(x)  # an input of this size
    targets = [weight.std() * torch.randn_like(weight) for weight in trained(live).values()]
    with norms.accelerated(enabled):
        for _ in range(500):
            norms.advance(average)
        left = deepcopy(average)
        for move in range(600):
            for network in (average, left):
                torch._foreach_lerp_([w.data for w in trained(network).values()], targets, 0.0005)
            norms.advance(average)
            assert move % 20 or deviation(average, kind) < 1e-3
    assert deviation(left, kind) > 0.02


def deviation(network, kind):
    """|sigma - 1| of the worst layer."""
    if kind == "reshaped":
        return max(abs(sigma(layer) - 1) for layer in network)
    shapes = [(3, 9, 9), (8, 7, 7)]
    values = [torch.linalg.matrix_norm(dense(*pair), 2).item() for pair in zip(network, shapes, strict=True)]
    return max(abs(value - 1) for value in values)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_advance_is_one_iteration_of_u_and_v_alone(training, dtype):
    D = norms.apply(norms.spectral(iterations=1), net().to(dtype))
    for weight in trained(D).values():
        weight.data.normal_()
    advanced, before = deepcopy(D).train(training), deepcopy(D.state_dict())
    norms.advance(advanced)
    D.train()(torch.randn(2, 3, 8, 8, dtype=dtype))
    torch.testing.assert_close(dict(advanced.state_dict()), dict(D.state_dict()))
    moved = {name for name, value in advanced.state_dict().items() if not torch.equal(value, before[name])}
    vectors = {name for name in before if name.endswith((".u", ".v"))}
    assert moved == vectors - {"6.parametrizations.weight.0.u"}  # of one output: +1 or -1
    assert all(weight.grad is None for weight in advanced.parameters())


def test_advance_leaves_other_networks_alone():
    for network in (net(), norms.apply(norms.frobenius(), net())):
        before = deepcopy(network.state_dict())
        norms.advance(network)
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_modules_whose_buffers_belong_to_power_iteration():
    D = norms.apply(norms.spectral(update="step"), nn.Sequential(*net(), nn.BatchNorm1d(1)))
    iterated = [name for name, module in D.named_modules() if isinstance(module, norms.PowerIteration)]
    assert [id(D.get_submodule(name)) for name in iterated] == [*map(id, spectrals(D))]
    assert {name for name, _ in D.get_submodule(iterated[0]).named_buffers()} == {"u", "v", "stale"}
    assert all(
        isinstance(one, norms.PowerIteration)
        for one in norms.spectral(kind="operator")(nn.Conv2d(1, 1, 1)).parametrizations.weight
    )
