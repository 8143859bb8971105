"""The standard CNN of SN-GAN (Miyato 2018, arXiv:1802.05957, Table 3)."""

from torch import nn

from ..checks import check_range
from .chain import Chain
from .conditioning import Head, LabelMaps, Latents, feature_norm
from .init import normal
from .pair import Discriminator, Generator
from .shape import Architecture, ImageShape, crop, grid, pad

LEVELS = 3  # doublings from the first grid to the image, whatever its size


def sn_cnn(
    g_width: int = 64, d_width: int = 64, z_dim: int = 128, g_feature_norm: str = "batch", d_feature_norm: str = "none"
) -> Architecture:
    """Three transposed convolutions up, seven convolutions with leaky ReLU 0.1 down (Miyato 2018, Table 3).

    The generator has batch normalisation; the discriminator has none of its own: give it a norm, or for the paper's
    comparison `d_feature_norm`. Many ports have wider discriminator layers than the paper's table, 5.9 M weights
    instead of 2.9 M; this is the table. Weights are initialised from N(0, 0.02) like DCGAN's.
    """
    check_range(at_least=1, g_width=g_width, d_width=d_width, z_dim=z_dim)

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        latents = Latents(shape, z_dim, g_feature_norm)
        G, D = generator(shape, g_width, latents), discriminator(shape, d_width, d_feature_norm)
        return normal(G), normal(D)

    return build


def generator(shape: ImageShape, width: int, latents: Latents) -> Generator:
    """z -> dense -> three doublings with batch normalisation -> 3x3 convolution -> tanh."""
    first, top = grid(shape, LEVELS), 8 * width
    layers = [nn.Linear(latents.inputs, top * first[0] * first[1]), nn.Unflatten(1, (top, *first))]
    for inputs in (top, top // 2, top // 4):
        layers += [nn.ConvTranspose2d(inputs, inputs // 2, 4, 2, 1), latents.norm(inputs // 2), nn.ReLU()]
    layers += [nn.Conv2d(width, shape.channels, 3, 1, 1), nn.Tanh(), crop(shape, LEVELS)]
    return Generator(latents, Chain(*layers))


def discriminator(shape: ImageShape, width: int, normalize: str) -> Discriminator:
    """3x3 convolutions alternating with 4x4 convolutions that halve the grid -> dense."""
    height, columns = grid(shape, LEVELS)
    maps = LabelMaps(shape, width)
    layers = [pad(shape, LEVELS), nn.Conv2d(shape.channels, width, 3, 1, 1), nn.LeakyReLU(0.1), maps]
    for inputs, outputs in ((maps.channels, width), (2 * width, 2 * width), (4 * width, 4 * width)):
        for layer in (nn.Conv2d(inputs, outputs, 4, 2, 1), nn.Conv2d(outputs, 2 * outputs, 3, 1, 1)):
            layers += [layer, feature_norm(normalize, layer.out_channels), nn.LeakyReLU(0.1)]
    return Discriminator(shape, Chain(*layers, nn.Flatten()), Head(shape, 8 * width * height * columns))
