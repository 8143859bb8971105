"""Stacks of pictures in one .tif file, as microscopes and telescopes write them."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from ..problems import one_line
from .convert import eight_bit

SIXTEEN_BITS = [0.0, 65535.0]


def read_stack(path: Path) -> dict[str, Any]:
    """The pages of a .tif file as arrays, [n, h, w] or [n, h, w, c].

    Greys of 16 bits become floats in the range [0, 65535], and floats stay floats: neither is cut down to 8 bits.
    Colours are bytes, as Pillow reads them.
    """
    try:
        with Image.open(path) as image:
            pages = [_numbers(page) for page in ImageSequence.Iterator(image)]
    except Exception as error:  # a corrupt file can make Pillow raise nearly anything
        raise ValueError(f"{path} cannot be read: {one_line(error)}") from None
    kinds = {(page.shape, page.dtype.str[1:]) for page in pages}
    if len(kinds) > 1:
        raise ValueError(f"{path}: the pages of a stack must have one size and kind, and there are {sorted(kinds)}")
    images = np.stack(pages)
    if images.dtype == np.uint8:
        return {"images": images}
    stated = {"range": SIXTEEN_BITS} if images.dtype.kind == "u" else {}
    return {"images": images.astype(np.float32), **stated}


def _numbers(page: Image.Image) -> Any:
    """The numbers of a page: of deep greys and floats as they are, of all others the bytes that a picture has."""
    return np.array(page if page.mode[0] in "IF" else eight_bit(page))
