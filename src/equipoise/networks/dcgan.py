"""The deep convolutional pair (Radford, Metz and Chintala 2016, arXiv:1511.06434)."""

from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import nn

from ..checks import check_choice, check_range
from ..layers import DoubleThenConvolve
from .chain import Chain
from .conditioning import Head, LabelMaps, Latents, feature_norm
from .init import he, normal
from .pair import Discriminator, Generator
from .shape import Architecture, ImageShape, crop, grid, levels_to, pad

FIRST_SIDE = 4  # about the side of the first grid
UPSAMPLINGS: dict[str, Callable[[int, int], nn.Module]] = {
    "transposed": partial(nn.ConvTranspose2d, kernel_size=4, stride=2, padding=1, bias=False),
    "nearest": partial(DoubleThenConvolve, bias=False),
}


def dcgan(
    g_width: int = 64,
    d_width: int = 64,
    z_dim: int = 100,
    g_feature_norm: str = "batch",
    d_feature_norm: str = "batch",
    d_gain: float | None = None,
    upsampling: Literal["transposed", "nearest"] = "transposed",
) -> Architecture:
    """Strided 4x4 convolutions with batch norm, ReLU up and leaky ReLU 0.2 down (Radford 2016, arXiv:1511.06434).

    From a grid of about 4x4; one level more for each doubling of the image. The paper's figure has width 128, the code
    64. Weights are initialised from N(0, 0.02), those of the discriminator with `d_gain` from N(0, d_gain / sqrt(fan
    in)): without normalisation the former let signals fade from layer to layer. `upsampling="nearest"` doubles each
    pixel before a 3x3 convolution in the generator (Odena 2016, doi:10.23915/distill.00003): a transposed convolution
    has a kernel of its own for each pixel of a 2x2 square, all initialised apart, which shows as a checkerboard.
    """
    check_choice(upsampling, [*UPSAMPLINGS], f"upsampling cannot be {upsampling!r}")
    check_range(at_least=1, g_width=g_width, d_width=d_width, z_dim=z_dim)
    check_range(above=0, d_gain=1.0 if d_gain is None else d_gain)

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        latents = Latents(shape, z_dim, g_feature_norm)
        G = generator(shape, g_width, latents, UPSAMPLINGS[upsampling])
        D = discriminator(shape, d_width, d_feature_norm)
        return normal(G), normal(D) if d_gain is None else scaled(D, d_gain)

    return build


def scaled(D: Discriminator, gain: float) -> Discriminator:
    """The discriminator with weights that keep a share of what goes through them, whatever its width."""
    for layer in D.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            he(layer, gain)
    return D


def generator(
    shape: ImageShape,
    width: int,
    latents: Latents,
    upsample: Callable[[int, int], nn.Module] = UPSAMPLINGS["transposed"],
) -> Generator:
    """z -> grid -> convolutions that halve the channels and double the grid -> tanh."""
    levels = levels_to(shape, FIRST_SIDE)
    sizes = [width << level for level in reversed(range(levels))]
    first = nn.ConvTranspose2d(latents.inputs, sizes[0], grid(shape, levels), bias=False)
    layers = [nn.Unflatten(1, (latents.inputs, 1, 1)), first, latents.norm(sizes[0]), nn.ReLU()]
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        layers += [upsample(inputs, outputs), latents.norm(outputs), nn.ReLU()]
    last = upsample(width, shape.channels)
    return Generator(latents, Chain(*layers, last, nn.Tanh(), crop(shape, levels)))


def discriminator(shape: ImageShape, width: int, normalize: str) -> Discriminator:
    """Strided convolutions that double the channels and halve the grid, then one convolution over the grid.

    They have biases where no normalisation has some: without any, D(t x) = t D(x), and the grey image x = 0 is never
    worse than undecided, a refuge for a generator that loses.
    """
    levels = levels_to(shape, FIRST_SIDE)
    sizes, (height, columns) = [width << level for level in range(levels)], grid(shape, levels)
    maps = LabelMaps(shape, width)
    bias = levels == 1 or not [*feature_norm(normalize, width).parameters()]
    layers = [pad(shape, levels), nn.Conv2d(shape.channels, width, 4, 2, 1, bias=bias), nn.LeakyReLU(0.2), maps]
    for inputs, outputs in zip([maps.channels, *sizes[1:]], sizes[1:], strict=False):
        halve = nn.Conv2d(inputs, outputs, 4, 2, 1, bias=bias)
        layers += [halve, feature_norm(normalize, outputs), nn.LeakyReLU(0.2)]
    features = (sizes[-1] if levels > 1 else maps.channels) * height * columns
    return Discriminator(shape, Chain(*layers, nn.Flatten()), Head(shape, features, bias=bias))
