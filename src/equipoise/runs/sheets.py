"""What to draw: which latent points with which labels, in which rows."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ..checks import check_choice
from ..interpolation import INTERPOLATIONS, lerp
from ..labels import in_turn
from .sampling import Sampler

COUNT, POINTS, IN_A_ROW, ROWS = 64, 2_000, 8, 8


class Sheet(NamedTuple):
    """Latent points, the label of each in the user's units, and how many stand in a row, where that matters."""

    latents: Float[Tensor, "n z"]
    labels: Shaped[Tensor, "n ..."] | None
    columns: int | None = None


def sheet(
    sampler: Sampler,
    count: int | None = None,
    names: tuple[str, ...] = (),
    rows: bool = False,
    interpolate: str | None = None,
    seed: int = 0,
    truncation: float | None = None,
) -> Sheet:
    """`count` images with the named labels in turn; with `rows` or `interpolate`, rows of `count` images.

    `rows`: a row per label, of the same latent points. `interpolate`: each row goes from one latent point to the next;
    or, where two or more labels are named, from one of these to the next, at a latent point of its own. Both: a row per
    label, all from one latent point to another.
    """
    if count is not None and count < 1 + bool(interpolate):
        raise ValueError(f"count must be at least {1 + bool(interpolate)}, not {count}")
    check_choice(str(interpolate), ["None", *INTERPOLATIONS], f"there is no interpolation {interpolate!r}")
    chosen, draw = sampler.chosen(names), lambda points: sampler.latents(points, seed, truncation)
    if not (rows or interpolate):
        usual = POINTS if sampler.recipe.height_width() == (1, 1) else COUNT
        images = usual if count is None else count
        return Sheet(draw(images), in_turn(chosen, images))
    if rows and chosen is None:
        raise ValueError(f"{sampler.folder.path} was trained without labels, so there is no row for each")
    width = IN_A_ROW if count is None else count
    if interpolate and not rows and chosen is not None and len(names) > 1:
        return between_labels(draw(len(names) - 1), sampler.meaning.mixable(chosen), width)
    height = ROWS if chosen is None or not rows or (sampler.meaning.examples and not names) else len(chosen)
    z = paths(draw(2 if rows else height + 1), interpolate, width) if interpolate else draw(width)[None]
    return in_rows(z.expand(height, -1, -1), in_turn(chosen, height))


def paths(points: Float[Tensor, "points z"], way: str, steps: int) -> Float[Tensor, "rows steps z"]:
    """From each point to the next one."""
    return INTERPOLATIONS[way](points[:-1, None], points[1:, None], torch.linspace(0, 1, steps))


def in_rows(z: Float[Tensor, "rows steps z"], labels: Shaped[Tensor, "rows ..."] | None) -> Sheet:
    """A label per row."""
    width = z.shape[1]
    return Sheet(z.flatten(0, 1), None if labels is None else labels.repeat_interleave(width, 0), width)


def between_labels(z: Float[Tensor, "rows z"], labels: Float[Tensor, "labels k"], steps: int) -> Sheet:
    """From each label to the next one, at one latent point per row."""
    mixed = lerp(labels[:-1, None], labels[1:, None], torch.linspace(0, 1, steps))
    return Sheet(z.repeat_interleave(steps, 0), mixed.flatten(0, 1), steps)
