"""Images in .npy and .npz files, and the built-in ones; object arrays, which could execute code, are refused."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped, UInt8

from .convert import one_line

BUILTIN = Path(__file__).parent / "builtin" / "fashion_mnist.npz"
IMAGE_KEYS = ("images", "x", "arr_0", "data")
LABEL_KEYS = ("labels", "y")
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


def read_labels(path: Path, arrays: dict[str, Any], count: int) -> tuple[Int64[np.ndarray, " n"], tuple[str, ...]]:
    """The labels of a file and the names of its classes: the array "classes", or the numbers themselves."""
    labels = _first(path, arrays, LABEL_KEYS)
    if labels.shape != (count,) or labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        raise ValueError(f"{path}: labels must be {count} integers from 0 up, got {labels.dtype}{labels.shape}")
    labels = labels.astype(np.int64)
    top = int(labels.max(initial=-1)) + 1
    classes = tuple(str(name) for name in arrays.get("classes", range(top)))
    if len(classes) < top:
        raise ValueError(f"{path}: {len(classes)} names in 'classes', but labels up to {top - 1}")
    return labels, classes


def has_labels(arrays: dict[str, Any]) -> bool:
    """Whether a file has labels at all."""
    return any(key in arrays for key in LABEL_KEYS)


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
