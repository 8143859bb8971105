"""The networks of WGAN-GP (Gulrajani 2017, arXiv:1704.00028): residual, and the plain CNN."""

from collections.abc import Sequence

from torch import nn

from ..checks import check_range
from .chain import Chain, Pool
from .conditioning import Head, LabelMaps, Latents, feature_norm
from .init import glorot
from .pair import Discriminator, Generator
from .residual import down_block, first_block
from .shape import Architecture, ImageShape, crop, grid, levels_to, pad
from .sn_resnet import generator as residual_generator


def wgan_gp_resnet(
    width: int = 128, z_dim: int = 128, d_feature_norm: str = "none", dropout: Sequence[float] = ()
) -> Architecture:
    """Blocks of one width in both networks, a mean over the grid (Gulrajani 2017, arXiv:1704.00028, Table 3 and code).

    The critic halves the grid to about 8x8, has two blocks more, and is free of batch normalisation, which a gradient
    penalty on each sample forbids; "layer" is what the paper puts there. `dropout` are rates behind the last blocks:
    (0.2, 0.5, 0.5) in CT-GAN (Wei 2018, arXiv:1803.01541).
    """
    check_range(at_least=1, width=width, z_dim=z_dim)

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        widths = [width] * (1 + levels_to(shape, at_most=4))
        G = residual_generator(shape, widths, Latents(shape, z_dim))
        return G, critic(shape, width, d_feature_norm, dropout)

    return build


def critic(shape: ImageShape, width: int, normalize: str, dropout: Sequence[float]) -> Discriminator:
    """Blocks that halve the grid, two that keep it -> ReLU -> mean over the grid -> dense."""
    halvings, maps = levels_to(shape, at_most=8), LabelMaps(shape, width)
    layers: list[nn.Module] = [pad(shape, halvings), first_block(shape.channels, width), maps]
    blocks = halvings + 1
    rates = [*[0.0] * blocks, *dropout][-blocks:]
    for number, rate in enumerate(rates, start=1):
        inputs = maps.channels if number == 1 else width
        layers += [down_block(inputs, width, halve=number < halvings, normalize=normalize)]
        layers += [nn.Dropout(rate)] if rate else []
    return Discriminator(shape, Chain(*layers, nn.ReLU(), Pool(mean=True)), Head(shape, width))


def wgan_gp_cnn(width: int = 128, z_dim: int = 128, d_feature_norm: str = "none") -> Architecture:
    """5x5 convolutions of stride 2: three up, three down (Gulrajani 2017, arXiv:1704.00028, the authors' CIFAR code).

    One level more for each doubling of the image beyond 32; leaky ReLU 0.2 in the critic.
    """
    check_range(at_least=1, width=width, z_dim=z_dim)

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        levels = levels_to(shape, at_most=4)
        return cnn_generator(shape, width, levels, Latents(shape, z_dim)), cnn_critic(
            shape, width, levels, d_feature_norm
        )

    return build


def cnn_generator(shape: ImageShape, width: int, levels: int, latents: Latents) -> Generator:
    """z -> dense -> transposed convolutions that halve the channels and double the grid -> tanh."""
    first, top = grid(shape, levels), width << (levels - 1)
    units = top * first[0] * first[1]
    layers = [glorot(nn.Linear(latents.inputs, units)), nn.Unflatten(1, (top, *first)), latents.norm(top), nn.ReLU()]
    for level in reversed(range(1, levels)):
        double = glorot(nn.ConvTranspose2d(width << level, width << (level - 1), 5, 2, 2, 1))
        layers += [double, latents.norm(width << (level - 1)), nn.ReLU()]
    last = glorot(nn.ConvTranspose2d(width, shape.channels, 5, 2, 2, 1))
    return Generator(latents, Chain(*layers, last, nn.Tanh(), crop(shape, levels)))


def cnn_critic(shape: ImageShape, width: int, levels: int, normalize: str) -> Discriminator:
    """Convolutions that double the channels and halve the grid -> dense."""
    height, columns = grid(shape, levels)
    maps = LabelMaps(shape, width)
    layers = [pad(shape, levels), glorot(nn.Conv2d(shape.channels, width, 5, 2, 2)), nn.LeakyReLU(0.2), maps]
    for level in range(1, levels):
        inputs, outputs = maps.channels if level == 1 else width << (level - 1), width << level
        halve = glorot(nn.Conv2d(inputs, outputs, 5, 2, 2))
        layers += [halve, feature_norm(normalize, outputs), nn.LeakyReLU(0.2)]
    last = width << (levels - 1) if levels > 1 else maps.channels
    return Discriminator(shape, Chain(*layers, nn.Flatten()), Head(shape, last * height * columns))
