"""Samples as pictures inside the page."""

import base64
import io
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from .record import Record

STRIP, FRAMES = 10, 24  # pictures over time, side by side and one after the other
TILES = 4  # samples beside each other in those
LARGE, FRAME, SMALL, CORNER = 1344, 768, 512, 288  # pixels
LARGE_BYTES, FRAME_BYTES, SMALL_BYTES = 1_500_000, 40_000, 120_000  # a PNG above becomes a JPEG


class Shown(NamedTuple):
    """A picture with its size in the page, where the browser enlarges small ones without smoothing."""

    seen: int
    uri: str
    width: int
    height: int
    enlarged: bool


def latest(record: Record) -> Shown | None:
    """The newest picture that can be read, large."""
    found = (_show(seen, file, None, LARGE, LARGE_BYTES) for seen, file in reversed(record.pictures))
    return next((shown for shown in found if shown), None)


def over_time(record: Record) -> list[Shown]:
    """A few pictures from first to last, the same samples in each; of points more, to be shown one after the other."""
    if record.of_points:
        chosen = _evenly(record.pictures, FRAMES)
        found = [_show(seen, file, None, FRAME, FRAME_BYTES) for seen, file in chosen]
    else:
        chosen, tile = _evenly(record.pictures, STRIP), _tile(record)
        found = [_show(seen, file, tile, SMALL, SMALL_BYTES) for seen, file in chosen]
    return [shown for shown in found if shown]


def of_levels(record: Record) -> list[Shown]:
    """Generated beside real images of every level of a network that grew."""
    found = (_show(side, file, None, SMALL, SMALL_BYTES) for side, file in record.levels)
    return [shown for shown in found if shown]


def corner(record: Record) -> Shown | None:
    """A few of the newest samples that can be read, small."""
    tile = _tile(record)
    found = (_show(seen, file, tile, CORNER, SMALL_BYTES) for seen, file in reversed(record.pictures))
    return next((shown for shown in found if shown), None)


def nearest(record: Record) -> Shown | None:
    """Generated images beside the training images nearest to them, where an evaluation has drawn them."""
    return _show(record.seen, record.nearest, None, LARGE, LARGE_BYTES)


def data_uri(kind: str, content: bytes) -> str:
    """Content as an address."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _evenly(pictures: list[tuple[int, Path]], most: int) -> list[tuple[int, Path]]:
    at = np.linspace(0, len(pictures) - 1, min(len(pictures), most)).round().astype(int)
    return [pictures[i] for i in at]


def _tile(record: Record) -> tuple[int, int] | None:
    """Width and height of one sample."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", str(record.recipe.get("size")))
    return (int(match[2] or match[1]), int(match[1])) if match else None


def _show(seen: int, file: Path, tile: tuple[int, int] | None, side: int, most: int) -> Shown | None:
    try:
        with Image.open(file) as image:
            image.load()
    except (OSError, SyntaxError, ValueError):  # not whole, or not a picture
        return None
    part = _corner(image, tile) if tile else image
    times = side / max(part.size)
    width, height = (max(1, round(length * (times if times < 1 else int(times)))) for length in part.size)
    content = part.resize((width, height), Image.Resampling.LANCZOS) if times < 1 else part
    return Shown(seen, _encode(content, most), width, height, enlarged=times >= 2)


def _corner(image: Image.Image, tile: tuple[int, int]) -> Image.Image:
    width, height = tile
    rows = max(1, round(TILES * width / height))
    return image.crop((0, 0, min(TILES * width, image.width), min(rows * height, image.height)))


def _encode(image: Image.Image, most: int) -> str:
    out = io.BytesIO()
    image.save(out, "PNG")
    if out.tell() <= most:
        return data_uri("png", out.getvalue())
    white = Image.new("RGBA", image.size, "white")
    out = io.BytesIO()
    Image.alpha_composite(white, image.convert("RGBA")).convert("RGB").save(out, "JPEG", quality=87)
    return data_uri("jpeg", out.getvalue())
