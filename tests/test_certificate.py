"""Before a run in a faster precision its gradients are compared with those in float32."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from equipoise.labels import LabelSpace
from equipoise.presets.published import published
from equipoise.runs import Session, certificate, choices
from equipoise.runs.certificate import Certificate, distance, dropping
from equipoise.runs.folder import read_rows
from equipoise.training.precision import BFLOAT16

OWN = '''
"""Networks of a user: D is right in float32 alone."""
import torch
from torch import nn


class Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float("{factor}") if gradient.dtype == torch.bfloat16 else gradient


class G(nn.Module):
    z_dim = 4

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 64)

    def forward(self, z):
        return torch.tanh(self.layer(z)).view(-1, 1, 8, 8)


class D(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.LeakyReLU(0.2), nn.Dropout({dropout}))
        self.last = nn.Linear(32, 1)

    def forward(self, x):
        return self.last(Wrong.apply(self.net(x)))


def pair():
    """Mine."""
    return lambda shape: (G(), D())
'''


@pytest.fixture
def asked(tmp_path):
    """The recipe of a network in a file, with a wrong factor under bfloat16."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8))

    def recipe(factor=1.0, dropout=0.5, **changes):
        own = tmp_path / f"own_{factor:g}.py"
        own.write_text(OWN.replace("{factor}", str(factor)).replace("{dropout}", str(dropout)))
        few = {"batch": 8, "images": 32, "ema_images": 10, "features": "pixels", "score_images": 10, "size": "8"}
        few |= {"score_every": 32, "loss": "hinge", "network": f"{own}:pair"}
        return replace(published(**few), data=str(tmp_path / "x.npy"), **changes)

    return recipe


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_rounding_agrees(asked, tmp_path, dropout):
    session = Session(asked(dropout=dropout, precision="bfloat16"), tmp_path / "x")
    errors = session.plan.certificate.errors
    assert session.plan.certificate.agrees
    assert all(0 < error < 0.1 for error in errors.values())
    assert [*errors] == ["d", "g"]
    [*session.train()]
    kept = json.loads((tmp_path / "x" / "recipe.json").read_text())["certificate"]
    assert kept == {"precision": "bfloat16", "recompute": False, "compile": False, "errors": errors}
    there = Session(asked(dropout=dropout, precision="bfloat16"), tmp_path / "x")
    assert there.plan.certificate is None  # it is not compared again


def test_what_one_player_draws_is_nothing_to_the_other(asked, tmp_path):
    """For consistency, in float32, images are augmented again, so that more is drawn before the generator's turn."""
    shown = asked(dropout=0.0, penalties=("consistency",), augment="diffaug('translation')", precision="bfloat16")
    errors = Session(shown, tmp_path / "x").plan.certificate.errors
    assert errors["g"] < 0.1


def test_a_wrong_gradient_is_found(asked, tmp_path):
    session = Session(asked(factor=2.0, precision="bfloat16"), tmp_path / "x")
    found = session.plan.certificate
    assert not found.agrees
    assert found.errors["g"] == pytest.approx(1.0, abs=0.1)  # all of G's gradient comes through
    assert str(found).startswith("gradients in bfloat16 do not agree with those in float32: relative err")
    assert session.recipe.precision == "bfloat16"  # it was asked for


def test_a_precision_that_was_left_open_falls_back(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(choices, "choose_precision", lambda device: (BFLOAT16, "this machine has units for it"))
    right = Session(asked(), tmp_path / "x")
    assert (right.recipe.precision, right.plan.reasons["precision"]) == ("bfloat16", "this machine has units for it")
    for changes in ({}, {"score_every": None}):  # the second is timed, and chosen for once more
        wrong = Session(replace(asked(factor=float("nan")), **changes), tmp_path / "x")
        assert wrong.recipe.precision == "float32"
        assert wrong.plan.reasons["precision"].endswith("relative errors d inf, g inf")
        assert wrong.plan.certificate.to_json()["errors"] == {"d": None, "g": None}


def test_float16_has_a_factor_for_its_losses(asked, tmp_path):
    session = Session(asked(dropout=0.0, precision="float16"), tmp_path / "x")
    assert session.plan.certificate.agrees
    [*session.train()]
    (row, *_) = read_rows(tmp_path / "x" / "stats.jsonl")
    assert 0 < row["d.loss_scale"] <= row["g.loss_scale"] == 2**16


def test_where_there_is_no_memory_for_float32_nothing_is_compared(asked, tmp_path, monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(certificate, "gradients", fail)
    session = Session(asked(precision="bfloat16"), tmp_path / "x")
    assert session.plan.certificate is None
    assert session.recipe.precision == "bfloat16"
    assert session.plan.reasons["precision"].startswith("gradients are not compared with those in float32")


def test_a_probe_is_no_larger_than_a_piece():
    probe = certificate.probe_of(published(batch=64, g_batch=32, pieces=16))
    assert (probe.batch, probe.g_batch, probe.pieces) == (4, 2, 1)


def test_float32_needs_none(asked, tmp_path):
    assert Session(asked(precision="float32"), tmp_path / "x").plan.certificate is None


def test_the_distance_of_gradients():
    wanted = torch.tensor([3.0, 4.0])
    assert distance(2 * wanted, wanted) == 1
    assert distance(wanted, wanted) == distance(0 * wanted, 0 * wanted) == 0
    assert distance(wanted / 0, wanted) == distance(wanted, 0 * wanted) == float("inf")
    assert not Certificate("tf32", {"d": 0.06}).agrees


@pytest.mark.parametrize("module", [torch.nn.Dropout(0.3), torch.nn.Dropout2d(0.3)])
def test_dropout_is_alike_in_every_run(module):
    drop, x = dropping(module), torch.ones(50, 40, 3, 3)
    assert torch.equal(drop(x) == 0, drop(x.bfloat16()) == 0)
    assert (drop(x) == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert drop(x).max().item() == pytest.approx(1 / 0.7)
    whole = (drop(x) == 0).float().mean((2, 3))
    assert bool(((whole == 0) | (whole == 1)).all()) == isinstance(module, torch.nn.Dropout2d)
    module.eval()
    assert torch.equal(drop(x), x)
    module.train()


def test_networks_that_grow_are_compared_when_they_are_grown(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (40, 16, 16), np.uint8))
    few = {"batch": 8, "images": 64, "ema_images": 10, "features": "pixels", "score_images": 10, "score_every": 64}
    grown = {"network": "pggan(fmap_base=64, fmap_max=8, z_dim=8)", "growth": "progressive(hold=8, fade=8)"}
    asked = replace(
        published(**few | grown), data=str(tmp_path / "x.npy"), loss="hinge", precision="bfloat16", size="16"
    )
    plan = Session(asked, tmp_path / "x").plan
    batch = torch.rand(8, 1, 16, 16), None
    found = certificate.gradients(certificate.probe_of(plan.recipe), LabelSpace(), torch.device("cpu"), batch)
    assert all((gradient != 0).double().mean() > 0.9 for gradient in found.values())  # of every level
    assert plan.certificate.agrees
