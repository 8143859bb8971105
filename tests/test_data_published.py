"""Published sets and arrays: CIFAR, idx files, .npy and .npz, the built-in set. Nothing in them is executed."""

import gzip
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from equipoise.data import Format, inspect, load
from equipoise.data.arrays import BUILTIN
from equipoise.data.cifar import read_pickle

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the folder of real data is not beside the repository")


def fill(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def cifar(folder, protocol=2, per_batch=2, kind="cifar10"):
    """A small CIFAR in the published layout, and its pixels."""
    rng = np.random.default_rng(0)
    ten = kind == "cifar10"
    names = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"] if ten else ["train", "test"]
    label, meta, label_names = (
        ("labels", "batches.meta", "label_names") if ten else ("fine_labels", "meta", "fine_label_names")
    )
    folder = folder / ("cifar-10-batches-py" if ten else "cifar-100-python")
    data = rng.integers(0, 256, (len(names) * per_batch, 3072), dtype=np.uint8)
    files = {}
    for k, name in enumerate(names):
        rows = slice(k * per_batch, (k + 1) * per_batch)
        record = {label.encode(): list(range(10))[rows.start % 8 :][:per_batch], b"data": data[rows]}
        files[name] = pickle.dumps(record, protocol)
    files[meta] = pickle.dumps({label_names.encode(): [f"class {k}".encode() for k in range(10)]}, protocol)
    return fill(folder, files), data.reshape(-1, 3, 32, 32)


@pytest.mark.parametrize("kind", ["cifar10", "cifar100"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_cifar(tmp_path, kind, protocol):
    folder, data = cifar(tmp_path, protocol, kind=kind)
    packed = tmp_path / "cifar.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(folder, folder.name)
    for path in (folder, folder.parent, packed):
        source = inspect(path)
        assert (source.kind, source.count, source.typical.channels) == (kind, len(data) - 2, 3)
        dataset = load(path, Format(3, 32, 32), labels=True)
        assert np.array_equal(dataset.images.numpy(), data[:-2])
        assert np.array_equal(dataset.held_out.images.numpy(), data[-2:])
        assert dataset.meaning.names[:2] == ("class 0", "class 1")
        assert dataset.labels.tensor()[:2].tolist() == [0, 1]


def test_python_2_pickles():
    """As published: protocol 2 of Python 2, whose strings are bytes, and numpy's old module names."""
    content = pickle.dumps({b"data": np.arange(3, dtype=np.uint8)}, 2)
    old = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != content
    assert read_pickle(old, "x")[b"data"].tolist() == [0, 1, 2]
    assert read_pickle(b"\x80\x02}U\x04dataK\x05s.", "x") == {b"data": 5}


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_malicious_pickles_are_refused_and_not_run(tmp_path):
    trace = tmp_path / "trace"
    for evil in (Evil(os.system, f"touch {trace}"), Evil(eval, f"open({str(trace)!r}, 'w')"), Evil(Path, "x")):
        folder, _ = cifar(tmp_path)
        (folder / "data_batch_2").write_bytes(pickle.dumps({b"data": evil, b"labels": []}, 2))
        with pytest.raises(ValueError, match=r"data_batch_2 is not a pickle of plain data: it asks for .* not allowed"):
            inspect(folder)
        assert not trace.exists()
    pickle.loads(pickle.dumps(Evil(os.system, f"touch {trace}")))
    assert trace.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"garbage", "not a pickle of plain data"),
        (pickle.dumps([1]), "holds a list"),
        (pickle.dumps({b"labels": [1]}), "has no 'data'; it has labels"),
        (pickle.dumps({b"labels": [1], b"data": np.zeros((2, 3072), np.uint8)}), "are no batch of CIFAR"),
        (pickle.dumps({b"labels": [1], b"data": np.zeros((1, 3072))}), "are no batch of CIFAR"),
    ],
)
def test_broken_cifar(tmp_path, content, message):
    folder, _ = cifar(tmp_path)
    (folder / "data_batch_5").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        inspect(folder)
    assert "data_batch_5" in str(caught.value)


