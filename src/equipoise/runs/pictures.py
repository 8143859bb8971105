"""Images as files: a grid, single pictures, arrays."""

import re
from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from ..data.convert import MODES

LONGEST = 50  # characters of a name of a class in the name of a file


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


def write(
    images: UInt8[Tensor, "n c h w"],
    labels: Tensor | None,
    out: Path,
    columns: int | None = None,
    classes: Sequence[str] = (),
) -> str:
    """Writes a grid (.png...), arrays (.npz) or, to a folder, single files named by class; says what it wrote."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".npz":
        arrays = {"images": images.cpu().numpy()} | ({} if labels is None else {"labels": labels.cpu().numpy()})
        np.savez_compressed(out, allow_pickle=False, **arrays)
        return f"{len(images)} images as arrays in {out}"
    if out.suffix:
        grid(images, columns).save(out)
        return f"{len(images)} images in {out}"
    out.mkdir()
    named = labels is not None and classes and not labels.is_floating_point()
    for number, image in enumerate(images):
        name = safe(classes[int(labels[number])]) if named and labels is not None else ""
        picture(image).save(out / f"{number:06d}{'-' * bool(name)}{name}.png")
    return f"{len(images)} files in {out}"


def safe(name: str) -> str:
    """A name as every file system takes it.

    >>> safe("T-shirt/top"), safe("../..")
    ('T-shirt-top', '')
    """
    return re.sub(r"[^\w.]+", "-", name).strip("-.")[:LONGEST]
