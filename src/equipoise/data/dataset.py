"""The images that training reads: decoded once and kept in memory, or streamed."""

import logging
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, Real, Shaped
from torch import Tensor

from ..watching import Watch, unwatched
from .arrays import ROUNDING
from .convert import MODES, BrokenImage, Format
from .label_tables import LabelTable, Meaning
from .readers import Arrays, Reader
from .sources import Source, inspect, require_labels
from .toys import Toy

CHUNK = 64
log = logging.getLogger("equipoise.data")


@dataclass(frozen=True)
class Decoder:
    """Decodes images by index, in any process."""

    reader: Reader
    format: Format

    def read(
        self, indices: Sequence[int] | Int64[np.ndarray, " b"]
    ) -> tuple[Real[Tensor, "b c h w"], Int64[Tensor, " b"], dict[int, str]]:
        """The images, the indices that were really read, and what was wrong with others.

        A broken image is replaced by the next one that can be read.
        """
        problems: dict[int, str] = {}
        images = np.zeros((len(indices), *self.format.shape), self.format.dtype)
        found = [self._read_one(int(index), image, problems) for index, image in zip(indices, images, strict=True)]
        return torch.from_numpy(images), torch.tensor(found, dtype=torch.int64), problems

    def _read_one(self, index: int, out: Shaped[np.ndarray, "c h w"], problems: dict[int, str]) -> int:
        for other in chain(range(index, len(self.reader)), range(index)):
            try:
                if other not in problems:
                    out[...] = self.reader.pixels(other, self.format)
                    return other
            except ValueError as error:
                problems[other] = str(error)
        return index


@dataclass(eq=False)
class Dataset:
    """Images with labels or without; `images` is None when they are streamed through `decoder`."""

    name: str
    decoder: Decoder
    images: Real[Tensor, "n c h w"] | None = field(repr=False)
    labels: LabelTable | None
    strict: bool = False
    load_held_out: Callable[[], "Dataset | None"] = field(default=lambda: None, repr=False)
    toy: Toy | None = None
    _reported: set[int] = field(default_factory=set, repr=False)

    def __len__(self) -> int:
        return len(self.decoder.reader if self.images is None else self.images)

    @property
    def format(self) -> Format:
        """What the images are."""
        return self.decoder.format

    @property
    def meaning(self) -> Meaning:
        """What its labels mean: of kind "none" without labels."""
        return self.labels.meaning if self.labels is not None else Meaning()

    @cached_property
    def held_out(self) -> "Dataset | None":
        """The published test images, loaded when first asked for; None when there are none."""
        return self.load_held_out()

    def take(self, indices: Sequence[int] | Int64[np.ndarray, " b"]) -> Real[Tensor, "b c h w"]:
        """The images at some indices, decoded on demand when streamed."""
        chosen = np.asarray(indices, np.int64)
        if self.images is not None:
            return self.images[torch.from_numpy(chosen)]
        if chosen.size and not (-len(self) <= chosen.min() and chosen.max() < len(self)):
            raise IndexError(f"index out of range for {len(self)} images")
        chunks = np.split(chosen % len(self), range(CHUNK, len(chosen), CHUNK))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            parts = list(pool.map(self.decoder.read, chunks))
        for _, _, problems in parts:
            self.report(problems)
        return torch.cat([images for images, _, _ in parts])

    def report(self, problems: dict[int, str]) -> None:
        """Warns of broken images, of each once; raises ValueError if the user is strict or no image is left."""
        for index in sorted(problems.keys() - self._reported):
            _skip(problems[index], self.strict)
        self._reported |= problems.keys()
        if len(self._reported) == len(self):
            raise ValueError(f"{self.name} has no image that can be read ({next(iter(problems.values()))})")


def load(
    source: Source | str | Path | None,
    format: Format,
    labels: bool = False,
    strict: bool = False,
    memory_limit: int = 4 * 2**30,
    watch: Watch = unwatched,
) -> Dataset:
    """The images of a source or a path, kept in memory if they need at most `memory_limit` bytes, else streamed."""
    found = source if isinstance(source, Source) else inspect(source, labels, strict)
    if labels:
        require_labels(found)
    loaded = _load(found, format, labels, strict, memory_limit, watch)
    if loaded.labels is not None and found.labels is not None:
        check_classes(found.name, found.labels, loaded.labels)
    return loaded