def test_cifar_in_a_broken_tar(tmp_path):
    folder, _ = cifar(tmp_path)
    path = tmp_path / "x.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder / "data_batch_1", "cifar-10-batches-py/data_batch_1")
    with pytest.raises(ValueError, match="lacks data_batch_2, "):
        inspect(path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"x\.tar\.gz"):
        inspect(path)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder / "data_batch_1", "photos/1.png")
    with pytest.raises(ValueError, match="is compressed: unpack it"):
        inspect(path)


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


@pytest.mark.parametrize("style", ["train-images-idx3-ubyte", "train-images.idx3-ubyte", "train-images-idx3-ubyte.gz"])
def test_idx(tmp_path, style):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (6, 5, 4), dtype=np.uint8), np.uint8([0, 1, 2, 0, 1, 2])
    wrap = gzip.compress if style.endswith("gz") else bytes
    for part, rows in (("train", slice(4)), ("t10k", slice(4, 6))):
        name = style.replace("train", part)
        fill(tmp_path, {name: wrap(idx(images[rows]))})
        fill(tmp_path, {name.replace("images", "labels").replace("idx3", "idx1"): wrap(idx(labels[rows]))})
    dataset = load(tmp_path, Format(1, 5, 4), labels=True)
    assert np.array_equal(dataset.images[:, 0].numpy(), images[:4])
    assert np.array_equal(dataset.held_out.images[:, 0].numpy(), images[4:])
    assert (dataset.labels.values.tolist(), dataset.held_out.labels.values.tolist()) == ([0, 1, 2, 0], [1, 2])
    assert dataset.meaning.names == dataset.held_out.meaning.names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(np.zeros((3, 5, 4), np.uint8))[:-1], "truncated: its header says 60 bytes, it has 59"),
        (b"\0\0\x0d\3" + bytes(12), "not an idx file of bytes"),
        (b"", "not an idx file of bytes"),
        (idx(np.zeros((0, 5, 4), np.uint8)), "has no image"),
    ],
)
def test_broken_idx(tmp_path, content, message):
    fill(tmp_path, {"train-images-idx3-ubyte": content})
    with pytest.raises(ValueError, match=message):
        inspect(tmp_path)


def test_idx_without_labels(tmp_path):
    fill(tmp_path, {"train-images-idx3-ubyte": idx(np.zeros((3, 5, 4), np.uint8))})
    assert load(tmp_path, Format(1, 5, 4)).held_out is None
    with pytest.raises(ValueError, match="cannot be used with labels: it has none"):
        inspect(tmp_path, labels=True)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((2, 9, 10), "nhw"),
        ((2, 9, 10, 3), "nhwc"),
        ((2, 3, 9, 10), "nchw"),
        ((2, 4, 4, 4), "nhwc"),
        ((2, 9, 10, 6), "nhwc"),
    ],
)
def test_array_axes(tmp_path, shape, axes):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.save(tmp_path / "x.npy", images)
    np.savez(tmp_path / "x.npz", images)
    expected = images[:, None] if axes == "nhw" else images.transpose([axes.index(a) for a in "nchw"])
    for path in (tmp_path / "x.npy", tmp_path / "x.npz"):
        assert np.array_equal(load(path, Format(*expected.shape[1:])).images.numpy(), expected)
        streamed = load(path, Format(*expected.shape[1:]), memory_limit=0)
        assert np.array_equal(streamed.take([1]).numpy(), expected[1:])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_arrays(tmp_path, dtype):
    levels = np.arange(256).reshape(1, 16, 16)
    for name, values in (("unit", levels / 255), ("signed", levels / 127.5 - 1)):
        np.save(tmp_path / f"{name}.npy", values.astype(dtype))
        found = load(tmp_path / f"{name}.npy", Format(1, 16, 16)).images[:, 0].numpy()
        assert np.array_equal(found, levels)


def test_arrays_of_16_bits(tmp_path):
    levels = np.arange(256, dtype=np.uint16).reshape(1, 16, 16)
    for most in (2**16 - 1, 2**12 - 1, 2**10 - 1):
        np.save(tmp_path / "x.npy", (levels * (most / 255)).round().astype(np.uint16))
        assert np.array_equal(load(tmp_path / "x.npy", Format(1, 16, 16)).images[:, 0], levels)
    np.savez(tmp_path / "y.npz", images=16 * levels, range=[0, 4080])
    stated = inspect(tmp_path / "y.npz").typical.range
    assert np.array_equal(load(tmp_path / "y.npz", Format(1, 16, 16, range=stated)).images[:, 0], 16 * levels)
    assert np.array_equal(stated.to_bytes(torch.from_numpy(16.0 * levels)), levels)


