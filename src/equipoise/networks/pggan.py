"""The growing pair (Karras 2018, arXiv:1710.10196, Sec. 2 to 4, Tab. 2)."""

from collections.abc import Sequence
from math import sqrt

from torch import nn

from .. import norms
from ..checks import check_range
from ..layers import AdaptiveNoise, DoubleThenConvolve, MinibatchStd, PixelNorm
from .chain import Chain
from .conditioning import Head, LabelMaps, Latents
from .growing import GrowingDecoder, GrowingEncoder, first_grid
from .init import he
from .pair import Discriminator, Generator
from .shape import Architecture, ImageShape

SLOPE = 0.2


def pggan(
    fmap_base: int = 8192,
    fmap_max: int = 512,
    z_dim: int = 512,
    g_feature_norm: str = "pixel",
    minibatch_std: str | None = "all",
    group: int | None = None,
    equalized: bool = True,
    adaptive_noise: bool = False,
) -> Architecture:
    """Two 3x3 convolutions a level, to and from RGB at every one, so that it can grow (Karras 2018, arXiv:1710.10196).

    min(fmap_base / 2^(level + 1), fmap_max) channels at levels 0, 1...; the paper's are 8192 and 512, at 32x32 4096
    and 128 with z_dim 128. All weights have an equalized learning rate, latent vectors and features of G pixel norm,
    and D sees how its samples differ: `minibatch_std` and `group` as `layers.MinibatchStd` has them, None for no such
    layer. `adaptive_noise` puts `layers.AdaptiveNoise` before D's convolutions, for least squares. No tanh.
    """
    check_range(at_least=1, fmap_base=fmap_base, fmap_max=fmap_max, z_dim=z_dim)

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        first, levels = first_grid(shape.height, shape.width)
        widths = [min(max(1, fmap_base >> level + 1), fmap_max) for level in range(levels)]
        G = generator(shape, first, widths, Latents(shape, z_dim, g_feature_norm), equalized)
        std = None if minibatch_std is None else MinibatchStd(group, minibatch_std)
        return G, discriminator(shape, first, widths, std, equalized, adaptive_noise)

    return build


def generator(
    shape: ImageShape, first: tuple[int, int], widths: Sequence[int], latents: Latents, equalized: bool
) -> Generator:
    """z -> the first grid -> doubled, two convolutions, again and again -> 1x1 convolution."""
    after = lambda channels: (nn.LeakyReLU(SLOPE), latents.norm(channels))
    begin = scaled(nn.ConvTranspose2d(latents.inputs, widths[0], first), equalized)
    base = nn.Unflatten(1, (latents.inputs, 1, 1)), begin, *after(widths[0]), conv(widths[0], widths[0], equalized)
    blocks = [Chain(*base, *after(widths[0]))]
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        double = scaled(DoubleThenConvolve(inputs, outputs), equalized)
        blocks.append(Chain(double, *after(outputs), conv(outputs, outputs, equalized), *after(outputs)))
    to_images = [scaled(nn.Conv2d(width, shape.channels, 1), equalized, 1.0) for width in widths]
    return Generator(latents, Chain(PixelNorm(), GrowingDecoder(blocks, to_images, first, (shape.height, shape.width))))


def discriminator(
    shape: ImageShape,
    first: tuple[int, int],
    widths: Sequence[int],
    std: MinibatchStd | None,
    equalized: bool,
    adaptive_noise: bool,
) -> Discriminator:
    """1x1 convolution -> two convolutions, halved, again and again -> statistics -> convolutions -> dense."""
    noise = lambda: [AdaptiveNoise()] * adaptive_noise
    act = lambda: nn.LeakyReLU(SLOPE)
    maps = LabelMaps(shape, widths[0])
    seen = maps.channels + (0 if std is None else std.appended(maps.channels))
    last = scaled(nn.Conv2d(widths[0], widths[0], first), equalized)
    end = [*noise(), conv(seen, widths[0], equalized), act(), *noise(), last, act(), nn.Flatten()]
    blocks = [Chain(maps, *[] if std is None else [std], *end)]
    for outputs, inputs in zip(widths, widths[1:], strict=False):
        convs = [*noise(), conv(inputs, inputs, equalized), act(), *noise(), conv(inputs, outputs, equalized), act()]
        blocks.append(Chain(*convs, nn.AvgPool2d(2)))
    from_images = [Chain(scaled(nn.Conv2d(shape.channels, width, 1), equalized), act()) for width in widths]
    features = Chain(GrowingEncoder(blocks, from_images, first))
    return Discriminator(shape, features, Head(shape, widths[0], logit=scaled(nn.Linear(widths[0], 1), equalized, 1.0)))


def conv(inputs: int, outputs: int, equalized: bool) -> nn.Module:
    """A 3x3 convolution."""
    return scaled(nn.Conv2d(inputs, outputs, 3, 1, 1), equalized)


def scaled(layer: nn.Module, equalized: bool, gain: float = sqrt(2)) -> nn.Module:
    """He's initialisation, kept as a constant factor of weights of unit size where the learning rate is equalized."""
    return norms.equalized(gain)(layer) if equalized else he(layer, gain)
