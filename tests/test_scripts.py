"""Every script under benchmarks/ and scripts/ runs as a user runs it, at toy size; examples are in test_examples.py."""

import gzip
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import gallery
import numpy as np
import pytest
import run_pages
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from equipoise import data
from equipoise.metrics.features import classifier, mobilenet_v2

ROOT = Path(__file__).parent.parent
TESTED = {
    "benchmarks": {
        *("features.py", "gallery.py", "growth.py", "training.py", "metrics.py"),
        *("spectral_norm.py", "translation.py"),
        *("results.py", "run_pages.py"),  # in test_results.py
    },
    "scripts": {
        *("build_builtin_data.py", "class_folders.py", "crops.py", "disturbances.py", "pack_mobilenet.py"),
        *("build_docs.py", "docstrings.py", "reference.py"),  # in test_docs.py
        "study_pages.py",  # in test_study.py
        "train_classifier.py",
    },
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


def test_every_system_is_compared_with_plain_pytorch():
    lines = run("benchmarks/training.py", "--batch", 4, "--rounds", 1, "--width", 0.125).splitlines()
    systems = ["dcgan", "sngan-resnet", "wgan-gp", "biggan", "r3gan", "pggan"]
    assert [line.split(" | ")[0] for line in lines[5:]] == [f"| {name}" for name in systems]
    for ratio, operations, reached in (line.split("|")[-4:-1] for line in lines[5:]):
        assert float(ratio) > 0
        assert int(operations) >= 0
        assert 0 <= int(reached.strip(" %")) < 100


def test_features_are_timed_beside_those_of_torch_fidelity():
    lines = run("benchmarks/features.py", "--images", 1, "--rounds", 1).splitlines()
    assert [line[:22].rstrip() for line in lines[1:4]] == ["inception", "mobilenet", "inception in bfloat16"]
    assert all(float(line[22:].split()[0]) > 0 for line in lines[1:4])
    assert lines[-1].startswith(("torch-fidelity is not installed", "largest difference of inception from"))


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
        "precision, recall, density and coverage of 40 x 6",
        "precision, recall, density and coverage of 30 x 6",
        "KID of 30 x 6, 3 subsets of 10",
    ]
    compared = [line for line in told.splitlines() if "product" in line]
    assert [float(line.split()[-1]) < 1e-3 for line in compared] == [True] * 2


def test_the_gallery_trains_a_preset_and_writes_the_page(tmp_path, monkeypatch):
    for module in (gallery, run_pages):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    words = "--network 'mlp(width=8, depth=1, z_dim=2)' --batch 8 --features pixels " + gallery.falling("1e-3", "5e-4")
    monkeypatch.setattr(gallery, "RUNS", {"gan": gallery.Run(words, images=16, precision="float32")})
    monkeypatch.setattr(sys, "argv", ["gallery.py", "--only", "gan"])
    assert gallery.main() == 0
    assert (tmp_path / "runs" / "gallery" / "gan" / "recipe.json").exists()
    assert "## gan\n" in (tmp_path / "docs" / "gallery.md").read_text()
    assert (tmp_path / "docs" / "gallery" / "gan.png").exists()


def test_what_growing_costs_is_next_to_full_size():
    told = run(
        "benchmarks/growth.py", "--size", 8, "--network", "pggan(fmap_base=16, fmap_max=4, z_dim=4)", "--times", 1
    )
    assert [line.split("|")[1:3] for line in told.splitlines()[2:5]] == [
        [" 4 ", " held "],
        [" 8 ", " fades in "],
        [" 8 ", " held "],
    ]
    assert all(float(line.split("|")[3]) > 0 for line in told.splitlines()[2:5])
    ms = [
        float(re.search(rf"\| {name} \| \| ([\d.]+) \|", told)[1])
        for name in ("all phases", "full size from the start")
    ]
    assert float(re.search(r"growing is ([\d.]+) times as fast", told)[1]) == pytest.approx(ms[1] / ms[0], rel=0.02)


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


