"""CIFAR-10 and CIFAR-100 as published (Krizhevsky 2009): pickles in a folder or a tar file; no code in them is run."""

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from ..problems import one_line
from .label_tables import LabelTable, classes
from .pickles import read_pickle

FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
TRAIN: dict[str, tuple[str, ...]] = {"cifar10": tuple(f"data_batch_{k}" for k in range(1, 6)), "cifar100": ("train",)}
TEST: dict[str, tuple[str, ...]] = {"cifar10": ("test_batch",), "cifar100": ("test",)}
META = {"cifar10": "batches.meta", "cifar100": "meta"}
LABELS = {"cifar10": (b"labels", b"label_names"), "cifar100": (b"fine_labels", b"fine_label_names")}


def cifar_folder(path: Path) -> tuple[str, Path] | None:
    """Which CIFAR a folder is or contains, and where, or None."""
    candidates = ((kind, folder) for kind in FOLDERS for folder in (path, path / FOLDERS[kind]))
    return next(((kind, f) for kind, f in candidates if all((f / n).is_file() for n in _names(kind))), None)


def cifar_tar(path: Path) -> str | None:
    """Which CIFAR a tar file holds, or None; only the beginning of the file is read."""
    with _reading(path), tarfile.open(path) as archive:
        first = PurePosixPath((archive.next() or tarfile.TarInfo()).name).parts[:1]
    return next((kind for kind, folder in FOLDERS.items() if first == (folder,)), None)


def read_cifar(
    path: Path, kind: str, part: dict[str, tuple[str, ...]] = TRAIN
) -> tuple[UInt8[np.ndarray, "n 3 32 32"], LabelTable]:
    """Images and labels of one part."""
    labels, label_names = LABELS[kind]
    wanted = (*part[kind], META[kind])
    records = _records_of_tar(path, wanted) if path.is_file() else _records_of_folder(path, wanted)
    parts = [_images_and_labels(path / name, records[name], labels) for name in part[kind]]
    names = tuple(name.decode() for name in _entry(path / META[kind], records[META[kind]], label_names, list))
    images, numbers = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return images, classes(numbers, names)


def _names(kind: str) -> tuple[str, ...]:
    return (*TRAIN[kind], META[kind])


def _records_of_folder(folder: Path, names: tuple[str, ...]) -> dict[str, dict[bytes, Any]]:
    records = {}
    for name in names:
        with _reading(folder / name):
            content = (folder / name).read_bytes()
        records[name] = read_pickle(content, str(folder / name))
    return records


def _records_of_tar(path: Path, names: tuple[str, ...]) -> dict[str, dict[bytes, Any]]:
    records = {}
    with _reading(path), tarfile.open(path) as archive:
        for member in archive:
            name = PurePosixPath(member.name).name
            stream = archive.extractfile(member) if member.isfile() and name in names else None
            if stream:
                records[name] = read_pickle(stream.read(), f"{path}: {member.name}")
    missing = [name for name in names if name not in records]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}")
    return records


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read: {one_line(error)}") from None


def _images_and_labels(
    path: Path, record: dict[bytes, Any], labels: bytes
) -> tuple[UInt8[np.ndarray, "n 3 32 32"], Int64[np.ndarray, " n"]]:
    data, numbers = _entry(path, record, b"data", np.ndarray), _entry(path, record, labels, list)
    if data.dtype != np.uint8 or data.shape != (len(numbers), 3072) or not all(type(k) is int for k in numbers):
        raise ValueError(f"{path}: {len(numbers)} labels and data {data.dtype}{data.shape} are no batch of CIFAR")
    return data.reshape(-1, 3, 32, 32), np.array(numbers, np.int64)


def _entry(path: Path, record: dict[bytes, Any], key: bytes, kind: type) -> Any:
    if not isinstance(record.get(key), kind):
        raise ValueError(f"{path} has no {key.decode()!r}; it has {', '.join(k.decode() for k in record)}")
    return record[key]
