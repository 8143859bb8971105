"""What is found at a path, and what is refused."""

import io
import logging
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from equipoise.data import Format, batches, inspect, load
from equipoise.ranges import BYTES, Range

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
SMALL = Format(3, 8, 8)
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the folder of real data is not beside the repository")


def png(value, mode="L", size=(8, 8), kind="PNG"):
    buffer = io.BytesIO()
    Image.new(mode, size, value).save(buffer, kind)
    return buffer.getvalue()


def fill(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def pack(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def greys(dataset):
    return dataset.images[:, 0, 0, 0].tolist()


CLASSES = {"cat/2.png": png(20), "cat/deep/1.PNG": png(10), "dog/a.bmp": png(30, kind="BMP")}
NOISE = {
    "dog/.hidden.png": b"",
    ".git/x.png": b"",
    "__MACOSX/cat/._2.png": b"",
    "dog/readme.txt": b"",
    "Thumbs.db": b"",
}
ORDER = [20, 10, 30]


@pytest.fixture(params=["folder", "zip", "packed folder"])
def tree(request, tmp_path):
    files = CLASSES | NOISE
    if request.param == "folder":
        return fill(tmp_path / "pets", files)
    top = "pets/" if request.param == "packed folder" else ""
    return pack(tmp_path / "pets.zip", {f"{top}{name}": content for name, content in files.items()})


def test_folder_and_zip(tree):
    source = inspect(tree)
    assert (source.count, source.labels.meaning.names, source.labels.values.tolist()) == (3, ("cat", "dog"), [0, 0, 1])
    assert (source.kind, source.name) == (tree.suffix[1:] or "folder", tree.name)
    plain, labelled = load(source, SMALL), load(tree, SMALL, labels=True)
    assert greys(plain) == greys(labelled) == ORDER
    assert plain.labels is None
    assert not plain.meaning.space
    assert labelled.labels.tensor().tolist() == [0, 0, 1]
    assert labelled.meaning.names == ("cat", "dog")
    assert labelled.held_out is None
    streamed = load(tree, SMALL, labels=True, memory_limit=10)
    assert streamed.images is None
    assert torch.equal(streamed.take([2, 0, 1]), labelled.take([2, 0, 1]))
    assert torch.equal(streamed.take(np.array([-1])), labelled.take(np.array([-1])))
    with pytest.raises(IndexError):
        streamed.take([3])


def test_every_process_opens_its_own_zip(tmp_path, monkeypatch):
    source = inspect(pack(tmp_path / "x.zip", {f"{k}.png": png(k) for k in range(40)}))
    streamed = load(source, SMALL, memory_limit=0)
    stream = batches(streamed, 10, 0, workers=2)
    shown = torch.cat([next(stream)[0] for _ in range(4)])
    stream.close()
    assert torch.equal(shown[:, 0, 0, 0].sort().values, torch.arange(40) / 127.5 - 1)
    archive = source.reader.store
    ours = archive._zip()
    assert archive._zip() is ours
    assert pickle.loads(pickle.dumps(archive))._handle is None
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert archive._zip() is not ours
    assert archive.read("7.png") == png(7)


def test_linked_folders_are_followed_once(tmp_path):
    fill(tmp_path / "far", {"1.png": png(1)})
    root = fill(tmp_path / "near", {"2.png": png(2)})
    (root / "link").symlink_to(tmp_path / "far")
    (root / "loop").symlink_to(root)
    assert sorted(greys(load(root, SMALL))) == [1, 2]


def test_flat_folder_has_no_labels(tmp_path):
    fill(tmp_path, {"cat/1.png": png(1), "stray.png": png(2)})
    assert inspect(tmp_path).labels is None
    with pytest.raises(ValueError, match=r"with labels: 'stray\.png' lies in no sub-folder"):
        inspect(tmp_path, labels=True)
    with pytest.raises(ValueError, match="with labels"):
        load(inspect(tmp_path), SMALL, labels=True)


@pytest.mark.parametrize(
    ("modes", "channels"), [("L", 1), ("L LA", 2), ("RGB L", 3), ("RGB LA", 4), ("RGBA", 4), ("P 1", 3), ("CMYK", 3)]
)
def test_typical_channels(tmp_path, modes, channels):
    """Alpha counts where it is used: LA and RGBA images here are see-through."""
    for mode in modes.split():
        Image.new(mode, (4, 4)).save(tmp_path / f"{mode}.{'jpg' if mode == 'CMYK' else 'png'}")
    assert inspect(tmp_path).typical.channels == channels


def test_typical_size(tmp_path):
    sizes = [(10, 20), (30, 50), (31, 40)]
    fill(tmp_path, {f"{k}.png": png(0, size=size) for k, size in enumerate(sizes)})
    typical = inspect(tmp_path).typical
    assert (typical.width, typical.height) == (30, 40)


_buffer = io.BytesIO()
Image.effect_noise((64, 64), 90).save(_buffer, "JPEG")
NOISY_JPEG = _buffer.getvalue()
BROKEN = {
    "0.png": png(5),
    "1.png": b"",
    "2.png": b"no image",
    "3.jpg": NOISY_JPEG[:-300],
    "4.png": png(6),
}


def test_broken_files_are_skipped_with_one_line_each(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        files = {f"c/{n}": c for n, c in BROKEN.items()} | {"d/0.png": png(7)}
        dataset = load(fill(tmp_path / "x", files), SMALL, labels=True)
    assert greys(dataset) == [5, 6, 7]
    assert len(dataset.labels) == len(dataset) == 3
    assert [r.name for r in caplog.records] == ["equipoise.data"] * 3
    assert [r.getMessage().split(":")[0] for r in caplog.records] == [
        f"skipped c/{k}" for k in ("1.png", "2.png", "3.jpg")
    ]


def test_a_class_without_an_image_is_refused_and_one_class_alone_is_told(tmp_path, caplog):
    folder = fill(tmp_path / "x", {"a/0.png": png(1), "b/1.png": png(2), "b/2.png": b"no image"})
    assert load(folder, SMALL, labels=True).meaning.names == ("a", "b")
    (folder / "b" / "1.png").unlink()
    with pytest.raises(ValueError, match="has no image that can be read of the class 'b'"):
        load(folder, SMALL, labels=True)
    load(fill(tmp_path / "one", {"a/0.png": png(1), "a/1.png": png(2)}), SMALL, labels=True)
    assert "has one class, 'a'" in caplog.messages[-1]


def test_broken_files_of_a_stream_are_replaced_by_the_next(tmp_path, caplog):
    fill(tmp_path, BROKEN)
    dataset = load(tmp_path, SMALL, memory_limit=0)
    for _ in range(2):
        assert dataset.take(range(5))[:, 0, 0, 0].tolist() == [5, 6, 6, 6, 6]
    assert len(caplog.records) == 3


@pytest.mark.parametrize("name", ["1.png", "2.png", "3.jpg"])
def test_strict_refuses_broken_files(tmp_path, name):
    fill(tmp_path, {"0.png": png(0), name: BROKEN[name]})
    with pytest.raises(ValueError, match=name):
        load(tmp_path, SMALL, strict=True)
    with pytest.raises(ValueError, match=name):
        load(inspect(tmp_path), SMALL, strict=True, memory_limit=0).take([1])


def test_a_damaged_zip_member_is_skipped(tmp_path, caplog):
    path = pack(tmp_path / "x.zip", {"1.png": png(1), "2.png": png(2)})
    content = path.read_bytes()
    start = content.index(png(2))
    path.write_bytes(content[: start + 30] + b"\0\1\2\3" + content[start + 34 :])
    assert greys(load(path, SMALL)) == [1]
    assert "skipped 2.png: Bad CRC" in caplog.text


def test_a_bomb_is_left_out_and_refused_where_one_is_strict(tmp_path, monkeypatch, caplog):
    fill(tmp_path, {"0.png": png(0), "big.png": png(0, size=(50, 50))})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    assert inspect(tmp_path).typical.height < 50
    assert len(load(tmp_path, SMALL)) == 1
    assert "big.png: a decompression bomb" in caplog.text
    for call in (lambda: inspect(tmp_path, strict=True), lambda: load(tmp_path, SMALL, strict=True)):
        with pytest.raises(ValueError, match=r"big\.png: a decompression bomb"):
            call()


class TestStacks:
    def stack(self, path, pages):
        first, *rest = map(Image.fromarray, pages)
        first.save(path, save_all=True, append_images=rest)
        return path

    def test_bytes_stay_bytes(self, tmp_path):
        pages = np.random.default_rng(0).integers(0, 256, (3, 5, 4), dtype=np.uint8)
        source = inspect(self.stack(tmp_path / "cells.tif", pages))
        assert (source.count, source.typical.channels, source.typical.range) == (3, 1, BYTES)
        assert (source.reader.pixels(2, Format(1, 5, 4)) == pages[2]).all()

    def test_sixteen_bits_and_floats_are_not_cut_down(self, tmp_path):
        pages = np.array([[[0, 1], [256, 65535]], [[2, 3], [4, 5]]], dtype=np.uint16)
        source = inspect(self.stack(tmp_path / "deep.tif", pages))
        assert str(source.typical.range) == str(Range(0.0, 65535.0))
        exact = source.reader.pixels(0, Format(1, 2, 2, range=source.typical.range))
        assert exact.dtype == np.float32
        assert exact.ravel().tolist() == [0, 1, 256, 65535]
        floats = (pages / 65535).astype(np.float32)
        assert inspect(self.stack(tmp_path / "floats.tif", floats)).typical.range == BYTES

    def test_what_is_no_stack(self, tmp_path):
        (tmp_path / "x.tif").write_bytes(b"II*\0")
        with pytest.raises(ValueError, match=r"x\.tif cannot be read"):
            inspect(tmp_path / "x.tif")
        uneven = self.stack(tmp_path / "y.tif", [np.zeros((2, 2), np.uint8), np.zeros((3, 2), np.uint8)])
        with pytest.raises(ValueError, match="pages of a stack must have one size and kind"):
            inspect(uneven)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no image: no file that ends in .png"),
        ({"x.txt": b"hello"}, "has no image"),
        ({"x.png": b"hello", "y.png": b""}, r"has no image that can be read \(x\.png: not an image"),
        ({"x.jpg": BROKEN["3.jpg"]}, r"has no image that can be read \(x\.jpg: .*truncated"),
    ],
)
def test_folders_without_images(tmp_path, files, message):
    with pytest.raises(ValueError, match=message):
        load(fill(tmp_path, files), SMALL)


def test_a_stream_without_images(tmp_path, caplog):
    dataset = load(fill(tmp_path, {"x.jpg": BROKEN["3.jpg"]}), SMALL, memory_limit=0)
    with pytest.raises(ValueError, match="has no image that can be read"):
        dataset.take([0])


def test_paths_that_are_no_data(tmp_path):
    fill(tmp_path, {"x.csv": b"1,2", "x.zip": b"PK nonsense", "x.png": png(0), "x.tar.gz": b"nonsense", "x.npy": b"?"})
    for name, message in {
        "nowhere": "no such file or folder",
        "x.csv": "file of unknown kind; possible: a folder",
        "x.zip": "not a zip file that can be read",
        "x.png": "a single image; possible: a folder",
        "x.tar.gz": "cannot be read",
        "x.npy": "cannot be read",
    }.items():
        with pytest.raises(ValueError, match=message) as caught:
            inspect(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["/abs/x.png", "../x.png", "a/../../x.png", "C:/x.png", "..\\x.png", "\\x.png"])
def test_unsafe_zip_members(tmp_path, name):
    path = pack(tmp_path / "x.zip", {"ok.png": png(0), name: png(1)})
    with pytest.raises(ValueError, match=r"x\.zip has an unsafe member"):
        inspect(path)


def test_links_in_a_zip(tmp_path):
    link = zipfile.ZipInfo("x.png")
    link.external_attr = 0o120777 << 16
    with pytest.raises(ValueError, match=r"unsafe member, 'x\.png'"):
        inspect(pack(tmp_path / "x.zip", {link: b"/etc/passwd"}))


def test_encrypted_zip(tmp_path):
    path = pack(tmp_path / "x.zip", {"x.png": png(0)})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1  # the flag in the directory
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.zip is encrypted"):
        inspect(path)


def test_impossible_channels(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 9, 9, 5), np.uint8))
    fill(tmp_path / "folder", {"1.png": png(0)})
    for path, wanted in ((tmp_path / "x.npy", 3), (tmp_path / "folder", 5)):
        with pytest.raises(ValueError, match=f"cannot become images of {wanted} channels"):
            load(path, Format(wanted, 9, 9))


@needs_shared
def test_emoji():
    source = inspect(SHARED / "emoji" / "emoji128.zip")
    assert (source.kind, source.count, source.typical.channels, source.typical.width) == ("zip", 1545, 4, 128)
    images = load(source, Format(4, 16, 16), memory_limit=0).take(range(4))
    assert images[:, 3].min() == 0
    assert images[:, 3].max() == 255
