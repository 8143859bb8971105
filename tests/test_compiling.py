"""Compiled networks have the same numbers, gradients of gradients too; all but one are traced without a compiler."""

import copy
import json
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from jaxtyping import config
from small_runs import same_state
from torch import nn

from equipoise import augment, losses, networks, optimizers, penalties, presets, runs
from equipoise.critic import Critic
from equipoise.games import adversarial
from equipoise.labels import LabelSpace
from equipoise.networks import ImageShape
from equipoise.runs import choices, planning
from equipoise.runs.certificate import Certificate
from equipoise.runs.folder import read_rows
from equipoise.spec import build
from equipoise.training import State, compiled, compiling, recompute, steps
from equipoise.training.precision import BFLOAT16

pytestmark = [
    pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning"),  # which torch looks at when it traces
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning"),  # its compiler's own
]
traced = partial(compiled, backend="aot_eager")


@pytest.fixture(autouse=True)
def unchecked():
    """Types are not checked at run time, which cannot be traced; warnings are said anew."""
    config.update("jaxtyping_disable", True)
    compiling.say_once.cache_clear()
    yield
    config.update("jaxtyping_disable", False)


def rounds(nets, game, labels=None, count=2):
    """The state after some rounds on the same images."""
    state = State.start(nets, game, optimizers.sgd(), lr=0.1)
    images = torch.linspace(-1, 1, 4 * 3 * 16 * 16).view(4, 3, 16, 16)
    batch = images if labels is None else (images, labels)
    stats = [{name: value.item() for name, value in now.items()} for now in steps(state, [batch] * count, game)]
    return stats, state


@pytest.mark.parametrize(
    ("network", "labels"),
    [
        ("dcgan(g_width=4, d_width=4, d_feature_norm='none')", None),
        ("sn_resnet(g_scale=0.03125, d_scale=0.03125)", torch.arange(4)),
    ],
)
def test_rounds_are_the_same(network, labels, caplog):
    space = LabelSpace() if labels is None else LabelSpace("classes", 4)
    G, D = build(network, networks)(ImageShape(3, 16, 16, space))
    found = []
    for change in (lambda net: net, traced):
        nets = {"G": change(copy.deepcopy(G)), "D": change(copy.deepcopy(D))}
        torch.manual_seed(0)
        game = adversarial(losses.hinge(), [penalties.r1(weight=0.1), penalties.r2(weight=0.1)])
        found.append(rounds(nets, game, labels))
    (wanted, plain), (stats, fast) = found
    assert stats == [pytest.approx(row, rel=1e-4, abs=1e-5) for row in wanted]
    for name, net in fast.nets.items():
        assert type(net.forward).__name__ == "Compiled"
        torch.testing.assert_close(dict(net.named_parameters()), dict(plain.nets[name].named_parameters()))
        for weight, other in zip(net.parameters(), plain.nets[name].parameters(), strict=True):
            assert weight.requires_grad
            torch.testing.assert_close(weight.grad, other.grad)  # of its own player alone
    gradient = fast.nets["D"].forward.gradient
    assert gradient is not None
    assert getattr(gradient, "__name__", "") != "plain_gradient"
    assert "not compiled" not in caplog.text


def test_features_and_hooks_see_what_inner_layers_give():
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 1))
    fast, x = traced(copy.deepcopy(net)), torch.randn(4, 3, 2, 2)
    for _ in range(2):
        (wanted,), (found,) = Critic(net, features="2").features(x), Critic(fast, features="2").features(x)
        assert torch.equal(found, wanted)
        assert torch.equal(*torch.autograd.grad([wanted.sum(), found.sum()], [net[1].bias, fast[1].bias]))
    assert torch.equal(fast(x), net(x))
    for register in (fast[3].register_forward_pre_hook, fast[3].register_forward_hook):
        inputs = []
        with register(lambda layer, given, *output, inputs=inputs: inputs.append(given[0])):
            fast(x)
        assert torch.equal(*inputs, wanted)


def test_a_penalty_sees_the_discriminator_through_its_augmentation():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 1))
    fast, x, terms = traced(copy.deepcopy(net)), torch.randn(4, 3, 8, 8), []
    for D in (net, fast):
        torch.manual_seed(0)
        terms.append(penalties.r1()(Critic(D, augment=augment.diffaug()), x, x))
    torch.testing.assert_close(terms[1], terms[0])
    torch.testing.assert_close(*torch.autograd.grad(terms[0] + terms[1], [net[0].weight, fast[0].weight]))


def test_a_copy_is_compiled_for_itself():
    net = traced(nn.Sequential(nn.Linear(2, 1)))
    before, x = net(torch.ones(1, 2)), torch.ones(1, 2)
    other = copy.deepcopy(net)
    nn.init.zeros_(other[0].weight)
    assert torch.equal(other(x), other[0].bias[None])
    assert torch.equal(net(x), before)


def test_hooks_on_the_network_itself_count_for_penalties_too():
    terms, x = [], torch.randn(4, 3)
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    for D in (net, traced(copy.deepcopy(net))):
        D.register_forward_hook(lambda layer, given, output: 2 * output)
        terms.append(penalties.r1()(Critic(D), x, x))
    torch.testing.assert_close(terms[1], terms[0])


