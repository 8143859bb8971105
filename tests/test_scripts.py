"""Every script under benchmarks/ and scripts/ runs as a user runs it, at toy size; examples are in test_examples.py."""

import gzip
import os
import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file
from test_gallery import gallery

from equipoise import data
from equipoise.metrics import classifier
from equipoise.recipe import Recipe
from equipoise.runs import train

ROOT = Path(__file__).parent.parent
TESTED = {
    "benchmarks": {"gallery.py", "iteration.py", "metrics.py", "spectral_norm.py"},
    "scripts": {"build_builtin_data.py", "make_picture.py", "train_classifier.py"},
}


def run(script, *arguments):
    """What a script prints, run in a process of its own in which warnings are errors."""
    command = [sys.executable, "-W", "error", ROOT / script, *map(str, arguments)]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    ).stdout


@pytest.mark.parametrize("folder", TESTED)
def test_no_script_is_left_out(folder):
    assert {path.name for path in (ROOT / folder).glob("*.py")} == TESTED[folder]


def test_the_iteration_is_compared_with_plain_pytorch():
    lines = run("benchmarks/iteration.py", "--batch", 2, "--rounds", 1, "--scale", 0.125).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["plain", "equipoise", "ratio"]
    assert float(lines[-1].split()[1]) > 0


def test_the_cost_of_spectral_normalisation_is_next_to_that_of_every_stabiliser():
    trial = ["--rounds", "1", "--calls", "1", "--updates", "1", "--size", "8", "--scale", "0.0625", "--batch", "2"]
    told = run("benchmarks/spectral_norm.py", *trial)
    assert "forward and backward of the norm alone" in told
    assert "discriminator step" in told
    table = told.split("100 G updates")[1].splitlines()[1:]
    assert [float(line.split()[-1]) > 0 for line in table] == [True] * 15
    assert "spectral norm regularisation" in told


def test_distances_are_next_to_those_of_other_packages():
    told = run("benchmarks/metrics.py", "--rows", 40, "--dim", 6, "--near", 30, "--subsets", 3, "--size", 10)
    assert [line for line in told.splitlines() if not line.startswith("  ")][1:] == [
        "FD of 40 x 6",
        "precision, recall, density and coverage of 30 x 6",
        "KID of 30 x 6, 3 subsets of 10",
    ]
    compared = [line for line in told.splitlines() if "product" in line]
    assert [float(line.split()[-1]) < 1e-3 for line in compared] == [True] * 2


def test_the_gallery_trains_a_preset_and_writes_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "ROOT", tmp_path)
    words = "--network 'mlp(width=8, depth=1, z_dim=2)' --batch 8 " + gallery.falling("1e-3", "5e-4")
    monkeypatch.setattr(gallery, "SETTINGS", {"gan": words})
    monkeypatch.setattr(gallery, "SHARED", "--images 16 --precision float32 --features pixels --score-images 2")
    monkeypatch.setattr(sys, "argv", ["gallery.py", "--only", "gan"])
    gallery.main()
    assert "## gan\n" in (tmp_path / "docs" / "gallery.md").read_text()
    assert (tmp_path / "docs" / "gallery" / "gan.png").exists()


def write_idx(path, array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def test_the_builtin_data_are_made_from_idx_files(tmp_path):
    draw = np.random.default_rng(0)
    labels = np.repeat(np.arange(10, dtype=np.uint8), 3)
    for part in ("train", "t10k"):
        images = draw.integers(256, size=(30, 28, 28), dtype=np.uint8)
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels)
    for name in ("first.npz", "second.npz"):
        run("scripts/build_builtin_data.py", tmp_path, tmp_path / name)
    first, second = ((tmp_path / name).read_bytes() for name in ("first.npz", "second.npz"))
    assert first == second
    with np.load(tmp_path / "first.npz") as made:
        assert made["images"].shape == made["held_out_images"].shape == (30, 28, 28)
        assert (made["held_out_images"] == images).all()
        assert (made["labels"] == labels).all()
    assert len(data.load(str(tmp_path / "first.npz"), data.Format(1, 28, 28))) == 30


def test_the_classifier_is_trained_and_saved(tmp_path):
    target = tmp_path / "classifier.safetensors"
    told = run("scripts/train_classifier.py", target, "--epochs", 1, "--images", 20)
    assert told.startswith("epoch 1: loss ")
    shapes = lambda file: {name: value.shape for name, value in load_file(file).items()}
    assert shapes(target) == shapes(classifier.WEIGHTS)


def test_the_picture_is_made_from_a_run(tmp_path):
    small = {
        "network": "mlp(width=8, depth=1, z_dim=2)",
        "batch": 8,
        "images": 40,
        "precision": "float32",
        "features": "pixels",
    }
    every = {"score_every": 8, "sample_every": 8, "score_images": 2}
    for _ in train(Recipe(**small, **every), tmp_path / "run"):
        pass
    out = tmp_path / "pictures" / "samples.png"
    assert run("scripts/make_picture.py", tmp_path / "run", out) == f"{out}\n"
    with Image.open(out) as picture:
        assert picture.size == (1200, 230)
        colours = [np.asarray(picture.convert("L"))[:, left:right] for left, right in pairwise(range(0, 1201, 200))]
    assert all(part.std() > 0 for part in colours)
