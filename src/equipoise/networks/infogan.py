"""The fixed network of "Are GANs created equal?" (Lucic 2018, arXiv:1711.10337), which is InfoGAN's."""

from torch import nn

from ..checks import check_range
from .chain import Chain
from .conditioning import Head, LabelMaps, Latents, feature_norm
from .init import normal
from .pair import Discriminator, FromUnit, Generator, ToUnit, Uniform
from .shape import Architecture, ImageShape, crop, grid, pad

LEVELS = 2  # doublings from the first grid to the image


def infogan(width: int = 64, z_dim: int = 64, d_feature_norm: str = "batch") -> Architecture:
    """Two dense layers, two 4x4 convolutions of stride 2, in either network (Lucic 2018, arXiv:1711.10337, App. F).

    Latent values are uniform in [-1, 1] (made of normal ones), images inside the networks in [0, 1]. The dense layers
    have 16 times the width. `d_feature_norm="none"` is the study's discriminator without batch normalisation.
    """
    check_range(at_least=1, width=width, z_dim=z_dim)

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        G, D = generator(shape, width, Latents(shape, z_dim)), discriminator(shape, width, d_feature_norm)
        return normal(G), normal(D)

    return build


def generator(shape: ImageShape, width: int, latents: Latents) -> Generator:
    """z -> dense -> dense -> two transposed convolutions -> sigmoid."""
    first, top = grid(shape, LEVELS), 2 * width
    dense = nn.Linear(latents.inputs, 16 * width), latents.norm(16 * width), nn.ReLU()
    units = top * first[0] * first[1]
    spread = nn.Linear(16 * width, units), latents.norm(units), nn.ReLU(), nn.Unflatten(1, (top, *first))
    double = nn.ConvTranspose2d(top, width, 4, 2, 1), latents.norm(width), nn.ReLU()
    last = nn.ConvTranspose2d(width, shape.channels, 4, 2, 1), nn.Sigmoid(), FromUnit(), crop(shape, LEVELS)
    return Generator(latents, Chain(Uniform(), *dense, *spread, *double, *last))


def discriminator(shape: ImageShape, width: int, normalize: str) -> Discriminator:
    """Two convolutions -> dense -> dense."""
    (height, columns), maps = grid(shape, LEVELS), LabelMaps(shape, width)
    first = pad(shape, LEVELS), ToUnit(), nn.Conv2d(shape.channels, width, 4, 2, 1), nn.LeakyReLU(0.2), maps
    halve = nn.Conv2d(maps.channels, 2 * width, 4, 2, 1), feature_norm(normalize, 2 * width), nn.LeakyReLU(0.2)
    dense = nn.Flatten(), nn.Linear(2 * width * height * columns, 16 * width)
    last = feature_norm(normalize, 16 * width), nn.LeakyReLU(0.2)
    return Discriminator(shape, Chain(*first, *halve, *dense, *last), Head(shape, 16 * width))
