"""Noise in place of data, for what is tried out before a run."""

import torch

from ..labels import LabelSpace
from ..recipe import Recipe, known
from ..training import Batch


def batch_of_noise(recipe: Recipe, labels: LabelSpace, device: torch.device) -> Batch:
    """A batch as the data of a complete recipe gives them: images and labels, images of two domains, or pairs."""
    count, shape = known(recipe.batch), (known(recipe.channels), *known(recipe.height_width()))
    images = lambda: torch.rand(count, *shape, device=device) * 2 - 1
    if recipe.domains == "unpaired":
        return {"a": images(), "b": images()}
    if recipe.domains != "none":
        return images(), images()
    example = labels.example(count)
    return images(), None if example is None else example.to(device)
