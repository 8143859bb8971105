"""The networks of weight normalisation in GANs, with the twins that they were compared with.

Xiang and Li 2017 (arXiv:1704.03971), and the residual networks of their later code.
"""

from typing import Literal

from torch import nn

from .. import norms
from ..checks import check_choice, check_range
from ..layers import Affine, TPReLU
from .chain import Chain
from .conditioning import Head, LabelMaps, Latents, feature_norm
from .pair import Discriminator, FromUnit, Generator, ToUnit
from .shape import Architecture, ImageShape, crop, grid, levels_to, pad

FIRST_SIDE = 7  # the grid is halved until it is smaller than 8
FEATURES = {"weight": "none", "batch": "batch", "none": "none"}  # how weights are, how features are normalised


def wn_gan(width: int = 64, z_dim: int = 128, normalize: Literal["weight", "batch", "none"] = "weight") -> Architecture:
    """Strict weight normalisation, TPReLU, an affine last layer, in both networks (Xiang and Li 2017, Sec. 3).

    4x4 convolutions of stride 2 that double the channels. The twins of the paper (arXiv:1704.03971): `"batch"`, batch
    normalisation with PReLU, but not in the last layers and the discriminator's first, and `"none"`, the vanilla model.
    """
    check_range(at_least=1, width=width, z_dim=z_dim)
    check_choice(normalize, [*FEATURES], f"normalize cannot be {normalize!r}")

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        latents = Latents(shape, z_dim, FEATURES[normalize])
        return generator(shape, width, latents, normalize), discriminator(shape, width, normalize)

    return build


def generator(shape: ImageShape, width: int, latents: Latents, normalize: str) -> Generator:
    """z -> dense -> transposed convolutions that halve the channels and double the grid -> sigmoid."""
    levels = levels_to(shape, FIRST_SIDE)
    first, top, plain = grid(shape, levels), width << (levels - 1), normalize != "weight"
    dense = nn.Linear(latents.inputs, top * first[0] * first[1], bias=plain)
    dense.weight.data *= 0.01
    layers = [strict(dense, normalize), nn.Unflatten(1, (top, *first)), latents.norm(top), activation(top, normalize)]
    for level in reversed(range(1, levels)):
        double = nn.ConvTranspose2d(width << level, width << (level - 1), 4, 2, 1, bias=plain)
        outputs = double.out_channels
        layers += [strict(double, normalize), latents.norm(outputs), activation(outputs, normalize)]
    layers += last(nn.ConvTranspose2d(width, shape.channels, 4, 2, 1, bias=plain), normalize)
    return Generator(latents, Chain(*layers, nn.Sigmoid(), FromUnit(), crop(shape, levels)))


def discriminator(shape: ImageShape, width: int, normalize: str) -> Discriminator:
    """Convolutions that double the channels and halve the grid -> one over the grid."""
    levels, maps = levels_to(shape, FIRST_SIDE), LabelMaps(shape, width)
    layers: list[nn.Module] = [pad(shape, levels), ToUnit()]
    now = shape.channels
    for level in range(levels):
        outputs = width << level
        halve = strict(nn.Conv2d(now, outputs, 4, 2, 1, bias=normalize != "weight"), normalize)
        normalised = feature_norm(FEATURES[normalize] if level else "none", outputs)
        layers += [halve, normalised, activation(outputs, normalize), *[maps] * (level == 0)]
        now = outputs if level else maps.channels
    height, columns = grid(shape, levels)
    features = now * height * columns
    logit = nn.Sequential(*last(nn.Linear(features, 1, bias=normalize != "weight"), normalize))
    return Discriminator(shape, Chain(*layers, nn.Flatten()), Head(shape, features, logit=logit))


def strict(layer: nn.Module, normalize: str) -> nn.Module:
    """w / |w| for each output where weights are normalised."""
    return norms.strict_weight()(layer) if normalize == "weight" else layer


def activation(channels: int, normalize: str) -> nn.Module:
    """TPReLU where weights are normalised, else PReLU, one slope per channel."""
    return TPReLU(channels) if normalize == "weight" else nn.PReLU(channels)


def last(layer: nn.Linear | nn.ConvTranspose2d, normalize: str) -> list[nn.Module]:
    """The last layer of a network, affine where weights are normalised."""
    outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    return [strict(layer, normalize), *[Affine(outputs)] * (normalize == "weight")]
