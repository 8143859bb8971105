"""Images made ready once are, for training, the images that they were made of."""

import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from equipoise import cli, runs
from equipoise.data import Format, inspect, load


def photos(folder, names, size=(20, 16)):
    """Random photographs."""
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(folder / name)
    return folder


def same(one, other, format, labels=False):
    """Whether two sets give the same images and labels, by name where they are classes."""
    first, second = (load(data, format, labels) for data in (one, other))
    told = lambda dataset: dataset.labels and [dataset.meaning.names[k] for k in dataset.labels.values]
    return torch.equal(first.images, second.images) and told(first) == told(second)


def test_a_folder_with_classes(tmp_path):
    data = photos(tmp_path / "pets", ["cat/a.png", "cat/b.bmp", "dog/a.png", "dog/deep/c.png"])
    done = runs.prepare(data, tmp_path / "x.zip", size="8")
    assert (done.images, done.format.shape, done.left_out) == (4, (3, 8, 8), [])
    assert same(data, tmp_path / "x.zip", Format(3, 8, 8), labels=True)
    assert zipfile.ZipFile(tmp_path / "x.zip").namelist()[1:] == [
        "cat/b.png",
        "dog/a.png",
        "dog/deep/c.png",
        "labels.json",
    ]
    again = runs.prepare(data, tmp_path / "y.zip", size="8")
    assert (tmp_path / "x.zip").read_bytes() == (tmp_path / "y.zip").read_bytes()
    photos(tmp_path / "pets", ["cat/a.png"], (21, 16))
    changed = runs.prepare(data, tmp_path / "z.zip", size="8")
    assert done.digest == again.digest != changed.digest


@pytest.mark.parametrize("shape", ["8x12", None])
def test_size_and_channels_are_those_of_training(tmp_path, shape):
    data = photos(tmp_path / "x", ["1.png", "2.png"])
    done = runs.prepare(data, tmp_path / "x.zip", size=shape, channels=1, fit="stretch")
    assert done.format.shape == ((1, 8, 12) if shape else (1, 16, 16))
    assert same(data, done.path, Format(*done.format.shape, fit="stretch"))


def test_a_published_set_with_named_classes(tmp_path):
    done = runs.prepare("builtin", tmp_path / "x.zip")
    assert (done.images, done.format.shape) == (10_000, (1, 28, 28))
    assert same("builtin", done.path, Format(1, 28, 28), labels=True)


@pytest.mark.parametrize(
    "labels",
    [
        {"labels": np.array([[True, False], [False, False], [True, True]]), "names": np.array(["smile", "hat"])},
        {"labels": np.array([[0.5, 2.0], [1.5, -1.0], [3.0, 9.0]]), "names": np.array(["height", "age"])},
        {"labels": np.array([3, 11, 3])},
    ],
)
def test_labels_of_every_kind(tmp_path, labels):
    np.savez(tmp_path / "x.npz", images=np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8), **labels)
    runs.prepare(tmp_path / "x.npz", tmp_path / "x.zip")
    first, second = (inspect(tmp_path / f"x.{kind}").labels for kind in ("npz", "zip"))
    assert first.meaning.kind == second.meaning.kind
    if first.meaning.kind == "classes":
        assert second.meaning.names == ("3", "11")
        assert second.values.tolist() == [0, 1, 0]
    else:
        order = [second.meaning.names.index(name) for name in first.meaning.names]
        assert second.values[:, order].tolist() == first.values.tolist()


def test_files_of_one_name_keep_apart(tmp_path):
    data = photos(tmp_path / "x", ["a.png", "a.bmp", "B.png", "b.bmp", "c.bmp"])
    runs.prepare(data, tmp_path / "x.zip", size="8")
    names = zipfile.ZipFile(tmp_path / "x.zip").namelist()
    assert names == ["B.png.png", "a.bmp.png", "a.png.png", "b.bmp.png", "c.png"]


def test_broken_images_are_left_out(tmp_path, capsys):
    data = photos(tmp_path / "x", ["a/1.png", "b/3.png"])
    (data / "a" / "2.png").write_bytes(b"nothing")
    assert cli.main(["prepare", str(data), "--out", str(tmp_path / "x.zip"), "--size", "8"]) == 0
    out = capsys.readouterr().out
    assert "left out a/2.png: not an image" in out
    assert f"2 images of 3 x 8 x 8 in {tmp_path / 'x.zip'}, " in out
    assert json.loads(zipfile.ZipFile(tmp_path / "x.zip").read("labels.json")) == {"a/1.png": "a", "b/3.png": "b"}
    assert cli.main(["prepare", str(data), "--out", str(tmp_path / "y.zip"), "--size", "8", "--strict"]) == 1
    assert not (tmp_path / "y.zip").exists()


def test_what_is_refused(tmp_path, capsys):
    data = photos(tmp_path / "x", ["1.png"])
    (tmp_path / "there.zip").write_bytes(b"mine")
    np.save(tmp_path / "floats.npy", np.random.default_rng(0).normal(size=(4, 8, 8, 2)) * 9)
    np.save(tmp_path / "many.npy", np.zeros((4, 8, 8, 6), np.uint8))
    for path, out, more, message in (
        (data, "there.zip", [], "exists and was not touched"),
        (data, "x.npz", [], "prepared in a .zip file, not in"),
        (tmp_path / "many.npy", "y.zip", [], "holds no images of 8 bits with 1 to 4 channels"),
        (tmp_path / "floats.npy", "y.zip", [], "hold floats|holds floats"),
        ("ring", "y.zip", [], "holds no images of 8 bits"),
        (data, "y.zip", ["--size", "big"], "size must be"),
        (tmp_path / "nowhere", "y.zip", [], "no such file"),
    ):
        assert cli.main(["prepare", str(path), "--out", str(tmp_path / out), *more]) == 1, message
        (line,) = capsys.readouterr().err.splitlines()
        assert any(part in line for part in message.split("|")), line
    assert (tmp_path / "there.zip").read_bytes() == b"mine"
    assert not (tmp_path / "y.zip").exists()


def test_decoding_is_watched(tmp_path):
    data = photos(tmp_path / "x", [f"{k}.png" for k in range(130)])
    shown = []

    def watch(parts, name, count):
        for part in parts:
            shown.append((name, count, len(part[0]) if isinstance(part, tuple) else len(part)))
            yield part

    load(data, Format(3, 8, 8), watch=watch)
    assert shown == [("images", 130, 64), ("images", 130, 64), ("images", 130, 2)]
    shown.clear()
    runs.prepare(data, tmp_path / "x.zip", size="8", watch=watch)
    assert shown == [("images", 130, 64), ("images", 130, 64), ("images", 130, 2)]


def test_numbered_classes_stay_what_they_are(tmp_path):
    for folders in (["01", "1", "10", "2"], [str(number) for number in range(11)]):
        data = photos(tmp_path / folders[0] / "x", [f"{name}/1.png" for name in folders])
        runs.prepare(data, tmp_path / folders[0] / "x.zip", size="8")
        first, second = (inspect(path).labels for path in (data, tmp_path / folders[0] / "x.zip"))
        assert first.meaning.names == second.meaning.names
        assert first.values.tolist() == second.values.tolist()


def test_names_that_cannot_be_told_apart_are_refused(tmp_path):
    data = photos(tmp_path / "x", ["a.png", "a.bmp", "a.png.bmp"])
    with pytest.raises(ValueError, match="names differ by their endings alone"):
        runs.prepare(data, tmp_path / "x.zip", size="8")
