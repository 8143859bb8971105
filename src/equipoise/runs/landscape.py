"""The discriminator as a landscape over the plane, or the line, that points are of: its values and its gradients."""

from collections.abc import Callable
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..calls import ask
from ..critic import per_sample
from ..data import Meaning
from ..metrics.full_precision import exact
from ..randomness import seeded
from ..ranges import Range

FINE, COARSE = {1: 200, 2: 60}, {1: 20, 2: 15}
"""Places along each dimension: of values, and of gradients."""
MOST_LABELS = 10


class Landscape(NamedTuple):
    """Values at places of a lattice, and gradients at fewer, in the units of the data."""

    places: Float[np.ndarray, "n d"]
    values: Float[np.ndarray, " n"]
    at: Float[np.ndarray, "m d"]
    gradients: Float[np.ndarray, "m d"]


def landscape(D: nn.Module, dimensions: int, range: Range, reach: float, meaning: Meaning) -> Landscape:
    """D(x) and its gradient with respect to x, for |x_i| up to `reach` times what networks see as 1.

    With labels the mean over the first ten. D itself, its mode and the random state are left as they were.
    """
    look = looking(deepcopy(D).eval(), meaning)
    fine, coarse = (lattice(sides[dimensions], dimensions, reach) for sides in (FINE, COARSE))
    device = next(D.parameters()).device
    with seeded(0, device), exact(device), torch.enable_grad():
        values = look(fine.to(device)).detach()
        x = coarse.to(device).requires_grad_()
        (gradients,) = torch.autograd.grad(look(x).sum(), [x])
    in_units = lambda points: range.from_networks(points.detach()).cpu().numpy()
    per_unit = 2 / (range.high - range.low)
    return Landscape(in_units(fine), values.cpu().numpy(), in_units(coarse), gradients.cpu().numpy() * per_unit)


def looking(D: nn.Module, meaning: Meaning) -> Callable[[Float[Tensor, "n d"]], Float[Tensor, " n"]]:
    """The logit of each point, the mean over labels where there are some."""
    every = meaning.representatives()
    labels = [None] if every is None else [*meaning.for_networks(every[:MOST_LABELS]).split(1)]

    def look(points: Tensor) -> Tensor:
        images = points[:, :, None, None]
        several = (None if one is None else one.to(points.device).expand(len(points), *one.shape[1:]) for one in labels)
        return torch.stack([per_sample(ask(D, images, one), len(images)).float() for one in several]).mean(0)

    return look


def lattice(side: int, dimensions: int, reach: float) -> Float[Tensor, "n d"]:
    """Places on a line or on a square lattice, the last coordinate fastest.

    >>> lattice(2, 2, 1.0).tolist()
    [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
    """
    line = torch.linspace(-reach, reach, side)
    return torch.cartesian_prod(*[line] * dimensions).view(-1, dimensions)
