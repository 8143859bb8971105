"""Runs on points and on floats: trained, resumed, sampled, scored and shown in their own units."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from test_report import Parsed
from torch import nn

from equipoise import presets, runs
from equipoise.cli import main
from equipoise.data import Meaning, inspect, toys
from equipoise.metrics.generation import BATCH, generate, latents
from equipoise.networks import ImageShape, mlp
from equipoise.ranges import Range
from equipoise.report import sections, write
from equipoise.runs import RunFolder, Session, pictures, scatter
from equipoise.runs.folder import load_checkpoint, read_rows
from equipoise.runs.landscape import landscape, lattice

NETWORK = "mlp(width=16, depth=2, z_dim=2)"
EVERY = {"score_every": 128, "sample_every": 128, "save_every": 64, "score_images": 100}


def short(data, **changes):
    """A recipe of a few rounds."""
    few = {"network": NETWORK, "batch": 32, "images": 256, "precision": "float32"}
    return replace(presets.default(), data=data, **few | EVERY | changes)


def finish(recipe, out):
    return [*runs.train(recipe, out)]


def weights(folder):
    state = load_checkpoint(folder.newest_checkpoint(), torch.device("cpu"))
    return {(net, name): value for net, part in state["nets"].items() for name, value in part.items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short run on a ring with labels."""
    out = tmp_path_factory.mktemp("runs") / "ring"
    finish(short("ring(count=5)", labels=True), out)
    return RunFolder(out)


def test_points_are_generated_without_bounds_in_their_own_units():
    G, D = mlp(width=8)(ImageShape(2, 1, 1))
    with torch.no_grad():
        [*G.modules()][-2].bias.fill_(50.0)
    points = torch.cat([*generate(G, latents(G, BATCH + 3, seed=0), None, range=Range(-4, 4))])
    assert points.dtype == torch.float32
    assert points.shape == (BATCH + 3, 2, 1, 1)
    assert points.mean().item() == pytest.approx(200, rel=0.1)
    assert D(points).shape == (BATCH + 3,)
    assert any(isinstance(layer, nn.Tanh) for layer in mlp(width=8)(ImageShape(2, 8, 8))[0].modules())


def test_a_recipe_for_points_is_complete(tmp_path):
    session = Session(replace(presets.default(), data="grid(side=3)", score_every=100), tmp_path / "x")
    recipe = session.recipe
    assert (recipe.size, recipe.channels, recipe.range, recipe.augment) == ("1", 2, "-2.0:2.0", "none")
    assert recipe.network.startswith("mlp(")
    assert recipe.score == ("modes(centers=grid(side=3))",)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("data", ["ring", "gaussians_1d"])
def test_a_resumed_run_on_points_is_the_same_run(data, tmp_path):
    recipe, steps = short(data, labels=data == "ring"), []
    finish(recipe, tmp_path / "whole")
    [*runs.train(recipe, tmp_path / "parts", stop=lambda: len(steps) == 3 or steps.append(1))]
    finish(recipe, tmp_path / "parts")
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    one, other = weights(whole), weights(parts)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert [*read_rows(whole.metrics_file)] == [*read_rows(parts.metrics_file)]
    names = [file.name for file in sorted(whole.samples.iterdir())]
    assert (
        names
        == [file.name for file in sorted(parts.samples.iterdir())]
        == ["0000000000.png", "0000000128.png", "0000000256.png"]
    )
    assert all((whole.samples / n).read_bytes() == (parts.samples / n).read_bytes() for n in names)


def test_float_images_are_trained_on_and_sampled(tmp_path):
    fields = np.random.default_rng(0).normal(size=(40, 5, 9, 12)).astype(np.float32)
    np.savez(tmp_path / "fields.npz", images=fields, range=[-6, 6])
    finish(short(str(tmp_path / "fields.npz"), images=64), tmp_path / "run")
    assert RunFolder(tmp_path / "run").recipe().range == "-6.0:6.0"
    assert main(["sample", str(tmp_path / "run"), "--count", "5", "--out", str(tmp_path / "made.npz")]) == 0
    made = inspect(tmp_path / "made.npz")
    assert (made.reader.array.shape, made.typical.range) == ((5, 5, 9, 12), Range(-6, 6))
    assert made.reader.array.dtype == np.float32
    assert len(np.unique(made.reader.array)) > 1000  # not 256 levels
    assert main(["sample", str(tmp_path / "run"), "--count", "4", "--out", str(tmp_path / "made.png")]) == 0
    with Image.open(tmp_path / "made.png") as grid:
        assert grid.size == (24, 18)
    assert main(["evaluate", str(tmp_path / "run"), "--metrics", "fd", "--count", "40"]) == 0


