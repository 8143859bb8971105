"""A set of images made ready once, in the size of training: a .zip of pictures with their labels."""

import hashlib
import io
import json
import os
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from ..data import BrokenImage, Format, Source, inspect
from ..data.convert import MODES
from ..data.label_tables import LabelTable
from ..data.readers import Files, Reader
from ..recipe import Recipe
from ..watching import Watch, unwatched
from ..writing import write_whole
from .choices import choose
from .real_images import format_of

BLOCK = 64  # images that wait to be written
LABELS = "labels.json"
KEEPING_NAMES = ("folder", "zip")


class Prepared(NamedTuple):
    """What was written, of how many images; what was left out and why; a hash of all pixels and labels."""

    path: Path
    images: int
    format: Format
    left_out: list[str]
    digest: str


class Picture(NamedTuple):
    """One image, encoded, with the hash of its pixels; or why there is none."""

    content: bytes
    digest: bytes
    problem: str = ""


def prepare(
    data: str | Path,
    out: Path,
    *,
    size: str | None = None,
    channels: int | None = None,
    fit: Literal["crop", "stretch"] = "crop",
    strict: bool = False,
    watch: Watch = unwatched,
) -> Prepared:
    """Writes all images of a set into a .zip file, decoded, cut and scaled as `train` would, without any loss.

    `train` reads it as any other set, and makes of it what it would make of the original in this size; labels come
    along, a published part that is held out does not. Size and channels are those that `train` would choose, where none
    are given. The same files give the same hash. Raises ValueError where the file exists, and for what is no images of
    8 bits.
    """
    if out.exists():
        raise ValueError(f"{out} exists and was not touched; choose another --out")
    if out.suffix.lower() != ".zip":
        raise ValueError(f"images are prepared in a .zip file, not in {out}")
    source = inspect(data, strict=strict)
    recipe, _ = choose(Recipe(data=str(data), size=size, channels=channels, fit=fit), source, torch.device("cpu"))
    format = format_of(recipe)
    if not format.range.is_bytes or format.channels not in MODES or format.is_point:
        raise ValueError(f"{source.name} holds no images of 8 bits with 1 to 4 channels: it is read as it is")
    written: list[Prepared] = []
    write_whole(out, lambda beside: written.append(_write(source, format, beside, strict, watch)))
    return written[0]._replace(path=out)


def _write(source: Source, format: Format, path: Path, strict: bool, watch: Watch) -> Prepared:
    names, kept, left_out, digest = picture_names(source), list[int](), list[str](), hashlib.sha256()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number, picture in enumerate(_pictures(source, format, strict, watch)):
            if picture.problem:
                left_out.append(picture.problem)
                continue
            archive.writestr(zipfile.ZipInfo(names[number]), picture.content)
            digest.update(names[number].encode() + b"\0" + picture.digest)
            kept.append(number)
        if not kept:
            raise ValueError(f"{source.name} has no image that can be read ({left_out[0]})")
        if source.labels is not None:
            told = as_json(source.labels.rows(np.array(kept)), [names[number] for number in kept])
            archive.writestr(zipfile.ZipInfo(LABELS), told)
            digest.update(told.encode())
    return Prepared(path, len(kept), format, left_out, digest.hexdigest())


def _pictures(source: Source, format: Format, strict: bool, watch: Watch) -> Iterator[Picture]:
    """All images in their order, a block of them at a time in memory."""
    starts = range(0, source.count, BLOCK)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        encode = partial(_encoded, source.reader, format, strict)
        blocks = ([*pool.map(encode, range(s, min(s + BLOCK, source.count)))] for s in starts)
        for block in watch(blocks, "images", source.count):
            yield from block


def _encoded(reader: Reader, format: Format, strict: bool, index: int) -> Picture:
    try:
        pixels: UInt8[np.ndarray, "c h w"] = reader.pixels(index, format)
    except BrokenImage as error:
        if strict:
            raise
        return Picture(b"", b"", str(error))
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)).squeeze(-1 if len(pixels) == 1 else ()))
    content = io.BytesIO()
    image.save(content, "PNG", compress_level=1)
    return Picture(content.getvalue(), hashlib.sha256(pixels.tobytes()).digest())


def picture_names(source: Source) -> list[str]:
    """A name for each picture: that of its file in a folder or a zip, with .png, so that folders are what they were."""
    if not isinstance(source.reader, Files) or source.kind not in KEEPING_NAMES:
        return [f"{number:08d}.png" for number in range(source.count)]
    stems = [PurePosixPath(name).with_suffix(".png").as_posix() for name in source.reader.names]
    times = Counter(stem.lower() for stem in stems)
    pairs = zip(stems, source.reader.names, strict=True)
    names = [stem if times[stem.lower()] == 1 else f"{name}.png" for stem, name in pairs]
    if len({name.lower() for name in names}) < len(names):
        raise ValueError(f"{source.name} has files whose names differ by their endings alone: rename some")
    return names


def as_json(labels: LabelTable, names: list[str]) -> str:
    """What a labels.json says of the files: a class, or booleans or numbers by name."""
    known_as, kind = labels.meaning.names, labels.meaning.kind
    if kind == "classes":
        numbers = sorted(int(name) for name in known_as if name.isdecimal())
        numbered = [*map(str, numbers)] == [*known_as]  # in the order of numbers, without a 0 before any
        told = [int(known_as[value]) if numbered else known_as[value] for value in labels.values.tolist()]
    else:
        told = [dict(zip(known_as, row, strict=True)) for row in labels.values.tolist()]
    return json.dumps(dict(zip(names, told, strict=True)), indent=0)
