"""Pairs whose discriminator is an auto-encoder: EBGAN and BEGAN."""

from collections.abc import Sequence

from torch import nn

from ..checks import check_range
from .chain import Chain
from .conditioning import LabelMaps, Latents, way_of
from .dcgan import generator as dcgan_generator
from .init import normal
from .pair import AbsoluteAutoEncoder, EuclideanAutoEncoder, Generator, Uniform
from .shape import Architecture, ImageShape, crop, grid, levels_to, pad


def ebgan(g_width: int = 64, d_width: int = 64, z_dim: int = 100) -> Architecture:
    """DCGAN's generator against a convolutional auto-encoder (Zhao 2017, arXiv:1609.03126, App. D).

    Three 4x4 convolutions of stride 2 to the code, their mirror back; the energy is the Euclidean norm of the
    reconstruction error. For losses of energies, such as `energy` with `pulling_away` for the generator. Weights are
    initialised from N(0, 0.02).
    """
    check_range(at_least=1, g_width=g_width, d_width=d_width, z_dim=z_dim)

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        way_of(shape.d_condition, ["concat"], "auto-encoding discriminator")
        G, D = dcgan_generator(shape, g_width, Latents(shape, z_dim)), ebgan_discriminator(shape, d_width)
        return normal(G), normal(D)

    return build


def ebgan_discriminator(shape: ImageShape, width: int) -> EuclideanAutoEncoder:
    """Three convolutions that halve the grid, three that double it."""
    levels, maps = 3, LabelMaps(shape, shape.channels, usual="concat")
    widths = [width, 2 * width, 4 * width]
    down: list[nn.Module] = [maps, pad(shape, levels)]
    for number, (inputs, outputs) in enumerate(zip([maps.channels, *widths], widths, strict=False)):
        down += [nn.Conv2d(inputs, outputs, 4, 2, 1), *[nn.BatchNorm2d(outputs)] * (number > 0), nn.LeakyReLU(0.2)]
    up: list[nn.Module] = []
    for inputs, outputs in zip(widths[::-1], widths[-2::-1], strict=False):
        up += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
    last = nn.ConvTranspose2d(width, shape.channels, 4, 2, 1), crop(shape, levels)
    return EuclideanAutoEncoder(shape, Chain(*down), Chain(*up, *last))


def began(width: int = 128, z_dim: int = 64) -> Architecture:
    """A generator built like the decoder of an auto-encoder of 3x3 convolutions (Berthelot 2017, arXiv:1703.10717).

    ELU everywhere, no normalisation, no tanh; the energy is the mean absolute reconstruction error. For the loss
    `boundary_equilibrium`. Latent values are uniform in [-1, 1] (made of normal ones).
    """
    check_range(at_least=1, width=width, z_dim=z_dim)

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        way_of(shape.d_condition, ["concat"], "auto-encoding discriminator")
        latents = Latents(shape, z_dim, normalize="none")
        G = Generator(latents, Chain(Uniform(), *began_decoder(shape, latents.inputs, width)))
        encoder, decoder = began_encoder(shape, width, z_dim), Chain(*began_decoder(shape, z_dim, width))
        return G, AbsoluteAutoEncoder(shape, encoder, decoder)

    return build


def began_decoder(shape: ImageShape, inputs: int, width: int) -> Sequence[nn.Module]:
    """dense -> two convolutions a grid, nearest-neighbour doubling between grids -> convolution."""
    levels = levels_to(shape, at_most=8)
    first = grid(shape, levels)
    layers: list[nn.Module] = [nn.Linear(inputs, width * first[0] * first[1]), nn.Unflatten(1, (width, *first))]
    for level in range(levels + 1):
        layers += [nn.Upsample(scale_factor=2)] * (level > 0)
        layers += [nn.Conv2d(width, width, 3, 1, 1), nn.ELU(), nn.Conv2d(width, width, 3, 1, 1), nn.ELU()]
    return [*layers, nn.Conv2d(width, shape.channels, 3, 1, 1), crop(shape, levels)]


def began_encoder(shape: ImageShape, width: int, code: int) -> Chain:
    """convolution -> two convolutions a grid, one more of stride 2 between grids, wider by `width` each -> dense."""
    levels, maps = levels_to(shape, at_most=8), LabelMaps(shape, shape.channels, usual="concat")
    layers: list[nn.Module] = [maps, pad(shape, levels), nn.Conv2d(maps.channels, width, 3, 1, 1), nn.ELU()]
    now = width
    for level in range(1, levels + 2):
        wider = level * width
        layers += [nn.Conv2d(now, wider, 3, 1, 1), nn.ELU(), nn.Conv2d(wider, wider, 3, 1, 1), nn.ELU()]
        layers += [nn.Conv2d(wider, wider, 3, 2, 1), nn.ELU()] * (level <= levels)
        now = wider
    height, columns = grid(shape, levels)
    return Chain(*layers, nn.Flatten(), nn.Linear(now * height * columns, code))
