"""Images in .npy and .npz files, and the built-in ones; object arrays, which could execute code, are refused."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Shaped, UInt8

from .convert import one_line
from .label_tables import LabelTable, attributes, classes, usable, vectors

BUILTIN = Path(__file__).parent / "builtin" / "fashion_mnist.npz"
IMAGE_KEYS = ("images", "x", "arr_0", "data")
LABEL_KEYS = ("labels", "y")
NAME_KEYS = ("classes", "names")
MOST_CHANNELS = 8
ROUNDING = 1e-3  # how far beyond its range a float may be


def read_arrays(path: Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The arrays of a file by their keys: of an .npy file, "images" is left on the disk until it is used."""
    try:
        if path.suffix.lower() == ".npy":
            return {"images": np.load(path, mmap_mode="r", allow_pickle=False)}
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, SyntaxError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read: {one_line(error)}") from None


def read_images(path: Path, arrays: dict[str, Any]) -> UInt8[np.ndarray, "n c h w"]:
    """The images of a file, however their axes are ordered."""
    return channels_first(bytes_of_unit(_first(path, arrays, IMAGE_KEYS), str(path)), str(path))


def read_labels(path: Path, arrays: dict[str, Any], count: int) -> LabelTable | None:
    """The labels of a file, if any, named by its "classes" or "names".

    Whole numbers [n] are classes, booleans or the whole numbers 0 and 1 [n, k] attributes, floats vectors.
    """
    if not any(key in arrays for key in LABEL_KEYS):
        return None
    labels, names = _first(path, arrays, LABEL_KEYS), _names(arrays)
    if labels.shape == (count,) and labels.dtype.kind in "iu":
        return _classes(path, labels.astype(np.int64), names)
    rows = labels[:, None] if labels.ndim == 1 else labels
    boolean = rows.dtype.kind == "b" or (rows.dtype.kind in "iu" and np.isin(rows, (0, 1)).all())
    if rows.shape[:1] != (count,) or rows.ndim != 2 or rows.size == 0 or not (boolean or rows.dtype.kind == "f"):
        kinds = "integers [n] from 0 up, booleans or integers 0 and 1 [n, k], or floats [n, k]"
        raise ValueError(f"{path}: labels must be n = {count} {kinds}, got {labels.dtype}{list(labels.shape)}")
    if names and len(names) != rows.shape[1]:
        raise ValueError(f"{path}: {len(names)} names, but labels of {rows.shape[1]} parts")
    return attributes(rows.astype(bool), names) if boolean else _vectors(path, rows.astype(np.float64), names)


def _names(arrays: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(name) for key in NAME_KEYS for name in np.ravel(arrays.get(key, ())))


def _classes(path: Path, labels: Int64[np.ndarray, " n"], names: tuple[str, ...]) -> LabelTable:
    if labels.min(initial=0) < 0:
        raise ValueError(f"{path}: labels must be integers from 0 up, got {labels.min()}")
    top = int(labels.max(initial=-1)) + 1
    if names and len(names) < top:
        raise ValueError(f"{path}: {len(names)} names in 'classes', but labels up to {top - 1}")
    return classes(labels, names or [str(number) for number in range(top)])


def _vectors(path: Path, rows: Float64[np.ndarray, "n k"], names: tuple[str, ...]) -> LabelTable:
    bad = np.flatnonzero(~usable(rows))
    if len(bad):
        raise ValueError(f"{path}: the label of image {bad[0]} is {rows[bad[0]].tolist()}, not finite or beyond 1e30")
    return vectors(rows, names)


def channels_first(images: UInt8[np.ndarray, "..."], name: str) -> UInt8[np.ndarray, "n c h w"]:
    """Images [n h w], [n h w c] or [n c h w] as [n c h w]: c is the axis of at most 8, the last one if both are."""
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and 1 <= images.shape[3] <= MOST_CHANNELS:
        return images.transpose(0, 3, 1, 2)
    if images.ndim == 4 and 1 <= images.shape[1] <= MOST_CHANNELS:
        return images
    raise ValueError(f"{name}: images must be [n h w], [n h w c] or [n c h w] with c up to 8, got {list(images.shape)}")


def bytes_of_unit(images: Shaped[np.ndarray, "..."], name: str) -> UInt8[np.ndarray, "..."]:
    """Bytes as they are; floats in [0, 1] or [-1, 1] as bytes."""
    if images.dtype == np.uint8 or images.size == 0:
        return images.astype(np.uint8, copy=False)
    if images.dtype.kind != "f":
        raise ValueError(f"{name}: images must be uint8, or floats in [0, 1] or [-1, 1], got {images.dtype}")
    low, high = float(images.min()), float(images.max())
    if not -1 - ROUNDING <= low <= high <= 1 + ROUNDING:
        raise ValueError(f"{name}: float images must be in [0, 1] or [-1, 1], got [{low:g}, {high:g}]")
    return _scaled(images, -1 if low < -ROUNDING else 0)


def _scaled(images: Shaped[np.ndarray, "n ..."], low: int) -> UInt8[np.ndarray, "n ..."]:
    result = np.empty(images.shape, np.uint8)
    for index, image in enumerate(images):
        result[index] = ((image.astype(np.float64) - low) * (255 / (1 - low))).round().clip(0, 255)
    return result


def _first(path: Path, arrays: dict[str, Any], keys: tuple[str, ...]) -> Any:
    found = next((arrays[key] for key in keys if key in arrays), None)
    if found is None:
        raise ValueError(f"{path} has no {keys[0]}: one of {', '.join(keys)} is needed, it has {', '.join(arrays)}")
    return found
