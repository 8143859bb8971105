"""Rounds on a device whose tensors have no values: nothing waits for it, and nothing is left on the CPU."""

from functools import partial
from itertools import repeat

import pytest
import torch
from small_runs import small

from equipoise import augment, constraints, norms, penalties, spec
from equipoise.labels import LabelSpace
from equipoise.presets import named
from equipoise.presets.published import published
from equipoise.runs.assemble import assemble, rounds
from equipoise.runs.trial_batches import batch_of_noise

META = torch.device("meta")
UNLABELLED = LabelSpace()
PLAIN = published(network="dcgan(d_feature_norm='none')", loss="hinge")
PRESETS = ["acgan", "began", "infogan-study", "lapgan", "pggan", "r3gan", "sagan", "sngan", "wgan", "wn-gan"]
OF_GENERATORS = ["pulling_away", "path_length(every=2)"]
ELSEWHERE = ["path_length", "consistency_term"]  # the latter needs dropout, and here nothing is drawn
PENALTIES = [name for name in spec.names(penalties) if name not in OF_GENERATORS + ELSEWHERE]


def as_cpu(of_torch, kind="cpu", *how, **others):
    return of_torch("cpu" if kind == "meta" else kind, *how, **others)


@pytest.fixture(autouse=True)
def device_without_values(monkeypatch):
    """Meta as a device that can be trained on: random numbers and autocast are the CPU's."""
    for name in ("autocast", "is_autocast_enabled", "get_autocast_dtype"):
        monkeypatch.setattr(torch, name, partial(as_cpu, getattr(torch, name)))
    normal = lambda seed, count, size, device: torch.randn(count, size, device=device)
    monkeypatch.setattr("equipoise.training.player.normal", normal)


def play(recipe, labels=UNLABELLED, **changes):
    """Two rounds, in one of which lazy penalties are due; where its statistics are."""
    whole = {"size": "32", "channels": 3, "range": "bytes", "mirror": False, "ema_images": 100, "batch": 8}
    recipe = small(recipe, "none", **{"precision": "bfloat16", "d_steps": 1} | whole | changes)
    assembled = assemble(recipe, labels, META)
    stream = rounds(assembled, repeat(batch_of_noise(recipe, labels, META)), recipe)
    return {value.device for _ in range(2) for value in next(stream).values()}


@pytest.mark.parametrize("preset", PRESETS)
def test_presets(preset):
    recipe = named(preset)
    labels = LabelSpace("classes", 4) if recipe.labels else UNLABELLED
    assert play(recipe, labels) == {META}


def test_penalties():
    assert play(PLAIN, penalties=(*PENALTIES, "r1(every=2)"), g_penalties=(OF_GENERATORS[0],)) == {META}
    assert play(PLAIN, g_penalties=(OF_GENERATORS[1],)) == {META}


@pytest.mark.parametrize("constraint", spec.names(constraints))
def test_constraints(constraint):
    assert play(PLAIN, constraint=constraint) == {META}


@pytest.mark.parametrize("augment", spec.names(augment))
def test_augmentations(augment):
    assert play(PLAIN, augment=augment) == {META}


@pytest.mark.parametrize("norm", spec.names(norms))
def test_norms(norm):
    assert play(PLAIN, d_norm=norm, g_norm=norm) == {META}


def test_pieces():
    assert play(PLAIN, pieces=2) == {META}


def test_float16_waits_for_whether_there_is_an_update():
    with pytest.raises(RuntimeError, match="item"):
        play(PLAIN, precision="float16")
