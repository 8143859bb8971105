"""R3GAN's residual networks without normalisation (Huang 2024, arXiv:2501.05441)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import gcd, sqrt
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

from ..checks import check_range
from .chain import Chain, Residual
from .conditioning import Head, LabelMaps, Latents
from .init import he
from .pair import Discriminator, Generator
from .shape import Architecture, ImageShape, crop, grid, levels_to, pad

FIRST_SIDE = 4  # about the side of the first grid
EXPANSION = 2  # how much wider the inside of a block is
GROUP = 16  # channels of a group of its 3x3 convolution
SLOPE = 0.2
GAIN = sqrt(2 / (1 + SLOPE**2))


def r3(g_width: int = 768, d_width: int = 768, blocks: int = 2, z_dim: int = 64, full_to: int = 32) -> Architecture:
    """Blocks conv1 - grouped conv3 - conv1, initialised to the identity, no norms (Huang 2024, arXiv:2501.05441).

    `blocks` at each grid from about 4x4 on, smooth resampling between; a learned basis of the first grid in the
    generator, its mirror in the discriminator. Grids of a side up to `full_to` have the full width, each doubling
    beyond it halves it: at 768 and 32 the paper's CIFAR-10 and FFHQ models. `full_to=4` makes all grids equally costly.
    The label's embedding beside z is initialised as in the authors' code, with variance 1 / classes: where it is as
    loud as z, the generator learns one picture for each class.
    """
    check_range(at_least=1, g_width=g_width, d_width=d_width, blocks=blocks, z_dim=z_dim, full_to=full_to)

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        latents = Latents(shape, z_dim, normalize="none")
        if latents.embed is not None:
            nn.init.normal_(latents.embed.weight, 0.0, shape.labels.size**-0.5)
        G = generator(shape, widths(shape, g_width, full_to), blocks, latents)
        return G, discriminator(shape, widths(shape, d_width, full_to), blocks)

    return build


def widths(shape: ImageShape, full: int, full_to: int) -> list[int]:
    """The widths of the grids, from the first to that of the image: multiples of 4."""
    levels, side = levels_to(shape, FIRST_SIDE), min(shape.height, shape.width)
    sides = (side / 2 ** (levels - level) for level in range(levels + 1))
    return [max(4, 4 * round(full * min(1.0, full_to / side) / 4)) for side in sides]


def generator(shape: ImageShape, sizes: Sequence[int], blocks: int, latents: Latents) -> Generator:
    """z times a basis -> blocks at each grid, doubled in between -> 1x1 convolution."""
    levels = len(sizes) - 1
    count = blocks * len(sizes)
    layers: list[nn.Module] = [Basis(latents.inputs, sizes[0], grid(shape, levels))]
    for inputs, outputs in zip([sizes[0], *sizes], sizes, strict=False):
        layers += [*widened(inputs, outputs), Double()] * (len(layers) > 1)
        layers += [block(outputs, count) for _ in range(blocks)]
    return Generator(latents, Chain(*layers, he(nn.Conv2d(sizes[-1], shape.channels, 1), 1.0), crop(shape, levels)))


def discriminator(shape: ImageShape, sizes: Sequence[int], blocks: int) -> Discriminator:
    """1x1 convolution -> blocks at each grid, halved in between -> one number per channel -> dense."""
    levels, maps = len(sizes) - 1, LabelMaps(shape, sizes[-1])
    count, now = blocks * len(sizes), maps.channels
    layers: list[nn.Module] = [pad(shape, levels), he(nn.Conv2d(shape.channels, sizes[-1], 1), 1.0), maps]
    for level, size in reversed([*enumerate(sizes)]):
        layers += widened(now, size) + [block(size, count) for _ in range(blocks)] + [Halve()] * (level > 0)
        now = size
    whole = he(nn.Conv2d(now, now, grid(shape, levels), groups=now, bias=False), 1.0)
    return Discriminator(shape, Chain(*layers, whole, nn.Flatten()), Head(shape, now, bias=False))


def block(channels: int, blocks: int) -> Residual:
    """x + conv1(act(conv3(act(conv1(x))))), the last convolution 0 at first, the others scaled for so many blocks.

    This is Fixup initialisation (Zhang 2019, arXiv:1901.09321).
    """
    inside, gain = EXPANSION * channels, GAIN * blocks**-0.25
    first = he(nn.Conv2d(channels, inside, 1), gain), nn.LeakyReLU(SLOPE)
    grouped = nn.Conv2d(inside, inside, 3, 1, 1, groups=inside // gcd(inside, GROUP))
    last = he(nn.Conv2d(inside, channels, 1, bias=False), 0.0)
    return Residual(Chain(*first, he(grouped, gain), nn.LeakyReLU(SLOPE), last), nn.Identity())


def widened(inputs: int, outputs: int) -> list[nn.Module]:
    """A 1x1 convolution where the width changes."""
    return [] if inputs == outputs else [he(nn.Conv2d(inputs, outputs, 1, bias=False), 1.0)]


class Basis(nn.Module):
    """B_c (W z)_c: a learned pattern over the first grid for each channel, times a number."""

    def __init__(self, inputs: int, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.patterns = nn.Parameter(torch.randn(channels, *size))
        self.scales = he(nn.Linear(inputs, channels, bias=False), 1.0)

    def forward(self, z: Float[Tensor, "b z"]) -> Float[Tensor, "b c h w"]:
        """The first grid."""
        return self.patterns * self.scales(z)[:, :, None, None]


class Resampling(nn.Module, ABC):
    """Holds [1 2 1] / 4 in both directions, on the device that the network is on."""

    def __init__(self) -> None:
        super().__init__()
        line = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("triangle", torch.outer(line, line), persistent=False)

    def kernel(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "c 1 3 3"]:
        """The same for each channel, in the dtype of `x`."""
        triangle = cast(Tensor, self.triangle)
        return triangle.to(x.dtype).expand(x.shape[1], 1, 3, 3)

    @abstractmethod
    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Another height and width."""


class Halve(Resampling):
    """Every second pixel of [1 2 1] / 4 in both directions."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Half the height and width."""
        return conv2d(x, self.kernel(x), stride=2, padding=1, groups=x.shape[1])


class Double(Resampling):
    """New pixels between those that are there, each the mean of its neighbours: [1 2 1] / 2 in both directions."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Twice the height and width."""
        return conv_transpose2d(x, 4 * self.kernel(x), stride=2, padding=1, output_padding=1, groups=x.shape[1])
