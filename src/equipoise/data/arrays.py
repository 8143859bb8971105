"""Images and points in .npy and .npz files, and the built-in images; object arrays, which may run code, are refused."""

import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Shaped, UInt8

from ..problems import one_line
from ..ranges import BYTES, Range
from .label_tables import LabelTable, attributes, classes, usable, vectors

BUILTIN = Path(__file__).parent / "builtin" / "fashion_mnist.npz"
IMAGE_KEYS = ("images", "points", "x", "arr_0", "data")
LABEL_KEYS = ("labels", "y")
NAME_KEYS = ("classes", "names")
RANGE_KEY = "range"
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


@cache
def read_builtin(part: str = "") -> tuple[UInt8[np.ndarray, "n 28 28"], LabelTable]:
    """The built-in images and their classes: of training, or "held_out_"."""
    with np.load(BUILTIN, allow_pickle=False) as content:
        labels = content[f"{part}labels"].astype(np.int64)
        return content[f"{part}images"], classes(labels, [str(name) for name in content["classes"]])


def read_images(path: Path, arrays: dict[str, Any]) -> tuple[Shaped[np.ndarray, "n c h w"], Range | None, Range | None]:
    """The images of a file, however their axes are ordered; the range that their numbers have, and the one to learn.

    Bytes are bytes. Numbers of 16 bits, or of as few as hold all of them, and floats in [0, 1] or [-1, 1] are learnt as
    bytes, and other numbers as they are, in the range that the file states as "range", [low, high]; points, floats
    [n, d], in that of their extremes where none is stated.
    """
    images = _first(path, arrays, IMAGE_KEYS)
    if images.dtype == np.uint8:
        return channels_first(images, str(path)), BYTES, BYTES
    stated = _stated(path, arrays)
    if images.dtype == np.uint16 and images.ndim > 2:
        return channels_first(images, str(path)), stated or _bits(int(images.max(initial=0))), stated or BYTES
    if images.dtype.kind != "f":
        raise ValueError(f"{path}: images must be uint8, uint16 or floats, got {images.dtype}")
    points = images.ndim == 2
    shaped = images[:, :, None, None] if points else channels_first(images, str(path))
    ends = (float(images.min()), float(images.max())) if images.size else (0.0, 0.0)
    if not np.isfinite(ends).all():
        raise ValueError(f"{path}: floats must be finite, and some are nan or inf")
    unit = None if points else unit_range(*ends)
    own = stated or unit or (_around(*ends) if points else None)
    return shaped, own, own if stated or points or own is None else BYTES


def _bits(highest: int) -> Range:
    """From 0 to the highest number of as many bits as a camera has, 8, 10, 12, 14 or 16."""
    return Range(0, next(2**bits - 1 for bits in (8, 10, 12, 14, 16) if highest < 2**bits))


def unit_range(low: float, high: float) -> Range | None:
    """[0, 1] or [-1, 1], where the extremes are in it."""
    if not -1 - ROUNDING <= low <= high <= 1 + ROUNDING:
        return None
    return Range(-1.0 if low < -ROUNDING else 0.0, 1.0)


def _around(low: float, high: float) -> Range:
    """The extremes of points; a little more where they are one."""
    return Range(low, high) if low < high else Range(low - 1, high + 1)


def _stated(path: Path, arrays: dict[str, Any]) -> Range | None:
    """The range that a file states."""
    if RANGE_KEY not in arrays:
        return None
    ends = np.ravel(arrays[RANGE_KEY])
    if len(ends) != 2 or ends.dtype.kind not in "iuf":
        raise ValueError(f"{path}: {RANGE_KEY!r} must be two numbers, the lowest and the highest, got {ends.tolist()}")
    try:
        return Range(float(ends[0]), float(ends[1]))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


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


def channels_first(images: Shaped[np.ndarray, "..."], name: str) -> Shaped[np.ndarray, "n c h w"]:
    """Images [n h w], [n h w c] or [n c h w] as [n c h w].

    c is the axis of at most 8, the last one if both are; where neither is, the shorter one.
    """
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4:
        first, last = images.shape[1], images.shape[3]
        if 1 <= last <= MOST_CHANNELS or (last < first and first > MOST_CHANNELS):
            return images.transpose(0, 3, 1, 2)
        if 1 <= first <= MOST_CHANNELS or first < last:
            return images
    shapes = "[n h w], [n h w c] or [n c h w] with c up to 8 or less than h and w, or points [n d] of floats"
    raise ValueError(f"{name}: images must be {shapes}, got {list(images.shape)}")


def _first(path: Path, arrays: dict[str, Any], keys: tuple[str, ...]) -> Any:
    found = next((arrays[key] for key in keys if key in arrays), None)
    if found is None:
        raise ValueError(f"{path} has no {keys[0]}: one of {', '.join(keys)} is needed, it has {', '.join(arrays)}")
    return found