def test_samples_of_points_are_arrays_or_a_picture(trained, tmp_path, capsys):
    run = str(trained.path)
    for name in ("points.npz", "points.npy", "points.png", "rows.png"):
        more = ["--rows"] if name == "rows.png" else ["--count", "50"]
        assert main(["sample", run, *more, "--out", str(tmp_path / name)]) == 0
    content = np.load(tmp_path / "points.npz")
    assert content["points"].shape == (50, 2)
    assert content["labels"].tolist() == [*range(5)] * 10
    assert content["range"].tolist() == [-2, 2]
    assert np.array_equal(np.load(tmp_path / "points.npy"), content["points"])
    assert main(["sample", run, "--out", str(tmp_path / "folder")]) == 1
    assert "points are written to a picture (.png), to .npz or to .npy, not to the folder" in capsys.readouterr().err
    assert not (tmp_path / "folder").exists()


def test_points_are_scored_against_a_toy_set_by_its_own_metrics(trained, tmp_path, capsys):
    np.save(tmp_path / "real.npy", toys.ring(count=5).draw(400, 7)[0])
    row = runs.evaluate_images(tmp_path / "real.npy", "ring(count=5)")
    assert row["modes"] == 5
    assert row["metrics"] == ["modes(centers=ring(count=5))"]
    row = runs.evaluate(trained.path, count=200)
    assert {"modes", "high_quality", "real_modes", "real_high_quality"} <= row.keys()
    assert row["real_n"] == 200
    assert main(["evaluate", str(tmp_path / "real.npy"), "--against", "rin(count=5)"]) == 1
    assert "toys has no 'rin' (did you mean 'ring'?)" in capsys.readouterr().err


def test_copies_of_points_are_measured_and_not_pictured(tmp_path):
    np.save(tmp_path / "few.npy", toys.ring(count=5).draw(200, 7)[0])
    finish(short(str(tmp_path / "few.npy"), images=64), tmp_path / "x")
    row = runs.evaluate(tmp_path / "x", metrics=("memorization", "wasserstein"), count=200)
    assert row["wasserstein"] > 0
    assert not RunFolder(tmp_path / "x").nearest_file.exists()


def test_the_command_line_takes_toys_by_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "mine.py"
    own.write_text("from equipoise.data import toys\ndef two():\n    return toys.ring(count=2)\n")
    flags = ["--network", NETWORK, "--images", "64", "--batch", "32", "--score-images", "50"]
    assert main(["train", "mine.py:two", "--out", "two", *flags]) == 0
    assert RunFolder("two").recipe().data == f"{own}:two"
    assert main(["train", "ring", "--out", "x", "--dry-run", *flags]) == 0
    assert "100,000 images in ring" in capsys.readouterr().out
    assert main(["train", "ring", "--out", "x", "--dequantize", *flags]) == 1
    assert "dequantize adds noise below one grey level" in capsys.readouterr().err
    assert main(["train", "ring", "--out", "x", "--network", "dcgan"]) == 1
    assert "dcgan cannot be built for images (2, 1, 1)" in capsys.readouterr().err
    assert main(["list", "toys"]) == 0
    assert "swiss_roll" in capsys.readouterr().out
    assert not (tmp_path / "x").exists()


class Bowl(nn.Module):
    """- |x - a|^2, whose gradient is - 2 (x - a)."""

    def __init__(self, *middle: float) -> None:
        super().__init__()
        self.middle = nn.Parameter(torch.tensor(middle))

    def forward(self, images):
        return -(images.flatten(1) - self.middle).square().sum(1)


