"""Images as files: a grid, single pictures, arrays."""

import re
from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from jaxtyping import Real, UInt8
from PIL import Image
from torch import Tensor

from ..data.convert import MODES, with_channels
from ..ranges import BYTES, Range
from . import scatter

LONGEST = 50  # characters of a name of a class in the name of a file
ARRAYS = (".npz", ".npy")
KINDS = {suffix: kind for suffix, kind in Image.registered_extensions().items() if kind in Image.SAVE}  # to be written
TRANSPARENT = ("PNG", "TIFF", "WEBP")  # kinds that hold alpha


def grid(images: UInt8[Tensor, "n c h w"], columns: int | None = None) -> Image.Image:
    """All images in rows, as near to a square as they come."""
    count, channels, height, width = images.shape
    columns = columns or ceil(sqrt(count * height / width))
    rows = ceil(count / columns)
    sheet = images.new_zeros(rows * columns, channels, height, width)
    sheet[:count] = images
    tiles = sheet.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4)
    return picture(tiles.reshape(channels, rows * height, columns * width))


def picture(image: UInt8[Tensor, "c h w"]) -> Image.Image:
    """One image; of more than four channels the first three are shown."""
    shown = image if len(image) in MODES else image[:3]
    pixels = np.ascontiguousarray(shown.permute(1, 2, 0).cpu().numpy())
    return Image.fromarray(pixels.squeeze(2) if len(shown) == 1 else pixels, MODES[len(shown)])


def check_new(out: Path, arrays: bool = True) -> None:
    """Raises ValueError for what exists, and for a kind of file that cannot be written."""
    if out.exists():
        raise ValueError(f"{out} exists and was not touched; choose another --out")
    if out.suffix and out.suffix.lower() not in (*KINDS, *(ARRAYS if arrays else ())):
        kinds = "a picture (.png, .jpg...)" + ", .npz, .npy" * arrays
        raise ValueError(f"{out} cannot be written: --out is {kinds} or a folder, without a suffix")


def write(
    images: Real[Tensor, "n c h w"],
    labels: Tensor | None,
    out: Path,
    columns: int | None = None,
    classes: Sequence[str] = (),
    range: Range = BYTES,
) -> str:
    """Writes a picture (.png...), arrays (.npz, .npy) or, to a folder, single files named by class; says what it wrote.

    A picture of images is a grid; points [n, c, 1, 1] are scattered, and [n, c] as arrays.
    """
    points, suffix = images.shape[2:] == (1, 1), out.suffix.lower()
    if points and not suffix:
        raise ValueError(f"points are written to a picture (.png), to .npz or to .npy, not to the folder {out}")
    out.parent.mkdir(parents=True, exist_ok=True)
    what = f"{len(images)} {'points' if points else 'images'}"
    if suffix in ARRAYS:
        _write_arrays(images.flatten(1) if points else images, labels, out, range)
        return f"{what} as arrays in {out}"
    shown = images if points else range.to_bytes(images)
    if suffix:
        image = scatter.picture(images.flatten(1).cpu().numpy(), range) if points else grid(shown, columns)
        opaque = "A" in image.mode and KINDS[suffix] not in TRANSPARENT
        (with_channels(image, len(image.mode) - 1) if opaque else image).save(out)
        return f"{what} in {out}"
    out.mkdir()
    named = labels is not None and classes and not labels.is_floating_point()
    for number, image in enumerate(shown):
        name = safe(classes[int(labels[number])]) if named and labels is not None else ""
        picture(image).save(out / f"{number:06d}{'-' * bool(name)}{name}.png")
    return f"{len(images)} files in {out}"


def _write_arrays(rows: Real[Tensor, "n *shape"], labels: Tensor | None, out: Path, range: Range) -> None:
    """As they are read again: an .npz has the labels too, and the range of floats."""
    if out.suffix.lower() == ".npy":
        with out.open("xb") as file:
            np.save(file, rows.cpu().numpy(), allow_pickle=False)
        return
    arrays = {"points" if rows.ndim == 2 else "images": rows.cpu().numpy()}
    arrays |= {} if labels is None else {"labels": labels.cpu().numpy()}
    arrays |= {} if range.is_bytes else {"range": np.array([range.low, range.high])}
    with out.open("xb") as file:  # of that name, where numpy would add a suffix
        np.savez_compressed(file, allow_pickle=False, **arrays)


def safe(name: str) -> str:
    """A name as every file system takes it.

    >>> safe("T-shirt/top"), safe("../..")
    ('T-shirt-top', '')
    """
    return re.sub(r"[^\w.]+", "-", name).strip("-.")[:LONGEST]
