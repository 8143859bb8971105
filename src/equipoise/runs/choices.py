"""What a recipe leaves open, chosen for the data and the machine, each choice with its reason."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch

from ..data import Source
from ..recipe import Recipe
from ..training.precision import choose as choose_precision

LARGEST = 128  # pixels; larger images have to be asked for
TICKS = {"score_every": 10, "sample_every": 20, "save_every": 20}  # times in a run
SCORE_IMAGES = 2_000


class Choice(NamedTuple):
    """A value and why it was chosen."""

    value: Any
    reason: str


def choose(recipe: Recipe, source: Source, device: torch.device) -> tuple[Recipe, dict[str, str]]:
    """The recipe with every open field filled in, and the reason of each choice by field."""
    makers: dict[str, Callable[[], Choice]] = {
        "size": lambda: _size(source),
        "channels": lambda: _channels(source),
        "network": lambda: _network(recipe, source, device),
        "precision": lambda: _precision(device),
        "features": lambda: _features(source),
        "g_batch": lambda: Choice(recipe.batch, "as many as the discriminator's"),
        "score_images": lambda: Choice(
            min(SCORE_IMAGES, max(source.count, 2)), "enough to rank checkpoints of one run"
        ),
        **{name: partial(_every, recipe, times) for name, times in TICKS.items()},
    }
    chosen = {name: make() for name, make in makers.items() if getattr(recipe, name) is None}
    filled = replace(recipe, **{name: choice.value for name, choice in chosen.items()})
    return filled, {name: choice.reason for name, choice in chosen.items()}


def _size(source: Source) -> Choice:
    height, width = source.typical.height, source.typical.width
    if source.kind not in ("folder", "zip") and max(height, width) <= LARGEST:
        return Choice(f"{height}x{width}" if height != width else str(height), "the images' own size")
    side = min(height, width, LARGEST)
    size = max((s for s in (8, 16, 32, 48, 64, 96, 128) if s <= side), default=8)
    return Choice(str(size), f"images are about {width} wide and {height} high; at most {LARGEST} unless asked for")


def _channels(source: Source) -> Choice:
    has = source.typical.channels
    if has in (2, 4):
        return Choice(has - 1, f"images have alpha, which is laid over white; --channels {has} keeps it")
    return Choice(has, "as the images are" if has > 1 else "all images are grey")


def _network(recipe: Recipe, source: Source, device: torch.device) -> Choice:
    if device.type == "cuda":
        return Choice("sn_resnet", "a GPU trains the widths of the paper")
    height, width = recipe.height_width() or (source.typical.height, source.typical.width)
    scale = 0.125 if min(height, width) < 48 else 0.25
    return Choice(f"sn_resnet(g_scale={scale}, d_scale={scale})", "a width that a few CPU cores can train")


def _precision(device: torch.device) -> Choice:
    precision, reason = choose_precision(device)
    return Choice(str(precision.dtype).removeprefix("torch."), reason)


def _features(source: Source) -> Choice:
    if source.kind == "builtin":
        return Choice("builtin", "the classifier that comes along knows this data")
    return Choice("random", "needs no download; --features inception compares with papers")


def _every(recipe: Recipe, times: int) -> Choice:
    return Choice(max(recipe.batch * recipe.d_steps, recipe.images // times), f"{times} times in the run")