def test_labelled_arrays(tmp_path):
    images = np.zeros((3, 9, 9), np.uint8)
    np.savez(tmp_path / "x.npz", x=images, y=np.array([2, 0, 1], np.int32), classes=np.array(["a", "b", "c"]))
    dataset = load(tmp_path / "x.npz", Format(1, 9, 9), labels=True)
    assert (dataset.labels.values.tolist(), dataset.meaning.names) == ([2, 0, 1], ("a", "b", "c"))
    np.savez(tmp_path / "x.npz", images=images, labels=np.uint8([2, 0, 1]))
    assert inspect(tmp_path / "x.npz", labels=True).labels.meaning.names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.full((2, 9, 9), np.nan)}, "floats must be finite"),
        ({"images": np.zeros((2, 9, 9)), "range": [3]}, "'range' must be two numbers, the lowest and the highest, got"),
        ({"images": np.zeros((2, 9, 9)), "range": [3, 1]}, "a range goes from a number to a larger one, not from 3"),
        ({"images": np.zeros((2, 9, 9), np.int32)}, "must be uint8, uint16 or floats, got int32"),
        ({"images": np.zeros((2, 9), np.uint8)}, r"must be \[n h w\]"),
        ({"images": np.zeros((2, 9, 9, 9), np.uint8)}, "with c up to 8"),
        ({"images": np.zeros((0, 9, 9), np.uint8)}, "has no image"),
        (
            {"pictures": np.zeros((2, 9, 9), np.uint8)},
            "one of images, points, x, arr_0, data is needed, it has pictures",
        ),
        ({"images": np.array([{}, {}])}, "Object arrays cannot be loaded"),
        (
            {"images": np.zeros((2, 9, 9), np.uint8), "labels": np.zeros(3, int)},
            r"must be n = 2 integers \[n\] from 0 up",
        ),
        ({"images": np.zeros((2, 9, 9), np.uint8), "labels": np.array([0, -1])}, "must be integers from 0 up, got -1"),
        ({"images": np.zeros((1, 9, 9), np.uint8), "y": np.array([5]), "classes": np.array(["a"])}, "1 names in"),
    ],
)
def test_refused_arrays(tmp_path, arrays, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(ValueError, match=message) as caught:
        inspect(tmp_path / "x.npz", labels=True)
    assert "x.npz" in str(caught.value)


def test_object_arrays_are_not_unpickled(tmp_path):
    trace = tmp_path / "trace"
    np.save(tmp_path / "x.npy", np.array([Evil(os.system, f"touch {trace}")]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"x\.npy cannot be read"):
        inspect(tmp_path / "x.npy")
    assert not trace.exists()


def test_builtin_data():
    source = inspect()
    assert (source.kind, source.count, source.typical.channels, source.typical.height) == ("builtin", 10_000, 1, 28)
    dataset = load("builtin", Format(1, 28, 28), labels=True)
    held_out = dataset.held_out
    assert torch.bincount(dataset.labels.tensor()).tolist() == [1000] * 10
    assert torch.bincount(held_out.labels.tensor()).tolist() == [200] * 10
    assert dataset.meaning == held_out.meaning
    assert (dataset.meaning.space, dataset.meaning.names[-1]) == (("classes", 10), "Ankle boot")
    seen = {image.tobytes() for image in dataset.images.numpy()}
    assert not any(image.tobytes() in seen for image in held_out.images.numpy())
    assert sum(file.stat().st_size for file in BUILTIN.parent.iterdir()) < 5_000_000
    assert "Zalando" in (BUILTIN.parent / "LICENSE").read_text("utf-8")


@needs_shared
def test_builtin_data_is_the_published_one():
    published = load(SHARED / "fashion-mnist", Format(1, 28, 28), labels=True)
    ours = load("builtin", Format(1, 28, 28), labels=True)
    for mine, theirs, count in ((ours, published, 1000), (ours.held_out, published.held_out, 200)):
        first = torch.cat([torch.nonzero(theirs.labels.tensor() == c)[:count, 0] for c in range(10)]).sort().values
        assert torch.equal(mine.images, theirs.images[first])
        assert torch.equal(mine.labels.tensor(), theirs.labels.tensor()[first])