def quantised_arrays(seed=0):
    """Arrays as published ones are: weights are multiples of one number, channels last."""
    draw = np.random.default_rng(seed)
    layers = [layer for layer in mobilenet_v2.network().modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    arrays = {}
    for number, layer in enumerate(layers):
        shape, depthwise = (*layer.weight.shape, 1, 1)[:4], getattr(layer, "groups", 1) > 1
        q = draw.integers(256, size=np.transpose(np.empty(shape), (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)).shape)
        arrays[f"w{number:02}"] = (q - 100).astype(np.float32) * np.float32(0.003 + 0.001 * number)
        arrays[f"b{number:02}"] = draw.normal(size=len(layer.weight)).astype(np.float32)
    return arrays


def test_mobilenet_is_packed_without_a_loss(tmp_path):
    source, target = tmp_path / "arrays.npz", tmp_path / "mobilenet.safetensors"
    arrays = quantised_arrays()
    np.savez(source, **arrays)
    assert run("scripts/pack_mobilenet.py", source, target) == f"{target.name}: {target.stat().st_size:,} bytes\n"
    tensors, kept = mobilenet_v2.unpacked(load_file(target)), load_file(mobilenet_v2.WEIGHTS)
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        name: tensor.shape for name, tensor in kept.items() if not name.endswith((".zero", ".scale"))
    }
    np.testing.assert_array_equal(tensors["0.weight"], arrays["w00"].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(tensors["1.0.weight"], arrays["w01"].transpose(3, 0, 1, 2))
    np.testing.assert_array_equal(tensors["21.weight"], arrays["w52"][:, 0, 0])
    np.testing.assert_array_equal(tensors["21.bias"], arrays["b52"])


def test_weights_of_more_than_8_bits_are_refused(tmp_path):
    arrays = quantised_arrays()
    arrays["w00"] += np.linspace(0, 1, arrays["w00"].size, dtype=np.float32).reshape(arrays["w00"].shape)
    np.savez(tmp_path / "arrays.npz", **arrays)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run("scripts/pack_mobilenet.py", tmp_path / "arrays.npz", tmp_path / "mobilenet.safetensors")
    assert "not quantised to 8 bits" in caught.value.stderr


def test_disturbances_are_measured_by_features_and_by_metrics_of_images(tmp_path):
    metrics = "memorization(quantile=0.5), fd, inception_score, ms_ssim"
    sizes = ["--count", 20, "--real", 40, "--side", 16, "--features", "pixels, builtin", "--metrics", metrics]
    out = tmp_path / "tables.md"
    assert run("scripts/disturbances.py", *sizes, "--out", out) == ""
    before, pixels, builtin, images = out.read_text().split("\n### ")
    assert "20 held-out images against 40 training images, 16x16" in before
    header = lambda table: [cell.strip() for cell in table.splitlines()[2].split("|")[2:-1]]
    assert header(pixels) == ["memorization", "", "duplicates", "nearest", "mifid", "fd"]
    assert header(builtin) == [*header(pixels), "inception_score"]
    assert header(images) == ["ms_ssim", ""]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in pixels.splitlines()[4:] if line]
    assert len(rows) == len(before.split("\n- ")) - 1 == 10
    assert {tuple(row[1].split(" / ")[:1]) for row in rows} == {(rows[0][1].split(" / ")[0],)}
    assert {mark for row in rows for mark in row[2:]} <= {"++", "+", "-"}
    *_, memorised = rows
    assert memorised[0] == "memorised"
    assert memorised[1].endswith(" / 1")  # a copy is nearer than any threshold
    assert memorised[2] == "++"


def test_too_few_images_for_missing_modes_are_refused(tmp_path):
    np.save(tmp_path / "images.npy", np.random.default_rng(0).integers(256, size=(40, 16, 16, 3), dtype=np.uint8))
    sizes = ["--data", tmp_path / "images.npy", "--count", 15, "--side", 16, "--features", "pixels", "--metrics", "fd"]
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run("scripts/disturbances.py", *sizes)
    assert "missing_modes at 3 leaves 14 images, fewer than 15" in caught.value.stderr


def test_labelled_images_go_to_a_folder_for_each_class(tmp_path):
    images = np.random.default_rng(0).integers(256, size=(3, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=[1, 0, 1], classes=["T-shirt/top", "bag"])
    run("scripts/class_folders.py", tmp_path / "x.npz", tmp_path / "out")
    written = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*.png")}
    assert sorted(written) == ["T-shirt-top/00001.png", "bag/00000.png", "bag/00002.png"]
    with Image.open(written["bag/00002.png"]) as picture:
        assert np.array_equal(picture, images[2])


def test_squares_are_cut_out_of_photographs(tmp_path):
    photographs, out = tmp_path / "photographs", tmp_path / "squares"
    photographs.mkdir()
    Image.effect_noise((60, 40), 50).save(photographs / "a.jpg")
    run("scripts/crops.py", photographs, out, "--side", 8, "--count", 3, "--least", 20, "--most", 30)
    squares = sorted(out.iterdir())
    assert [file.name for file in squares] == ["0000.png", "0001.png", "0002.png"]
    for file in squares:
        with Image.open(file) as square:
            assert (square.size, square.mode) == ((8, 8), "RGB")
    assert len({file.read_bytes() for file in squares}) == 3
