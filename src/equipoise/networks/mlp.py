"""Fully connected networks, for toys and for data without space."""

from collections.abc import Iterator
from math import prod

from torch import nn

from ..checks import check_range
from .chain import Chain
from .conditioning import Head, LabelMaps, Latents
from .pair import Discriminator, Generator
from .shape import Architecture, ImageShape


def mlp(width: int = 512, depth: int = 3, z_dim: int = 128) -> Architecture:
    """`depth` hidden layers of `width` units with ReLU in both networks (Gulrajani 2017, arXiv:1704.00028, toy code).

    Such were the first of all, too (Goodfellow 2014, arXiv:1406.2661). Points, images of one pixel, have no bound.
    """
    check_range(at_least=1, width=width, depth=depth, z_dim=z_dim)

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        latents, maps = Latents(shape, z_dim, normalize="none"), LabelMaps(shape, prod(shape[:3]))
        bound = [] if (shape.height, shape.width) == (1, 1) else [nn.Tanh()]
        out = nn.Linear(width, prod(shape[:3])), *bound, nn.Unflatten(1, shape[:3])
        G = Generator(latents, Chain(*hidden(latents.inputs, width, depth), *out))
        features = Chain(nn.Flatten(), maps, *hidden(maps.channels, width, depth))
        return G, Discriminator(shape, features, Head(shape, width))

    return build


def hidden(inputs: int, width: int, depth: int) -> Iterator[nn.Module]:
    """Linear layers with ReLU."""
    for size in [inputs, *[width] * (depth - 1)]:
        yield from (nn.Linear(size, width), nn.ReLU())