def test_a_hook_that_changes_what_a_layer_gives_is_refused():
    net = traced(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)))
    with (
        net[0].register_forward_hook(lambda layer, given, output: 2 * output),
        pytest.raises(ValueError, match="has to be there before `compiled`"),
    ):
        net(torch.ones(1, 2))


def test_a_network_is_compiled_once_and_not_recomputed():
    for change in (recompute, traced):
        with pytest.raises(ValueError, match="is compiled or recomputed already"):
            compiled(change(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))))


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="there is no C++ compiler")
def test_a_compiler_draws_the_same_random_numbers():
    net = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    fast, x, terms = compiled(copy.deepcopy(net)), torch.randn(4, 2), []
    for D in (net, fast):
        torch.manual_seed(1)
        terms.append(D(x))
    torch.testing.assert_close(terms[1], terms[0])
    torch.testing.assert_close(*torch.autograd.grad((terms[0] + terms[1]).sum(), [net[0].weight, fast[0].weight]))


def test_settings_of_ones_own():
    assert compiling.settings() == {"dynamic": False, "options": {"fallback_random": True}}
    assert compiling.settings(options={"max_autotune": True})["options"] == {
        "fallback_random": True,
        "max_autotune": True,
    }
    assert compiling.settings(mode="max-autotune") == {"dynamic": False, "mode": "max-autotune"}


def test_a_gradient_through_layers_with_running_statistics_is_not_compiled_and_says_so(caplog):
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(144, 1))
    fast, x = traced(copy.deepcopy(net)), torch.randn(3, 1, 8, 8)
    terms = [penalties.r1(weight=2.0)(Critic(D), x, x) for D in (net, fast)]
    assert terms[0].item() > 0
    torch.testing.assert_close(terms[1], terms[0])
    torch.testing.assert_close(
        *(torch.autograd.grad(term, D[0].weight) for term, D in zip(terms, (net, fast), strict=True))
    )
    assert "penalties on gradients are not compiled" in caplog.text
    assert torch.equal(net[1].running_mean, fast[1].running_mean)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A small recipe, compiled without a compiler."""
    monkeypatch.setattr("equipoise.runs.assemble.compiled", traced)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (40, 16, 16), np.uint8))
    network = "dcgan(g_width=4, d_width=4, d_feature_norm='none')"
    few = {"batch": 8, "images": 64, "features": "pixels", "score_images": 10, "score_every": 32, "save_every": 32}
    usual = replace(presets.default(), data=str(tmp_path / "x.npy"), network=network, precision="float32", **few)
    return replace(usual, compile=True)


def test_a_run_is_certified_resumed_exactly_and_as_good_as_any(asked, tmp_path):
    session = runs.Session(asked, tmp_path / "whole")
    assert 0 <= max(session.plan.certificate.errors.values()) < 1e-5
    assert str(session.plan.certificate).startswith("gradients in float32, compiled, agree with those in float32")
    [*session.train()]
    assert json.loads((tmp_path / "whole" / "recipe.json").read_text())["certificate"]["compile"]
    half = runs.Session(asked, tmp_path / "half")
    [*half.train(lambda: half.state.seen >= 32)]
    assert half.state.seen == 32
    [*runs.Session(asked, tmp_path / "half").train()]
    assert same_state(tmp_path / "whole", tmp_path / "half")
    [*runs.Session(replace(asked, compile=False), tmp_path / "plain").train()]
    scores = [[*read_rows(tmp_path / name / "metrics.jsonl")][-1]["fd"] for name in ("whole", "plain")]
    assert scores[1] == pytest.approx(scores[0], rel=1e-2)


def test_a_precision_that_falls_back_is_certified_compiled_too(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(choices, "choose_precision", lambda device: (BFLOAT16, "this machine has units for it"))
    found = lambda probe, *_: Certificate(
        probe.precision, {"d": float(probe.precision != "float32")}, False, probe.compile
    )
    monkeypatch.setattr(planning, "certify", found)
    session = runs.Session(replace(asked, precision=None), tmp_path / "x")
    assert session.plan.certificate == Certificate("float32", {"d": 0.0}, False, True)
    assert (session.recipe.precision, session.recipe.compile) == ("float32", True)
    assert session.plan.reasons["precision"].startswith("gradients in bfloat16, compiled, do not agree")


def test_what_does_not_go_with_it_is_said_before(asked, tmp_path):
    grows = {"growth": "progressive", "network": "pggan(fmap_base=64, fmap_max=16, z_dim=16)", "size": "16"}
    for changes in ({"recompute": True}, {"shard": True}, grows):
        field, value = next(iter(changes.items()))
        with pytest.raises(ValueError, match=f"{field}={value!r} does not go with compile"):
            runs.Session(replace(asked, **changes), tmp_path / "x")
    with pytest.raises(ValueError, match="this cannot be compiled here, leave --compile out: "):
        runs.Session(replace(asked, network="wn_gan(width=4)", penalties=()), tmp_path / "x")
    assert not (tmp_path / "x").exists()
