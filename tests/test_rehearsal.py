"""A rehearsal of a run: what does not work together is refused before anything is written."""

from dataclasses import replace

import pytest
import torch
from small_runs import CPU, PLAIN, finish, small

from equipoise import runs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "auxiliary_classifier"}, "this loss is about labels and needs data with some"),
        ({"penalties": ("consistency_term",)}, "a D with dropout, but this D draws nothing"),
        ({"constraint": "clip_singular_values"}, "is normalised: take the norm off to clip it"),
        ({"g_penalties": ("r3",)}, "penalties has no 'r3'"),
        ({"g_penalties": ("pulling_away", "r1")}, "r1 has no gradient in the generator: it is one of the discr"),
        ({"penalties": ("path_length",)}, "path_length is for the generator's step"),
        ({"loss": "f_gan(divergence=kl)"}, "there is no 'kl' to call, and text stands in quotes"),
        ({"score": ("fd", "kid(size=1)")}, "size must be at least 2, not 1"),
        ({"augment": "ada(target=3.0)"}, "target must be at least -1 and at most 1, not 3.0"),
    ],
)
def test_parts_that_do_not_work_together_are_refused_before_anything_is_written(arrays, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        runs.Session(small(PLAIN, arrays, **changes), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_parts_that_cannot_work_together_are_refused(arrays, tmp_path):
    with pytest.raises(ValueError, match="pairs fakes with reals in the generator's step: g_batch must be 4, not 8"):
        finish(small(PLAIN, arrays, loss="relativistic", g_batch=8), tmp_path / "x")
    assert not list(tmp_path.glob("*/checkpoints"))


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_a_generator_needs_latent_vectors(arrays, tmp_path):
    with pytest.raises(ValueError, match="z_dim must be at least 1, not 0"):
        runs.Session(replace(small(PLAIN, arrays), network="mlp(z_dim=0)"), tmp_path / "x")


@pytest.mark.parametrize(
    "keeps",
    [
        "calls = []\n    count = lambda: calls.append(1)",
        "calls = 0\n    def count():\n        nonlocal calls\n        calls += 1",
        "noise = torch.zeros(3)\n    count = lambda: noise.add_(1)",
    ],
    ids=["a list", "a variable", "a tensor"],
)
def test_state_in_a_closure_that_checkpoints_would_miss_is_refused(arrays, tmp_path, keeps):
    (tmp_path / "mine.py").write_text(
        f"import torch\nfrom equipoise.losses import Loss\n\ndef forgetful():\n    {keeps}\n"
        "    return Loss(d=lambda real, fake: (count(), (fake - real).mean())[1], g=lambda real, fake: -fake.mean())\n"
    )
    with pytest.raises(ValueError, match="keeps something that changes from step to step"):
        finish(small(PLAIN, arrays, loss=f"{tmp_path}/mine.py:forgetful"), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_rehearsal_leaves_no_trace(arrays, tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    run = runs.Session(
        small(replace(PLAIN, network="began", d_norm="none"), arrays, loss="boundary_equilibrium(rate=0.5)"),
        tmp_path / "x",
    )
    assert torch.equal(torch.rand(2), expected)
    assert run.assembled.arguments["loss"].state.k.item() == 0


def test_a_run_is_rehearsed_when_it_starts_and_not_when_it_resumes(arrays, tmp_path, monkeypatch):
    rehearsed = []
    monkeypatch.setattr(runs.planning, "rehearse", lambda recipe, labels, device: rehearsed.append(device))
    recipe = small(PLAIN, arrays)
    next(runs.train(recipe, tmp_path / "x"))
    assert rehearsed == [CPU]
    next(runs.train(recipe, tmp_path / "x"))
    assert rehearsed == [CPU]


@pytest.mark.parametrize(("bias", "warned"), [(False, True), (True, False)])
def test_a_discriminator_without_biases_is_a_refuge_of_grey(arrays, tmp_path, caplog, bias, warned):
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom torch import nn\nfrom equipoise.networks import dcgan\n\n"
        "def pair():\n    def build(shape):\n"
        f"        D = nn.Sequential(nn.Flatten(), nn.LazyLinear(8, bias={bias}), nn.ReLU(), nn.Linear(8, 1, False))\n"
        "        D(torch.zeros(1, *shape[:3]))\n"
        "        return dcgan(4, 4)(shape)[0], D\n    return build\n"
    )
    runs.Session(replace(small(PLAIN, arrays), network=f"{tmp_path}/mine.py:pair", d_norm="none"), tmp_path / "x")
    assert any("its samples are grey: give its layers biases" in message for message in caplog.messages) == warned
