"""Stacks of pictures in one .tif file, as microscopes and telescopes write them."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from .convert import one_line

SIXTEEN_BITS = [0.0, 65535.0]


def read_stack(path: Path) -> dict[str, Any]:
    """The pages of a .tif file as arrays, [n, h, w] or [n, h, w, c].

    Bytes stay bytes. Whole numbers of 16 bits become floats in the range [0, 65535], and floats stay floats, so that
    nothing is cut down to 8 bits.
    """
    try:
        with Image.open(path) as image:
            pages = [_numbers(page) for page in ImageSequence.Iterator(image)]
    except Exception as error:  # a corrupt file can make Pillow raise nearly anything
        raise ValueError(f"{path} cannot be read: {one_line(error)}") from None
    shapes = {page.shape for page in pages}
    if len(shapes) > 1:
        raise ValueError(f"{path}: the pages of a stack must have one size and kind, and there are {sorted(shapes)}")
    images = np.stack(pages)
    if images.dtype == np.uint8:
        return {"images": images}
    stated = {"range": SIXTEEN_BITS} if images.dtype == np.uint16 else {}
    return {"images": images.astype(np.float32), **stated}


def _numbers(page: Image.Image) -> Any:
    """The numbers of a page as they are; of a palette its colours, of two levels bytes."""
    plain = {"1": "L", "P": "RGB"}.get(page.mode)
    return np.array(page.convert(plain) if plain else page)