@pytest.mark.parametrize("middle", [(0.5,), (0.5, -0.25)])
def test_a_landscape_has_the_values_and_the_gradients_of_the_discriminator(middle):
    scale = Range(-4, 8)  # a networks' unit is 6
    found = landscape(Bowl(*middle), len(middle), scale, 1.4, Meaning())
    at = (found.places - 2) / 6
    assert found.values == pytest.approx(-np.square(at - middle).sum(1), abs=1e-5)
    assert found.gradients == pytest.approx(-2 * ((found.at - 2) / 6 - middle) / 6, abs=1e-5)
    assert (found.places.min(), found.places.max()) == pytest.approx((2 - 1.4 * 6, 2 + 1.4 * 6))


def test_a_landscape_leaves_everything_as_it_was():
    D = nn.Sequential(
        nn.Flatten(), nn.utils.parametrizations.spectral_norm(nn.Linear(2, 4)), nn.Dropout(), nn.Linear(4, 1)
    )
    before, random = {name: value.clone() for name, value in D.state_dict().items()}, torch.get_rng_state()
    landscape(D, 2, Range(-1, 1), 1.4, Meaning())
    assert D.training
    assert all(torch.equal(value, before[name]) for name, value in D.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert all(weight.grad is None for weight in D.parameters())


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_pictures_are_of_one_size_whatever_is_known(dimensions):
    points, scale = np.random.default_rng(0).normal(size=(60, dimensions)), Range(-2, 2)
    alone, beside = scatter.picture(points, scale), scatter.picture(points, scale, real=points + 1)
    assert alone.size == beside.size == (576, 576)
    assert alone.tobytes() != beside.tobytes()
    assert alone.tobytes() == scatter.picture(points, scale).tobytes()
    if dimensions < 3:
        terrain = landscape(Bowl(*[0.0] * dimensions), dimensions, scale, 1.4, Meaning())
        flat = terrain._replace(values=0 * terrain.values, gradients=0 * terrain.gradients)
        assert scatter.picture(points, scale, points, terrain).size == (1152, 576)
        assert scatter.picture(points, scale, points, flat).size == (1152, 576)


def test_the_page_plays_samples_over_training_without_code(trained):
    page = write(trained.path).read_text()
    parsed = Parsed(page)
    frames = [attributes for attributes in parsed.all("li") if "style" in attributes]
    assert [frame["style"] for frame in frames] == ["--at:0", "--at:1", "--at:2"]
    assert not parsed.all("script")
    assert "@keyframes frame{" in page
    assert "prefers-reduced-motion: no-preference" in page
    assert {a.get("id") for a in parsed.all("input")} >= {"film-play", "film-pause", "film-beside"}
    assert "the discriminator's logit, in the plane bright where it is high" in parsed.text
    assert all(image["src"].startswith("data:image/") for image in parsed.all("img"))


def test_frames_follow_one_another_and_the_last_is_held():
    found = sections.film(5)
    shares = 5 + sections.HELD
    ends = [float(end) for end in re.findall(r"visible\}([\d.]+)%", found)]
    assert ends == pytest.approx([100 / shares, 100 * (sections.HELD + 1) / shares], abs=1e-2)
    assert 4 * ends[0] + ends[1] == pytest.approx(100, abs=0.01)
    assert sections.film(1) == ""


def test_a_lattice_has_the_last_coordinate_fastest():
    assert lattice(3, 1, 2.0).tolist() == [[-2], [0], [2]]


def test_arrays_keep_floats(tmp_path):
    images = 1e6 * torch.randn(3, 2, 8, 8)
    said = pictures.write(images, None, tmp_path / "x.npy", range=Range(-1, 1))
    assert said == f"3 images as arrays in {tmp_path / 'x.npy'}"
    assert np.array_equal(np.load(tmp_path / "x.npy"), images.numpy())


def test_a_ring_is_learnt_by_the_default_recipe(tmp_path):
    """Some seconds of it find most modes of a ring with more noise."""
    once = dict.fromkeys(("score_every", "sample_every", "save_every"), 30_000)
    recipe = replace(presets.default(), data="ring(deviation=0.1)", images=30_000, precision="float32", **once)
    *_, last = runs.train(recipe, tmp_path / "x")
    assert last.score["modes"] >= 7
    assert last.score["high_quality"] > 0.3
