"""Training as a run: it resumes exactly, saves when it is stopped, and never mixes two runs."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from itertools import count

import numpy as np
import pytest
import torch
from elsewhere import killed
from small_runs import CPU, PLAIN, finish, lines, same_state, small, steps_of
from test_networks import SMALL

from equipoise import presets, runs, spec
from equipoise.networks.growing import growing
from equipoise.recipe import Recipe
from equipoise.runs import RunFolder, clock, planning, session
from equipoise.runs.choices import at_pace
from equipoise.runs.folder import load_checkpoint, read_rows
from equipoise.runs.forecast import Pace
from equipoise.runs.session import NotFinite


def test_a_finished_run_does_nothing_more(finished):
    out, _ = finished
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    assert finish(RunFolder(out).recipe(), out) == []
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before


def test_stopping_saves_and_the_same_recipe_goes_on(arrays, finished, tmp_path):
    recipe, steps = small(PLAIN, arrays), []
    told = [*runs.train(recipe, tmp_path / "x", stop=lambda: len(steps) == 2 or steps.append(1))]
    assert told[-1].seen == 8
    assert [progress.seen for progress in finish(recipe, tmp_path / "x")] == [8, 12, 16, 20, 24]
    assert same_state(tmp_path / "x", finished[0])
    assert [row["seen"] for row in read_rows(tmp_path / "x" / "metrics.jsonl")] == [0, 12, 24]


STATEFUL = {
    "loss": "pretrained(loss=boundary_equilibrium(rate=0.1), images=8)",
    "penalties": ("r1(weight=0.1, every=3)", "lecam(warm_up=1)", "spectral_regularization", "historical_averaging"),
    "g_penalties": ("path_length(every=2)", "pulling_away"),
    "augment": "ada(images=40, every=1)",
    "d_norm": "spectral(kind='operator', scale='learned', update='step')",
    "optimizer": "adam(beta1=linear(0.5, 0.0), beta2=cosine(0.9, 0.99, images=12))",
    "lr_d": "warmup(1e-3, images=10)",
    "ema_images": "linear(0, 50)",
}


OF_LATENTS = [name for name in spec.names(presets) if getattr(presets, name)().domains == "none"]
"""The others translate images: test_translation.py."""


@pytest.mark.parametrize("name", [*OF_LATENTS, "began with all that has a state"])
def test_a_killed_run_ends_bit_for_bit_where_an_unbroken_one_ends(name, arrays, tmp_path):
    """N steps = k steps, a process killed in the middle of things, and N - k steps in a new process."""
    preset, _, more = name.partition(" ")
    recipe = small(spec.build(preset, presets), arrays, mirror=True, **(STATEFUL if more else {}))
    recipe = replace(
        recipe, save_every=recipe.save_every * 2, score_every=recipe.images
    )  # the kill comes between checkpoints
    finish(recipe, tmp_path / "whole")
    step = 4 * steps_of(recipe.d_steps)
    killed(recipe, tmp_path / "x", 3 * step)
    stopped = int(RunFolder(tmp_path / "x").newest_checkpoint().stem)
    assert stopped == 2 * step if isinstance(recipe.d_steps, int) else 0 < stopped < recipe.images
    finish(recipe, tmp_path / "x")
    assert same_state(tmp_path / "x", tmp_path / "whole")
    for file in ("stats.jsonl", "metrics.jsonl"):
        seen = [row["seen"] for row in read_rows(tmp_path / "x" / file)]
        assert seen == [row["seen"] for row in read_rows(tmp_path / "whole" / file)]
    assert lines(tmp_path / "x" / "metrics.jsonl") == lines(tmp_path / "whole" / "metrics.jsonl")
    images = [
        torch.cat(list(s(8, labels=s.labels(8)))) for s in map(runs.Sampler, (tmp_path / "x", tmp_path / "whole"))
    ]
    assert torch.equal(*images)


def test_sigterm_saves_and_says_how_to_go_on(arrays, tmp_path):
    out = tmp_path / "x"
    command = [
        sys.executable,
        "-m",
        "equipoise",
        "train",
        arrays,
        "--out",
        str(out),
        "--size",
        "8",
        "--network",
        SMALL["sn_resnet"],
        "--images",
        "1000000",
    ]
    command += ["--precision", "float32", "--features", "pixels", "--score-images", "8"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (out / "stats.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert "saved; to resume: equipoise train" in errors
    assert "Traceback" not in errors
    state = load_checkpoint(RunFolder(out).newest_checkpoint(), CPU)
    assert state["seen"] == list(read_rows(out / "stats.jsonl"))[-1]["seen"] > 0


def test_a_non_finite_loss_stops_with_the_step_and_keeps_the_last_good_checkpoint(arrays, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from equipoise.losses import CriticLoss, hinge, of_critic\n\n"
        "def breaks(at=12):\n"
        "    loss = of_critic(hinge())\n"
        "    d = lambda critic, real, fake: loss.d(critic, real, fake) * (float('nan') if critic.seen == at else 1)\n"
        "    return CriticLoss(d, loss.g)\n"
    )
    recipe = small(PLAIN, arrays, loss=f"{tmp_path}/mine.py:breaks", save_every=8, score_every=24)
    with pytest.raises(
        NotFinite,
        match=r"training broke after image 12: d.loss nan, .*; the last good checkpoint is .*0000000008.pt",
    ):
        finish(recipe, tmp_path / "x")
    state = load_checkpoint(RunFolder(tmp_path / "x").newest_checkpoint(), CPU)
    assert all(value.isfinite().all() for value in state["nets"]["G"].values())
    rows = [*read_rows(tmp_path / "x" / "stats.jsonl")]
    assert rows
    assert all(row["d.loss"] == row["d.loss"] for row in rows)


class TestMinutes:
    """A length in minutes: its images follow the pace that training has."""

    @pytest.fixture
    def recipe(self, arrays, monkeypatch):
        """Rounds of four images, each taking half a second as foreseen and what is beside it a quarter."""
        monkeypatch.setattr(planning, "measure_pace", lambda *_: Pace(image=0.5 / 4, scored=0.001))
        tick = partial(next, count(step=0.25))  # twice in a round, once beside it
        monkeypatch.setattr(clock.time, "perf_counter", tick)
        return small(PLAIN, arrays, images=None, minutes=0.25, save_every=12, score_every=1000, sample_every=1000)

    def test_a_run_that_takes_longer_than_foreseen_ends_in_time(self, recipe, arrays, tmp_path):
        out = RunFolder(tmp_path / "x")
        told = finish(recipe, out.path)
        images, foreseen = out.recipe().images, 13.5 / (0.5 / 4)  # a tenth is for scores
        assert told[0].images == foreseen
        assert told[-1].seen == told[-1].images == images == 13.5 / ((0.5 + 0.25) / 4)
        assert out.context()["lengths"] == {"12": images}
        assert out.context()["chosen"]["images"] == "in 0.25 minutes, at the pace of training"
        finish(replace(out.recipe(), minutes=None), tmp_path / "y")
        assert same_state(out.path, tmp_path / "y")

    def test_a_stopped_run_goes_on_with_the_length_it_had(self, recipe, tmp_path):
        seen = []
        stop = lambda: len(seen) == 4 or seen.append(1)
        [*runs.train(recipe, tmp_path / "x", stop=stop)]
        assert RunFolder(tmp_path / "x").recipe().images == 72
        again = finish(recipe, tmp_path / "x")
        assert (again[0].seen, again[0].images, again[-1].seen) == (16, 72, 72)

    def test_growth_follows(self, recipe, arrays, tmp_path):
        grows = {"network": SMALL["pggan"], "d_norm": "none", "size": "8", "growth": "progressive(start=4, share=0.6)"}
        run = session.Session(replace(recipe, **grows), tmp_path / "x")
        level = next(growing(run.state.nets["G"]))
        rounds = [(run.state.begun, level.level) for _ in run.train()]
        assert run.folder.context()["lengths"] == {"12": 72}
        assert run.state.seen == 72
        levels = [dict(rounds)[seen] for seen in (20, 24, 40, 44)]  # held for 21 images, which fades take too
        assert levels == pytest.approx([0, 3 / 21, 19 / 21, 1])

    def test_what_is_due_at_the_end_alone_stays_there(self):
        recipe, reason = at_pace(Recipe(images=100, minutes=2, score_every=100, sample_every=50), 120)
        assert (recipe.images, recipe.score_every, recipe.sample_every) == (120, 120, 50)
        assert reason == "in 2 minutes, at the pace of training"


def test_another_recipe_is_refused_with_the_differences(finished, arrays):
    out, _ = finished
    before = (out / "recipe.json").read_bytes()
    other = small(PLAIN, arrays, batch=8, loss="wasserstein")
    with pytest.raises(
        ValueError,
        match=r"holds another recipe; nothing was changed. It differs in loss: 'hinge' there, 'wass",
    ):
        finish(other, out)
    assert (out / "recipe.json").read_bytes() == before


def test_other_images_in_the_same_place_are_refused(arrays, tmp_path):
    images = np.load(arrays)["images"]
    np.save(tmp_path / "data.npy", images)
    recipe = small(PLAIN, str(tmp_path / "data.npy"))
    finish(recipe, tmp_path / "x")
    np.save(tmp_path / "data.npy", 255 - images)
    with pytest.raises(ValueError, match=r"was started with other images or labels than .*data.npy holds now"):
        finish(recipe, tmp_path / "x")


def test_a_folder_of_other_things_is_refused(arrays, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="exists and is no run folder; nothing in it was touched"):
        finish(small(PLAIN, arrays), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_processes_cannot_train_in_one_folder(arrays, tmp_path):
    recipe = small(PLAIN, arrays)
    first = runs.train(recipe, tmp_path / "x")
    next(first)
    with pytest.raises(ValueError, match="is being trained by another process"):
        next(runs.train(recipe, tmp_path / "x"))
    first.close()


OWN_GAME = '''
import torch
from torch import nn
from equipoise.games.adversarial import images_and_labels
from equipoise.losses import hinge
from equipoise.training import Player


class Pair(nn.Module):
    """D(x, z) of BiGAN."""

    def __init__(self, values):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(values + 4, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1), nn.Flatten(0))

    def forward(self, x, z):
        return self.net(torch.cat([x.flatten(1), z], 1))


def nets():
    "Three networks by name."
    def build(shape):
        values = shape.channels * shape.height * shape.width
        G = nn.Sequential(nn.Linear(4, values), nn.Tanh(), nn.Unflatten(1, shape[:3]))
        G.z_dim = 4
        return {"G": G, "E": nn.Sequential(nn.Flatten(), nn.Linear(values, 4)), "D": Pair(values)}
    return build


def bigan(loss=None, weight=1.0):
    "An encoder beside the generator."
    loss = loss or hinge()

    def pairs(turn):
        (x, _), n = images_and_labels(turn.batch), turn.nets
        z = turn.latents(len(x), 4)
        return n["D"](x, n["E"](x)), n["D"](n["G"](z), z)

    return {
        "d": Player(("D",), lambda turn: {"loss": loss.d(*pairs(turn))}),
        "ge": Player(("G", "E"), lambda turn: {"loss": weight * loss.g(*pairs(turn)[::-1])}, fresh=False),
    }
'''


def test_a_game_of_ones_own_is_a_run_like_any_other(arrays, tmp_path):
    (tmp_path / "mine.py").write_text(OWN_GAME)
    own = {"network": f"{tmp_path}/mine.py:nets", "game": f"{tmp_path}/mine.py:bigan(weight=0.5)", "d_norm": "none"}
    recipe = replace(small(PLAIN, arrays), **own, penalties=None, augment=None)
    finish(recipe, tmp_path / "whole")
    steps = []
    [*runs.train(recipe, tmp_path / "x", stop=lambda: len(steps) == 2 or steps.append(1))]
    finish(recipe, tmp_path / "x")
    assert same_state(tmp_path / "x", tmp_path / "whole")
    row = next(read_rows(tmp_path / "x" / "stats.jsonl"))
    assert {"d.loss", "d.gradient", "ge.loss", "ge.gradient"} <= row.keys()
    state = load_checkpoint(RunFolder(tmp_path / "x").newest_checkpoint(), CPU)
    assert {*state["nets"]} == {"G", "E", "D"}
    assert json.loads((tmp_path / "x" / "recipe.json").read_text())["players"] == {"d": ["D"], "ge": ["G", "E"]}
    with pytest.raises(ValueError, match=r"has no use for penalties=\('r1',\); its arguments: loss, weight"):
        finish(replace(recipe, penalties=("r1",)), tmp_path / "y")
