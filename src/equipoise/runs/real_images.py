"""The images that a recipe names."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, Real
from torch import Tensor

from ..data import Dataset, Domains, DomainSources, Format, Source, batches, find_domains, inspect, load, load_domains
from ..data.batches import check_dequantize
from ..data.dataset import unknown_range
from ..parts import Parts, sliced
from ..processes import ALONE, World
from ..ranges import Range
from ..recipe import Recipe, known
from ..schedules import Rate
from ..training import Batch
from ..watching import Watch, unwatched

CHUNK = 512
"""Real images that are looked at together."""


def find(recipe: Recipe) -> Source | DomainSources:
    """What the data of a recipe holds: one set of images, or two domains."""
    if recipe.domains != "none":
        return find_domains(recipe.data, recipe.domains, recipe.strict)
    return inspect(recipe.data, bool(recipe.labels), recipe.strict)


def format_of(recipe: Recipe) -> Format:
    """What the images of a complete recipe are."""
    range = Range.parse(known(recipe.range))
    return Format(known(recipe.channels), *known(recipe.height_width()), recipe.fit, range)


def load_dataset(
    recipe: Recipe, watch: Watch = unwatched, found: Source | DomainSources | None = None
) -> Dataset | Domains:
    """The images of a complete recipe, in its format; `found` is what `find` gives, where that is known."""
    format, found = format_of(recipe), found or find(recipe)
    if recipe.dequantize:
        check_dequantize(format)
    if isinstance(found, DomainSources):
        return load_domains(found, format, recipe.strict, watch)
    return load(found, format, known(recipe.labels), recipe.strict, watch=watch)


def sets_in(dataset: Dataset | Domains) -> list[Dataset]:
    """The sets of images of which a dataset is made."""
    return [dataset.a, dataset.b] if isinstance(dataset, Domains) else [dataset]


def training_batches(
    dataset: Dataset | Domains, recipe: Recipe, batch: Rate, start: int, device: torch.device, world: World = ALONE
) -> Iterator[Batch]:
    """The batches of a complete recipe after so many images; this process's share of them."""
    options: dict[str, Any] = {"start": start, "mirror": known(recipe.mirror), "dequantize": recipe.dequantize}
    stream = dataset.batches if isinstance(dataset, Domains) else partial(batches, dataset)
    return stream(batch, recipe.seed, device=device, world=world, **options)


def in_own_size(source: Source, labels: bool = False) -> Dataset:
    """Images in the size that is typical of them."""
    look = source.typical
    if look.range is None:
        raise ValueError(unknown_range(source))
    return load(source, Format(look.channels, look.height, look.width, range=look.range), labels)


def real_batches(
    dataset: Dataset, most: int | None = None
) -> Parts[tuple[Real[Tensor, "b c h w"], Int64[Tensor, " b"] | None]]:
    """Images in an order that is mixed and always the same, all or so many, with labels where they are classes."""
    order, labels = real_order(dataset)[:most], classes(dataset)

    def batch(part: slice) -> tuple[Tensor, Tensor | None]:
        return dataset.take(order[part]), None if labels is None else labels[order[part]]

    return sliced(batch, len(order), CHUNK)


def real_order(dataset: Dataset) -> Int64[np.ndarray, " n"]:
    """The order in which real images are shown to metrics."""
    return np.random.default_rng(0).permutation(len(dataset))


def classes(dataset: Dataset) -> Int64[Tensor, " n"] | None:
    """The labels of images where they are classes, else None."""
    return dataset.labels.tensor() if dataset.labels is not None and dataset.meaning.kind == "classes" else None
