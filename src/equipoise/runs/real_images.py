"""The images that a recipe names."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64, UInt8
from torch import Tensor

from ..data import Dataset, Format, Source, inspect, load
from ..recipe import Recipe, known

CHUNK = 512
"""Real images that are looked at together."""


def load_dataset(recipe: Recipe, source: Source | None = None) -> Dataset:
    """The images of a complete recipe, in its format."""
    format = Format(known(recipe.channels), *known(recipe.height_width()), recipe.fit)
    source = source or inspect(recipe.data, known(recipe.labels), recipe.strict)
    return load(source, format, known(recipe.labels), recipe.strict)


def in_own_size(source: Source, labels: bool = False) -> Dataset:
    """Images in the size that is typical of them."""
    look = source.typical
    return load(source, Format(look.channels, look.height, look.width), labels)


def real_batches(
    dataset: Dataset, most: int | None = None
) -> Iterator[tuple[UInt8[Tensor, "b c h w"], Int64[Tensor, " b"] | None]]:
    """Images in an order that is mixed and always the same, all or so many, with labels where they are classes."""
    order, labels = real_order(dataset)[:most], classes(dataset)
    for start in range(0, len(order), CHUNK):
        part = order[start : start + CHUNK]
        yield dataset.take(part), None if labels is None else labels[part]


def real_order(dataset: Dataset) -> Int64[np.ndarray, " n"]:
    """The order in which real images are shown to metrics."""
    return np.random.default_rng(0).permutation(len(dataset))


def classes(dataset: Dataset) -> Int64[Tensor, " n"] | None:
    """The labels of images where they are classes, else None."""
    return dataset.labels.tensor() if dataset.labels is not None and dataset.meaning.kind == "classes" else None
