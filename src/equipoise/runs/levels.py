"""Pictures of the levels of a generator that grows."""

from math import ceil
from typing import NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from ..networks.growing import growing
from .outputs import Output
from .real_images import real_order

BESIDE = 5  # generated beside as many real images, in as many rows


class Level(NamedTuple):
    """The shorter side of a level's images, and some of them: in each row generated ones, then real ones."""

    side: int
    images: UInt8[Tensor, "n c h w"]


def level_of(G: nn.Module, output: Output) -> Level | None:
    """The level that a generator is at, real images as it has them; None for one that does not grow."""
    parts = [part for part in growing(G) if part.growth is not None]
    if not parts:
        return None
    made = next(iter(output.generated(G, BESIDE**2, seed=0)))
    generated = (made[0] if isinstance(made, tuple) else made).cpu()
    generated = generated[: max(BESIDE, len(generated) // BESIDE * BESIDE)]  # whole rows
    range = output.real.format.range
    real = range.to_networks(output.real.take(real_order(output.real)[: len(generated)]))
    real = range.from_networks(parts[-1].whole(parts[-1].at_level(real)))
    pairs = zip(generated.split(BESIDE), real.split(BESIDE), strict=False)
    images = range.to_bytes(torch.cat([torch.cat(pair) for pair in pairs]))
    return Level(parts[-1].sides[ceil(parts[-1].level)], images)
