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


def real_batches(dataset: Dataset, chosen: Int64[np.ndarray, " n"] | None = None) -> Iterator[UInt8[Tensor, "b c h w"]]:
    """All real images or those that are chosen, in an order that is mixed and always the same."""
    chosen = np.arange(len(dataset)) if chosen is None else chosen
    order = np.random.default_rng(0).permutation(chosen)
    return (dataset.take(order[start : start + CHUNK]) for start in range(0, len(order), CHUNK))
