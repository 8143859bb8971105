"""The images that a recipe names."""

from ..data import Dataset, Format, Source, inspect, load
from ..recipe import Recipe


def load_dataset(recipe: Recipe, source: Source | None = None) -> Dataset:
    """The images of a complete recipe, in its format."""
    size = recipe.height_width()
    assert size is not None
    assert recipe.channels is not None
    source = source or inspect(recipe.data, recipe.labels, recipe.strict)
    return load(source, Format(recipe.channels, *size, recipe.fit), recipe.labels, recipe.strict)
