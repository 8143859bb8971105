"""Runs as folders: what is written, what resumes, what is refused."""

import errno
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from elsewhere import killed
from PIL import Image
from test_networks import SMALL

from equipoise import cache, data, presets, report, runs, spec
from equipoise.data import Dataset, inspect
from equipoise.metrics import features
from equipoise.metrics.generation import latents, to_uint8
from equipoise.metrics.metric import Subject
from equipoise.presets.published import published
from equipoise.recipe import Recipe
from equipoise.runs import RunFolder, Session, assemble, forecast, planning
from equipoise.runs import session as session_module
from equipoise.runs.folder import NotWritten, append_row, load_checkpoint, read_rows, write_whole
from equipoise.runs.forecast import Pace
from equipoise.runs.hardware import working
from equipoise.runs.references import RealImages, fingerprint
from equipoise.runs.scoring import Scorer
from equipoise.runs.session import NotFinite
from equipoise.training import loop

CPU = torch.device("cpu")
PLAIN = published(network="sn_resnet", loss="hinge", d_norm="spectral")


@pytest.fixture(scope="session")
def arrays(tmp_path_factory):
    """Sixty labelled colour images of three kinds, as a file."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = (rng.integers(0, 80, (60, 12, 10, 3)) + 80 * labels[:, None, None, None]).astype(np.uint8)
    file = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(file, images=images, labels=labels)
    return str(file)


def shrunk(network):
    """The same network with few weights."""
    name, _, options = spec.parse(network)
    options |= spec.parse(SMALL[name]).keywords
    return f"{name}({', '.join(f'{option}={value!r}' for option, value in options.items())})"


def small(recipe, data, **changes):
    """A recipe cut down to a few seconds."""
    network = shrunk(recipe.network or "r3")
    d_steps = recipe.d_steps if isinstance(recipe.d_steps, int) else "steps((3, 2), at=(12,))"
    length = 4 * steps_of(d_steps) * 6  # six rounds
    few = {
        "batch": 4,
        "d_steps": d_steps,
        "g_batch": None,
        "images": length,
        "precision": "float32",
        "features": "pixels(size=2)",
    }
    every = {"save_every": length // 6, "score_every": length // 2, "sample_every": length // 2, "score_images": 8}
    return replace(recipe, data=data, network=network, **few | every | changes)


def steps_of(d_steps):
    """Updates of the discriminator in a round, after its first rounds."""
    return d_steps if isinstance(d_steps, int) else 2


def finish(recipe, out):
    return [*runs.train(recipe, out)]


def same_state(a, b):
    a, b = (load_checkpoint(RunFolder(out).newest_checkpoint(), CPU) for out in (a, b))
    flat = lambda x: (
        [y for v in (x.values() if isinstance(x, dict) else x) for y in flat(v)]
        if isinstance(x, dict | list | tuple)
        else [x]
    )
    pairs = list(zip(flat(a), flat(b), strict=True))
    assert len(pairs) > 20
    return all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in pairs)


def lines(file, without=("seconds", "speed", "memory")):
    return [{k: v for k, v in row.items() if k not in without} for row in read_rows(file)]


@pytest.fixture(scope="module")
def finished(arrays, tmp_path_factory):
    """A finished run and all that it told."""
    out = tmp_path_factory.mktemp("runs") / "done"
    return out, finish(small(PLAIN, arrays), out)


def test_a_run_folder_holds_everything(finished):
    out, told = finished
    recipe = RunFolder(out).recipe()
    assert told[-1].seen == recipe.images
    assert [row["seen"] for row in read_rows(out / "stats.jsonl")] == [
        progress.seen for progress in told if progress.row
    ]
    assert [row["seen"] for row in read_rows(out / "metrics.jsonl")] == [0, 12, 24]
    assert sorted(file.name for file in (out / "samples").iterdir()) == [f"{n:010d}.png" for n in (0, 12, 24)]
    assert sorted(file.name for file in (out / "checkpoints").iterdir()) == [
        "0000000020.pt",
        "0000000024.pt",
        "best.pt",
    ]
    context = json.loads((out / "recipe.json").read_text())
    assert {"size", "channels", "g_batch"} <= context["chosen"].keys()
    assert recipe.size == "12x10"
    assert None not in [getattr(recipe, name) for name in ("channels", "features", "score_every", "g_batch")]
    with Image.open(out / "samples" / "0000000000.png") as picture:
        assert picture.size == (9 * 10, 8 * 12)


def test_the_best_checkpoint_is_the_best_by_score(finished):
    out, _ = finished
    rows = [row for row in read_rows(out / "metrics.jsonl") if row["seen"]]
    best = min(rows, key=lambda row: row["fd"])
    assert load_checkpoint(out / "checkpoints" / "best.pt", CPU)["seen"] == best["seen"]


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


def test_a_damaged_checkpoint_is_named(finished, tmp_path):
    file = tmp_path / "0000000004.pt"
    file.write_bytes((finished[0] / "checkpoints" / "0000000024.pt").read_bytes()[:1000])
    with pytest.raises(
        ValueError, match=r"0000000004.pt cannot be read .* remove it to resume from an older checkpoint"
    ):
        load_checkpoint(file, CPU)


def test_a_checkpoint_that_would_execute_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/executed",)

    torch.save({"nets": Evil()}, tmp_path / "bad.pt")
    with pytest.raises(ValueError, match="cannot be read"):
        load_checkpoint(tmp_path / "bad.pt", CPU)
    assert not (tmp_path / "executed").exists()


def test_a_line_cut_short_by_a_crash_costs_only_itself(tmp_path):
    log = tmp_path / "x.jsonl"
    log.write_text('{"seen": 1}\n{"se')
    append_row(log, {"seen": 2})
    append_row(log, {"seen": 3})
    assert list(read_rows(log)) == [{"seen": 1}, {"seen": 2}, {"seen": 3}]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    def breaks(beside):
        beside.write_text("half")
        raise OSError("disk full")

    (tmp_path / "x").write_text("old")
    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "x", breaks)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("x", "old")]


@pytest.fixture
def full_disk():
    """A context in which no file can grow beyond so many bytes."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def limited(size):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    return limited