def _load(found: Source, format: Format, labels: bool, strict: bool, memory_limit: int, watch: Watch) -> Dataset:
    _check_channels(found, format)
    check_values(found, format)
    decoder = Decoder(found.reader, format)
    size = len(found.reader) * math.prod(format.shape) * np.dtype(format.dtype).itemsize
    images, kept = None, np.arange(len(found.reader))
    if size <= memory_limit:
        images, kept = _decode_all(found.name, decoder, strict, watch)
    return Dataset(
        found.name,
        decoder,
        images,
        found.labels.rows(kept) if labels and found.labels is not None else None,
        strict,
        partial(_load_held_out, found, format, labels, strict, memory_limit),
        found.toy,
    )


def check_classes(name: str, found: LabelTable, kept: LabelTable) -> None:
    """Raises ValueError for a class whose images are all broken; says so where all images are of one class."""
    kind, names = found.meaning.kind, found.meaning.names
    if kind != "classes":
        return
    lost = np.setdiff1d(found.values, kept.values)
    if len(lost):
        raise ValueError(f"{name} has no image that can be read of the class {names[int(lost[0])]!r}")
    if len(names) == 1:
        log.warning(
            "%s has one class, %r, so that labels say nothing: put each class in a folder of its own", name, names[0]
        )


def _load_held_out(source: Source, format: Format, labels: bool, strict: bool, memory_limit: int) -> Dataset | None:
    held_out = source.held_out()
    if held_out is None:
        return None
    labels = labels and held_out.labels is not None
    loaded = _load(held_out, format, labels, strict, memory_limit, unwatched)
    if loaded.labels is not None and source.labels is not None:
        loaded.labels = loaded.labels.like(source.labels.meaning)
    return loaded


def _check_channels(source: Source, format: Format) -> None:
    has, wants = source.typical.channels, format.channels
    if has != wants and not (has in MODES and wants in MODES):
        raise ValueError(f"{source.name}: images of {has} channels cannot become images of {wants} channels")


def check_values(source: Source, format: Format) -> None:
    """Raises ValueError where numbers are not of the range that the format has; of points it is a scale, no bound."""
    if not isinstance(source.reader, Arrays):
        return
    array, wanted, name = source.reader.array, format.range, source.name
    if array.dtype == np.uint8 and not wanted.is_bytes:
        raise ValueError(f"{name} holds bytes, and range={str(wanted)!r} is one of floats: leave it out")
    if source.reader.range is None and wanted.is_bytes:
        raise ValueError(unknown_range(source))
    if wanted.is_bytes or format.is_point:
        return
    low, high = float(array.min()), float(array.max())
    rounding = ROUNDING * (wanted.high - wanted.low)
    if low < wanted.low - rounding or high > wanted.high + rounding:
        raise ValueError(f"{name} goes from {low:g} to {high:g}, out of range={str(wanted)!r}")


def unknown_range(source: Source) -> str:
    """Says that floats need a range."""
    return (
        f"{source.name} holds floats beyond [0, 1] and [-1, 1], which need a range: their lowest and highest value, as "
        f"--range=-3:5 or as an array 'range' in the .npz"
    )


def _decode_all(
    name: str, decoder: Decoder, strict: bool, watch: Watch
) -> tuple[Real[Tensor, "n c h w"], Int64[np.ndarray, " n"]]:
    """All images that can be decoded, and their indices."""
    reader, format = decoder.reader, decoder.format
    if isinstance(reader, Arrays) and reader.array.shape[1:] == format.shape and reader.array.dtype == format.dtype:
        return torch.from_numpy(np.array(reader.array, order="C")), np.arange(len(reader))
    images = np.empty((len(reader), *format.shape), format.dtype)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        chunks = [range(start, min(start + CHUNK, len(images))) for start in range(0, len(images), CHUNK)]
        done = pool.map(partial(_decode_chunk, decoder, images, strict), chunks)
        seen = watch(zip(chunks, done, strict=True), "images", len(images))
        problems = {index: problem for _, found in seen for index, problem in found.items()}
    for problem in problems.values():
        _skip(problem, strict)
    kept = np.setdiff1d(np.arange(len(images)), np.array(list(problems), np.int64))
    if not len(kept):
        raise ValueError(f"{name} has no image that can be read ({problems[0]})")
    for new, old in enumerate(kept if problems else ()):  # in place: the images may fill the memory
        images[new] = images[old]
    return torch.from_numpy(images[: len(kept)]), kept


def _decode_chunk(decoder: Decoder, out: Shaped[np.ndarray, "n c h w"], strict: bool, chunk: range) -> dict[int, str]:
    """Decodes some images into `out`; returns what was wrong with the broken ones."""
    problems = {}
    for index in chunk:
        try:
            out[index] = decoder.reader.pixels(index, decoder.format)
        except BrokenImage as error:
            if strict:
                raise
            problems[index] = str(error)
    return problems


def _skip(problem: str, strict: bool) -> None:
    if strict:
        raise BrokenImage(problem)
    log.warning("skipped %s", problem)
