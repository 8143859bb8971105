"""What every pair of networks is built for: the shape of one image, the labels, and the grid that doubles up to it.

Any height and width will do. A generator starts from the smallest grid that, doubled `levels` times, covers the image,
and its result is cut to size around the centre; a discriminator mirrors that with zeros around the image.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from ..labels import LabelSpace
from ..layers import CenterCrop, CenterPad


class ImageShape(NamedTuple):
    """Channels, height and width of an image, what its labels are, and how each network is conditioned on them.

    `g_condition` and `d_condition` are None for the usual way of an architecture; see `conditioning` for the others.
    """

    channels: int
    height: int
    width: int
    labels: LabelSpace = LabelSpace()
    g_condition: str | None = None
    d_condition: str | None = None


Architecture = Callable[[ImageShape], tuple[nn.Module, nn.Module] | dict[str, nn.Module]]
"""Builds generator and discriminator, or networks by name."""


def grid(shape: ImageShape, levels: int) -> tuple[int, int]:
    """Height and width of the smallest grid that covers the image after `levels` doublings.

    >>> grid(ImageShape(3, 32, 48), levels=3), grid(ImageShape(1, 28, 28), levels=3)
    ((4, 6), (4, 4))
    """
    return -(-shape.height // 2**levels), -(-shape.width // 2**levels)


def levels_to(shape: ImageShape, at_most: int) -> int:
    """How often the image is halved, rounding up, until its shorter side is at most so long.

    >>> levels_to(ImageShape(3, 32, 48), at_most=4), levels_to(ImageShape(3, 20, 20), at_most=4)
    (3, 3)
    """
    levels, side = 0, min(shape.height, shape.width)
    while side > at_most:
        levels, side = levels + 1, -(-side // 2)
    return levels


def crop(shape: ImageShape, levels: int) -> nn.Module:
    """From the doubled grid to the image."""
    height, width = grid(shape, levels)
    exact = (height << levels, width << levels) == (shape.height, shape.width)
    return nn.Identity() if exact else CenterCrop(shape.height, shape.width)


def pad(shape: ImageShape, levels: int) -> nn.Module:
    """From the image to the doubled grid."""
    height, width = grid(shape, levels)
    exact = (height << levels, width << levels) == (shape.height, shape.width)
    return nn.Identity() if exact else CenterPad(height << levels, width << levels)
