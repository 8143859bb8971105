"""The CIFAR networks of "Improved techniques" (Salimans 2016, arXiv:1606.03498)."""

from torch import nn

from ..checks import check_range
from ..layers import MinibatchDiscrimination
from .chain import Chain, Pool
from .conditioning import Head, LabelMaps, Latents
from .init import he, normal
from .pair import Discriminator, Generator, Uniform
from .shape import Architecture, ImageShape, crop, grid, pad

LEVELS = 3  # doublings from the first grid to the image


def improved_gan(
    g_width: int = 128, d_width: int = 96, z_dim: int = 100, kernels: int = 100, dropout: bool = True
) -> Architecture:
    """Nine convolutions with dropout, and minibatch discrimination where they end (Salimans 2016, arXiv:1606.03498).

    The networks of the authors' CIFAR code; its weight normalisation is the norm `weight`, to be given to the
    discriminator. `kernels=0` leaves minibatch discrimination out, as for `feature_matching`; `features` are what it
    looks at. Latent values are uniform (made of normal ones). Three doublings, whatever the size. In place of the
    authors' data-dependent initialisation, the discriminator has that of He 2015, which keeps the scale.
    """
    check_range(at_least=1, g_width=g_width, d_width=d_width, z_dim=z_dim)
    check_range(at_least=0, kernels=kernels)

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        G = generator(shape, g_width, Latents(shape, z_dim))
        return normal(G), discriminator(shape, d_width, kernels, dropout)

    return build


def generator(shape: ImageShape, width: int, latents: Latents) -> Generator:
    """z -> dense -> three 5x5 transposed convolutions -> tanh."""
    first, top = grid(shape, LEVELS), 4 * width
    layers = [Uniform(), nn.Linear(latents.inputs, top * first[0] * first[1]), nn.Unflatten(1, (top, *first))]
    layers += [latents.norm(top), nn.ReLU()]
    for inputs in (top, top // 2):
        layers += [nn.ConvTranspose2d(inputs, inputs // 2, 5, 2, 2, 1), latents.norm(inputs // 2), nn.ReLU()]
    last = nn.ConvTranspose2d(width, shape.channels, 5, 2, 2, 1)
    return Generator(latents, Chain(*layers, last, nn.Tanh(), crop(shape, LEVELS)))


def discriminator(shape: ImageShape, width: int, kernels: int, dropout: bool) -> Discriminator:
    """Three 3x3, the last of stride 2, twice; 3x3, 1x1, 1x1 -> mean over the grid [-> closeness] -> dense."""
    maps, wide = LabelMaps(shape, width), 2 * width
    noise = lambda rate: [nn.Dropout(rate)] * dropout
    layers = [pad(shape, LEVELS), *noise(0.2), *convolution(shape.channels, width), maps]
    layers += [*convolution(maps.channels, width), *convolution(width, width, stride=2), *noise(0.5)]
    layers += [*convolution(width, wide), *convolution(wide, wide), *convolution(wide, wide, stride=2), *noise(0.5)]
    layers += [*convolution(wide, wide), *convolution(wide, wide, size=1), *convolution(wide, wide, size=1)]
    closeness = [MinibatchDiscrimination(wide, kernels)] if kernels else []
    return Discriminator(shape, Chain(*layers, Pool(mean=True)), Chain(*closeness, Head(shape, wide + kernels)))


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    """A convolution with leaky ReLU 0.2."""
    return he(nn.Conv2d(inputs, outputs, size, stride, size // 2)), nn.LeakyReLU(0.2)