def test_a_checkpoint_that_could_not_be_written_is_named_with_the_last_good_one(tmp_path, full_disk):
    folder = RunFolder(tmp_path)
    good = folder.save_checkpoint({"seen": 4}, 4, keep=1)
    with (
        pytest.raises(NotWritten, match=rf"cannot write .*0000000008.pt: File too large; .* checkpoint is {good}$"),
        folder.locked(),
        full_disk(5_000),
    ):
        folder.save_checkpoint({"weights": torch.zeros(10_000)}, 8, keep=1)
    assert [*folder.checkpoints.iterdir()] == [good]
    assert load_checkpoint(good, CPU) == {"seen": 4}


def test_a_full_disk_is_the_reason_that_is_given(tmp_path, monkeypatch):
    def full(state, file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", full)
    message = r"cannot write .*0000000008.pt: No space left on device; there was no checkpoint yet$"
    with pytest.raises(OSError, match=message), RunFolder(tmp_path).locked():
        RunFolder(tmp_path).save_checkpoint({}, 8, keep=1)
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.parametrize("torn", ["", '{"se'])
def test_a_line_that_could_not_be_written_leaves_the_others_as_they_were(tmp_path, full_disk, torn):
    log = tmp_path / "x.jsonl"
    log.write_text('{"seen": 1}\n' + torn)
    with pytest.raises(NotWritten, match=r"cannot write .*x.jsonl: File too large"), full_disk(30):
        append_row(log, {"seen": 2, "long": "x" * 100})
    assert log.read_text() == '{"seen": 1}\n' + torn
    append_row(log, {"seen": 3})
    assert list(read_rows(log)) == [{"seen": 1}, {"seen": 3}]


HOLDS = """
import sys, time
from equipoise.runs import RunFolder
with RunFolder(sys.argv[1]).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_killed_process_leaves_its_folder_free(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "locked\n"
    with pytest.raises(ValueError, match="is being trained by another process"), RunFolder(tmp_path).locked():
        pass
    process.kill()
    process.communicate()
    with RunFolder(tmp_path).locked():
        pass


def test_other_images_in_the_same_place_are_refused(arrays, tmp_path):
    images = np.load(arrays)["images"]
    np.save(tmp_path / "data.npy", images)
    recipe = small(PLAIN, str(tmp_path / "data.npy"))
    finish(recipe, tmp_path / "x")
    np.save(tmp_path / "data.npy", 255 - images)
    with pytest.raises(ValueError, match=r"was started with other images or labels than .*data.npy holds now"):
        finish(recipe, tmp_path / "x")


@pytest.mark.parametrize("content", ["[]", "{}", '{"recipe": {"batch": "x"}}', "nonsense"])
def test_a_damaged_recipe_is_named(content, tmp_path):
    (tmp_path / "recipe.json").write_text(content)
    with pytest.raises(ValueError, match=r"recipe.json (is not what training wrote|cannot be read)"):
        RunFolder(tmp_path).context()


def test_a_damaged_reference_is_made_again(arrays, caplog):
    dataset, images = a_dataset(arrays), some_images()
    first = values(Scorer(RealImages(dataset), "pixels(size=3)", CPU, ("fd", "kid")), images)
    folder = cache.folder() / "references"
    for file in folder.iterdir():
        file.write_bytes(b"damaged")
    assert values(Scorer(RealImages(dataset), "pixels(size=3)", CPU, ("fd", "kid")), images) == first
    assert "is damaged and is made again" in caplog.text


def test_parts_that_cannot_work_together_are_refused(arrays, tmp_path):
    with pytest.raises(ValueError, match="pairs fakes with reals in the generator's step: g_batch must be 4, not 8"):
        finish(small(PLAIN, arrays, loss="relativistic", g_batch=8), tmp_path / "x")
    assert not list(tmp_path.glob("*/checkpoints"))


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_a_generator_needs_latent_vectors(arrays, tmp_path):
    with pytest.raises(ValueError, match="z_dim must be at least 1, not 0"):
        runs.Session(replace(small(PLAIN, arrays), network="mlp(z_dim=0)"), tmp_path / "x")


class TestStartingFromAnotherRun:
    """Networks and averages are those of its newest checkpoint; the rest begins anew."""

    @pytest.fixture
    def begun(self, arrays, tmp_path):
        finish(replace(small(PLAIN, arrays), size="8x9"), tmp_path / "begun")
        return tmp_path / "begun"

    def another(self, arrays, begun, **changes):
        left = {"network": None, "d_norm": "none", "loss": "relativistic", "penalties": (), "seed": 7}
        return replace(small(PLAIN, arrays, start=str(begun)), **left | changes)

    def test_its_networks_and_averages_are_taken_over(self, arrays, begun, tmp_path):
        run = Session(self.another(arrays, begun), tmp_path / "x")
        there = load_checkpoint(RunFolder(begun).newest_checkpoint(), CPU)
        for kind, parts in (("nets", run.state.nets), ("averages", run.state.averages)):
            for name, held in there[kind].items():
                assert all(torch.equal(x, held[key]) for key, x in parts[name].state_dict().items())
        assert run.state.seen == 0
        assert not run.state.optimizers["d"].state
        assert (run.recipe.d_norm, run.recipe.size) == ("spectral", "8x9")
        assert run.plan.reasons["network"] == "as in begun"

    def test_the_first_score_is_the_last_one_of_that_run(self, arrays, begun, tmp_path):
        finish(self.another(arrays, begun), tmp_path / "x")
        rows = lambda out: [*read_rows(RunFolder(out).metrics_file)]
        assert rows(tmp_path / "x")[0]["fd"] == pytest.approx(rows(begun)[-1]["fd"])

    def test_it_resumes_exactly_where_that_run_is_gone(self, arrays, begun, tmp_path):
        there = tmp_path / "there"
        shutil.copytree(begun, there)
        recipe, parts = self.another(arrays, there), tmp_path / "parts"
        finish(recipe, tmp_path / "whole")
        first = Session(recipe, parts)
        [*first.train(lambda: first.state.seen > 8)]
        shutil.rmtree(there)
        finish(recipe, parts)
        assert same_state(parts, tmp_path / "whole")

    def test_networks_that_do_not_fit_are_refused(self, arrays, begun, tmp_path):
        wider = "sn_resnet(g_scale=0.04, d_scale=0.03)"
        for changes, problem in (
            ({"network": wider}, r"G is not as in .*: .* is \[.*\] there, \[.*\] here"),
            ({"game": "pyramid", "network": "lapgan"}, "the networks of .* are G, D, here they are G"),
            ({"start": str(tmp_path)}, "is not a run folder"),
        ):
            with pytest.raises(ValueError, match=problem):
                Session(self.another(arrays, begun, **changes), tmp_path / "x")
        assert not (tmp_path / "x").exists()

    def test_a_run_that_is_to_be_longer_says_how(self, arrays, begun):
        longer = replace(RunFolder(begun).recipe(), images=10_000)
        with pytest.raises(ValueError, match=f"to train its networks longer: --start {begun}"):
            Session(longer, begun)


class TestSampler:
    def test_a_seed_gives_its_images_whatever_the_count(self, finished):
        sampler = runs.Sampler(finished[0])
        few, many = (torch.cat(list(sampler(count, seed=3))) for count in (5, 70))
        assert torch.equal(few[:5], many[:5])
        assert few.dtype == torch.uint8
        assert few.shape == (5, 3, 12, 10)
        assert not torch.equal(few, torch.cat(list(sampler(5, seed=4))))

    def test_raw_weights_differ_from_their_average(self, finished):
        images = [torch.cat(list(runs.Sampler(finished[0], raw)(4))) for raw in (False, True)]
        assert not torch.equal(*images)

    @pytest.mark.parametrize("length", [1, 3, 100, 128])
    @pytest.mark.parametrize("truncation", [None, 0.7])
    def test_a_latent_vector_does_not_depend_on_how_many_are_drawn(self, length, truncation):
        G = torch.nn.Module()
        G.z_dim = length
        few, many = (latents(G, count, 5, truncation) for count in (3, 50))
        assert torch.equal(few, many[:3])

    def test_latents_are_normal(self):
        G = torch.nn.Module()
        G.z_dim = 500
        z = latents(G, 200, 0)
        assert abs(z.mean()) < 0.01
        assert abs(z.std() - 1) < 0.01
        assert abs((z < 1).float().mean() - 0.8413) < 0.005

    def test_a_foreign_checkpoint_is_refused(self, finished, tmp_path):
        torch.save({"weights": torch.zeros(3)}, tmp_path / "foreign.pt")
        with pytest.raises(ValueError, match=r"foreign.pt is not a checkpoint of"):
            runs.Sampler(finished[0], checkpoint=str(tmp_path / "foreign.pt"))

    def test_truncation_bounds_the_latents(self, finished):
        G = runs.Sampler(finished[0]).net
        assert latents(G, 50, 0, truncation=0.5).abs().max() <= 0.5
        assert latents(G, 50, 0).abs().max() > 2
        with pytest.raises(ValueError, match="truncation must be above 0"):
            latents(G, 2, 0, truncation=0.0)

    def test_classes_by_name_or_number(self, arrays, tmp_path):
        finish(small(presets.sngan_projection(), arrays), tmp_path / "x")
        sampler = runs.Sampler(tmp_path / "x")
        assert sampler.labels(5).tolist() == [0, 1, 2, 0, 1]
        assert sampler.labels(3, ["2", "0"]).tolist() == [2, 0, 2]
        with pytest.raises(ValueError, match=r"there is no class 'cat'; choices: 0, 1, 2"):
            sampler.labels(3, ["cat"])

    def test_a_run_without_classes_has_no_labels(self, finished):
        assert runs.Sampler(finished[0]).labels(3) is None
        with pytest.raises(ValueError, match="there is no label 'cat': the run was trained without labels"):
            runs.Sampler(finished[0]).labels(3, ["cat"])

    def test_no_run_no_checkpoint(self, tmp_path):
        with pytest.raises(ValueError, match="is not a run folder"):
            runs.Sampler(tmp_path)


def test_every_grey_level_survives_the_way_to_the_network_and_back():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(to_uint8(levels / 127.5 - 1), levels)


class TestScores:
    def test_evaluate_adds_a_row_with_its_card(self, finished):
        before = len(lines(finished[0] / "metrics.jsonl"))
        row = runs.evaluate(finished[0], count=10, features="random")
        assert {
            "fd",
            "kid",
            "features",
            "features_hash",
            "resizer",
            "n_real",
            "n_fake",
            "reference",
            "weights",
            "versions",
        } <= row.keys()
        assert (row["n_real"], row["n_fake"], row["features"]) == (60, 10, "random(seed=0)")
        assert len(lines(finished[0] / "metrics.jsonl")) == before + 1

    def test_the_same_is_not_measured_twice(self, finished):
        first = runs.evaluate(finished[0], count=12, features="pixels(size=4)")
        before = len(lines(finished[0] / "metrics.jsonl"))
        assert runs.evaluate(finished[0], count=12, features="pixels(size=4)") == first
        assert len(lines(finished[0] / "metrics.jsonl")) == before
        assert runs.evaluate(finished[0], count=12, features="pixels(size=4)", seed=1) != first

    def test_held_out_images_score_far_better_than_an_untrained_generator(self, tmp_path):
        recipe = replace(PLAIN, network=SMALL["sn_resnet"], images=64, precision="float32", score_images=64)
        finish(recipe, tmp_path / "x")
        row = runs.evaluate(tmp_path / "x", count=200)
        assert row["features"] == "builtin"
        assert row["real_fd"] * 20 < row["fd"]

    def test_references_are_kept_and_give_the_same_score(self, arrays, monkeypatch):
        dataset, images = a_dataset(arrays), some_images()
        first = values(Scorer(RealImages(dataset), "pixels(size=2)", CPU, ("fd", "kid")), images)
        monkeypatch.setattr(Dataset, "take", lambda dataset, indices: pytest.fail("looked at the real images again"))
        assert values(Scorer(RealImages(dataset), "pixels(size=2)", CPU, ("fd", "kid")), images) == first

    def test_real_features_are_extracted_once_for_all_metrics(self, arrays, monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        counted, looks = counting()
        for names, seen in (
            (("fd", "kid"), 60),  # both sides at once
            (("kid", "fd", "fd_infinity"), 60),  # from the cache
            (("kid(subsets=9)", "precision_recall"), 60),  # what is kept is the same
            (("inception_score",), 60),  # needs none
            (("intra_fd",), 120),
        ):
            assert scorer(a_dataset(arrays, labels=True), counted, *names).reference
            assert sum(looks) == seen, names

    def test_held_out_images_are_looked_at_once(self):
        dataset = runs.real_images.load_dataset(replace(PLAIN, size="28", channels=1, range="bytes", labels=False))
        counted, looks = counting()
        both = scorer(dataset, counted, "fd", "kid")
        assert both.reference
        looks.clear()
        assert both.floor(10_000).keys() == {"real_fd", "real_kid", "real_n"}
        assert sum(looks) == len(dataset.held_out)
        assert both.floor(300)["real_n"] == 300  # as many as are generated

    def test_a_card_names_the_scores_and_two_of_one_name_are_refused(self, arrays):
        real = RealImages(a_dataset(arrays))
        found = Scorer(real, "pixels", CPU, ("kid(size=20)", "fd"))
        assert found.card(8)["metrics"] == ["kid(size=20)", "fd"]
        assert [*values(found, some_images())["scores"]] == ["kid", "fd"]
        with pytest.raises(ValueError, match=r"needs a name of its own: kid, kid\(size=20\)"):
            Scorer(real, "pixels", CPU, ("kid", "kid(size=20)"))

    def test_a_metric_of_ones_own(self, arrays, tmp_path):
        (tmp_path / "mine.py").write_text(MINE)
        calls = (f"{tmp_path}/mine.py:brightness", f"{tmp_path}/mine.py:size")
        own = Scorer(RealImages(a_dataset(arrays)), "pixels", CPU, calls)
        G = torch.nn.Linear(4, 3 * 12 * 10)
        found = own.score(some_images(), 40, Subject(G)).values()
        assert found["brightness"] > 0
        assert found["size"] == 3 * 12 * 10 * 5
        assert found["scores"]["brightness"] == {"sees": "images", "higher": True}
        assert own.score(some_images(), 40, Subject(G)).values() == found
        with pytest.raises(ValueError, match="Size measures a generator itself, and these are images only"):
            own.score(some_images(), 40)


MINE = """
class Brightness:
    sees, higher = "images", True

    def __init__(self):
        self.means = {True: 0.0, False: 0.0}

    def update(self, rows, real):
        self.means[real] += rows.float().mean().item()

    def compute(self):
        return {"brightness": self.means[False] / self.means[True]}


class Size:
    def measure(self, subject, features):
        self.size = sum(weight.numel() for weight in subject.G.parameters())

    def compute(self):
        return {"size": self.size}


def brightness():
    return Brightness()


def size():
    return Size()
"""


def a_dataset(arrays, labels=False):
    return runs.real_images.load_dataset(small(PLAIN, arrays, size="12x10", channels=3, range="bytes", labels=labels))


def some_images():
    return [torch.randint(256, (40, 3, 12, 10), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)]


def values(scorer, images):
    return scorer.score(images, 40).values()


def counting(name="pixels(size=3)"):
    """Features, and a list of how many images they looked at each time."""
    plain, looks = spec.build(name, features), []
    logits = lambda vectors: vectors[:, :5]
    return replace(
        plain, extract=lambda images: looks.append(len(images)) or plain.extract(images), logits=logits
    ), looks


def scorer(dataset, counted, *names):
    made = Scorer(RealImages(dataset), "builtin", CPU, names)
    made.features = counted
    return made


class TestChoices:
    def choose(self, path, **changes):
        recipe = Recipe(data=str(path), precision="float32", **changes)
        return runs.choose(recipe, inspect(path), CPU)

    def folder(self, path, size, mode="RGB"):
        for number in range(3):
            Image.new(mode, size, number).save(path / f"{number}.png")
        return path

    @pytest.mark.parametrize(
        ("size", "chosen"), [((100, 70), "64"), ((33, 200), "32"), ((900, 900), "128"), ((9, 9), "8")]
    )
    def test_size_of_a_folder(self, tmp_path, size, chosen):
        recipe, reasons = self.choose(self.folder(tmp_path, size))
        assert recipe.size == chosen
        assert f"about {size[0]} wide and {size[1]} high" in reasons["size"]

    @pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("LA", 1), ("RGBA", 3)])
    def test_channels(self, tmp_path, mode, channels):
        recipe, reasons = self.choose(self.folder(tmp_path, (16, 16), mode))
        assert recipe.channels == channels
        assert ("alpha" in reasons["channels"]) == mode.endswith("A")

    def default(self, path, **changes):
        return runs.choose(
            replace(presets.default(), data=str(path), precision="float32", **changes), inspect(path), CPU
        )

    def test_the_default_fills_in_all_that_depends_on_the_data(self, arrays):
        recipe, reasons = self.default(arrays)
        assert None not in {getattr(recipe, name) for name in reasons}
        assert {"network", "penalties", "augment", "images", "batch", "ema_images"} <= reasons.keys()
        assert recipe.network.startswith("dcgan(")
        assert recipe.lr_g == recipe.lr_d == "decay(2e-3, share=0.5)"

    def test_the_loss_decides_which_penalties_and_the_network_how_fast_it_learns(self, arrays):
        names = lambda **changes: [spec.name_of(call) for call in self.default(arrays, **changes)[0].penalties]
        assert names() == ["r1"]
        assert names(loss="relativistic") == ["r1", "r2"]
        for others in ({"network": "sn_cnn"}, {"size": "64"}):
            assert self.default(arrays, **others)[0].lr_d == "decay(1e-3, share=0.5)"

    @pytest.mark.parametrize(
        ("images", "length", "augment"),
        [(60, 2000, "diffaug"), (60, 1000, "none"), (3000, 1000, "none"), (3000, 300_000, "ada")],
    )
    def test_few_images_are_augmented(self, tmp_path, images, length, augment):
        np.save(tmp_path / "x.npy", np.zeros((images, 8, 8), np.uint8))
        recipe, reasons = self.default(tmp_path / "x.npy", images=length)
        assert recipe.augment == augment
        assert f"{images:,} images" in reasons["augment"]

    @pytest.mark.parametrize(("images", "mode", "mirror"), [(60, "RGB", True), (60, "L", False), (3000, "RGB", False)])
    def test_few_colour_images_are_mirrored(self, tmp_path, images, mode, mirror):
        np.save(tmp_path / "x.npy", np.zeros((images, 8, 8, len(mode)), np.uint8))
        recipe, reasons = self.default(tmp_path / "x.npy")
        assert recipe.mirror == mirror
        assert "mirror" in reasons["mirror"]

    def test_what_a_machine_runs_on_decides_the_networks(self, arrays):
        grey = {"channels": 1}
        for changes, doubled in (({}, True), (grey, False), ({**grey, "size": "64"}, True), ({"labels": True}, False)):
            assert ("upsampling='nearest'" in self.default(arrays, **changes)[0].network) == doubled
        recipe, _ = runs.choose(Recipe(data=arrays, precision="tf32"), inspect(arrays), torch.device("cuda"))
        assert recipe.network.startswith("r3(")
        assert (recipe.loss, recipe.lr_g) == ("relativistic", "decay(1e-3, share=0.5)")
        assert "r1(weight=3.0)" in recipe.penalties

    def test_a_batch_is_no_larger_than_the_data(self, tmp_path):
        np.save(tmp_path / "x.npy", np.zeros((5, 8, 8), np.uint8))
        assert self.default(tmp_path / "x.npy")[0].batch == 5

    @pytest.mark.parametrize(("size", "weight"), [("16", 1.0), ("32", 1.0), ("64", 4.0), ("48x128", 2.2)])
    def test_penalties_grow_with_the_image(self, arrays, size, weight):
        recipe, _ = self.default(arrays, size=size)
        assert [spec.parse(penalty).keywords["weight"] for penalty in recipe.penalties] == [weight]

    def test_conditional_presets_take_labels_where_there_are_some(self, arrays, tmp_path):
        np.save(tmp_path / "x.npy", np.zeros((5, 8, 8), np.uint8))
        for path, labels, reason in ((arrays, True, "3 classes"), (tmp_path / "x.npy", False, "no labels")):
            recipe, reasons = runs.choose(replace(presets.sagan(), precision="float32"), inspect(path), CPU)
            assert recipe.labels == labels
            assert reason in reasons["labels"]

    def test_what_was_asked_for_is_kept_and_needs_no_reason(self, tmp_path):
        recipe, reasons = self.choose(self.folder(tmp_path, (16, 16)), size="24x32", save_every=5)
        assert (recipe.size, recipe.save_every) == ("24x32", 5)
        assert not {"size", "save_every"} & reasons.keys()


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


def test_sets_too_large_for_memory_differ_by_any_file(tmp_path):
    for number in range(600):
        Image.new("L", (8, 8), number % 200).save(tmp_path / f"{number:03d}.png")
    seen = lambda: fingerprint(data.load(tmp_path, data.Format(1, 8, 8), memory_limit=0))
    first = seen()
    assert seen() == first
    Image.effect_noise((8, 8), 99.0).save(tmp_path / "001.png")  # none of the 256 that are looked at
    assert seen() != first


class TestForecast:
    """How long a run takes."""

    def test_it_counts_images_scores_and_real_images(self):
        recipe = Recipe(images=1000, score_every=400, score_images=50)
        assert Pace(image=0.01, scored=0.002).seconds(recipe, real=30) == pytest.approx(10 + (4 * 50 + 30) * 0.002)

    @pytest.mark.parametrize("d_steps", [1, 3])
    def test_rounds_are_timed_but_for_the_first(self, arrays, tmp_path, monkeypatch, d_steps):
        clock = iter(
            [0.0, 1.5, *(1.5 + 0.12 * n for n in range(1, 4)), *(9.0 + 0.12 * n for n in range(100))]
        )  # the first round takes 1.5 s, later ones 0.12, but for one that other work has held up
        monkeypatch.setattr(forecast, "_now", lambda *_: next(clock))
        session = Session(small(PLAIN, arrays, d_steps=d_steps), tmp_path / "x")
        took = 0.12 * (4 + forecast.MOST) / 5
        assert session.plan.pace.image == pytest.approx(took / (4 * d_steps))
        assert session.plan.pace.scored == pytest.approx(0.12 / 64)

    def test_it_leaves_the_run_as_it_is(self, arrays, finished, tmp_path):
        session = Session(small(PLAIN, arrays), tmp_path / "x")
        assert session.forecast() > 0
        [*session.train()]
        assert same_state(tmp_path / "x", finished[0])

    def test_real_images_are_looked_at_once(self, arrays, tmp_path):
        recipe = small(PLAIN, arrays, features="pixels(size=5)")
        first = Session(recipe, tmp_path / "x")
        assert first.scores.unseen == 60
        [*first.train()]
        assert Session(recipe, tmp_path / "y").scores.unseen == 0

    def test_scores_take_a_tenth_of_the_minutes_that_a_run_is_given(self, arrays):
        recipe = replace(presets.default(), data=arrays, precision="float32", minutes=2, score_images=100)
        chosen = lambda scored: runs.choose(recipe, inspect(arrays), CPU, Pace(image=0.01, scored=scored))[0]
        assert chosen(0.001).images == round(120 * 0.9 / 0.01)
        assert chosen(0.1).images == round((120 - 0.1 * (2 * 100 + 60)) / 0.01)  # where those of both ends take more
        assert chosen(1.0).images == round(60 / 0.01)
        assert [chosen(0.001).images // chosen(scored).score_every for scored in (0.001, 0.03, 1.0)] == [10, 3, 1]


class TestThreads:
    """How many a run on a CPU has."""

    @pytest.fixture(autouse=True)
    def four_unstated(self, monkeypatch):
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            monkeypatch.delenv(name, raising=False)
        with working(4):
            yield

    @pytest.mark.parametrize(
        ("seconds", "fastest"),
        [({4: 1.0, 2: 0.9}, 4), ({4: 1.0, 2: 0.7, 1: 0.6}, 2), ({4: 1.0, 2: 0.5, 1: 0.1}, 1)],
    )
    def test_half_as_many_while_that_is_faster(self, arrays, tmp_path, monkeypatch, seconds, fastest):
        monkeypatch.setattr(forecast, "_of_images", lambda *_: seconds[torch.get_num_threads()])
        assert Session(small(PLAIN, arrays), tmp_path / "x").plan.threads == fastest
        assert torch.get_num_threads() == 4

    def test_a_run_goes_on_with_those_that_it_began_with(self, arrays, tmp_path, monkeypatch):
        monkeypatch.setattr(planning, "fastest_threads", lambda *_: 2)
        run = Session(small(PLAIN, arrays), tmp_path / "x")
        assert {torch.get_num_threads() for _ in run.train(lambda: run.state.seen > 0)} == {2}
        assert torch.get_num_threads() == 4
        assert run.folder.context()["hardware"]["threads"] == 2
        monkeypatch.setattr(planning, "fastest_threads", None)
        assert Session(run.recipe, tmp_path / "x").plan.threads == 2
        with working(1):  # where there are fewer now
            assert Session(run.recipe, tmp_path / "x").plan.threads == 1

    def test_who_says_how_many_has_so_many(self, arrays, tmp_path, monkeypatch):
        monkeypatch.setattr(planning, "fastest_threads", None)
        assert Session(small(PLAIN, arrays), tmp_path / "x", threads=3).plan.threads == 3
        monkeypatch.setenv("OMP_NUM_THREADS", "4")
        assert Session(small(PLAIN, arrays), tmp_path / "x").plan.threads == 4
        with pytest.raises(ValueError, match="threads"):
            Session(small(PLAIN, arrays), tmp_path / "x", threads=0)


class TestMemory:
    """What a run needs, and what would fit where that is not there."""

    def short(self, monkeypatch, most, error=torch.OutOfMemoryError):
        """Rounds of more than so many images at a time fail as an allocator fails."""
        played = assemble.rounds

        def rounds(assembled, stream, recipe, *others):
            if recipe.batch // (recipe.pieces or 1) > most:
                raise error("CUDA out of memory; or DefaultCPUAllocator: can't allocate memory: you tried to ...")
            return played(assembled, stream, recipe, *others)

        for module in (forecast, session_module):
            monkeypatch.setattr(module, "rounds", rounds)

    def test_the_forecast_is_kept_beside_what_came_true(self, arrays, tmp_path):
        session = Session(small(PLAIN, arrays), tmp_path / "x")
        session.forecast()
        [*session.train()]
        told = json.loads((tmp_path / "x" / "recipe.json").read_text())["forecast"]
        assert told["seconds"] == session.plan.pace.image * session.recipe.images
        assert told["memory"] > 10**8
        kept = sum(file.stat().st_size for file in (tmp_path / "x" / "checkpoints").iterdir())
        assert 0.3 * kept < told["disk"] < 3 * kept
        assert "; forecast " in report.write(tmp_path / "x").read_text()

    @pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
    def test_pieces_that_fit_are_found(self, arrays, tmp_path, monkeypatch, error):
        self.short(monkeypatch, most=1, error=error)
        recipe = small(PLAIN, arrays, g_batch=4, score_every=None)
        session = Session(recipe, tmp_path / "x")
        assert session.recipe.pieces == 4
        assert session.plan.reasons["pieces"] == "a larger part of a batch needs more memory than there is"
        [*session.train()]
        assert Session(recipe, tmp_path / "x").recipe.pieces == 4

    def test_pieces_that_were_asked_for_are_kept(self, arrays, tmp_path, monkeypatch):
        self.short(monkeypatch, most=1)
        with pytest.raises(torch.OutOfMemoryError, match=r"4 images in 2 pieces: .* --pieces 4, one part"):
            Session(small(PLAIN, arrays, pieces=2, score_every=None), tmp_path / "x")
        self.short(monkeypatch, most=0)
        with pytest.raises(torch.OutOfMemoryError, match="in 3 pieces: less is needed with a smaller --batch"):
            Session(small(PLAIN, arrays, batch=3, score_every=None, recompute=True), tmp_path / "x")
        assert not (tmp_path / "x").exists()

    def test_memory_that_runs_out_in_training_is_answered(self, arrays, tmp_path, monkeypatch):
        def fail(*_):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB ...")

        progress = Session(small(PLAIN, arrays), tmp_path / "x").train()
        next(progress)
        monkeypatch.setattr(loop, "move", fail)
        with pytest.raises(torch.OutOfMemoryError) as caught:
            next(progress)
        assert str(caught.value).startswith("out of memory with batches of 4 images: less is needed with --rec")
        assert str(caught.value).endswith("checkpoints/0000000000.pt")


KEEPING = """
import resource

import torch

from equipoise.runs.hardware import keep_freed_memory


def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(1 << 24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


first, kept, growing = faults(), keep_freed_memory(torch.device("cpu")), faults()
print(kept, first, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_that_is_freed_is_kept():
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    said = lambda env: subprocess.run([sys.executable, "-c", KEEPING], env=env, capture_output=True, text=True).stdout
    kept, first, later = said(plain).split()
    assert kept == "True"
    assert int(later) < 100 < int(first)  # of pages that were cleared
    assert said(plain | {"MALLOC_MMAP_MAX_": "65536"}).split()[0] == "False"
