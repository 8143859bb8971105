"""The residual networks of the later code of weight normalisation in GANs (Xiang and Li 2017, arXiv:1704.03971)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..checks import check_range
from ..layers import TPReLU
from .chain import Chain, Conditional
from .conditioning import Head, LabelMaps, Latents
from .pair import Discriminator, FromUnit, Generator
from .shape import Architecture, ImageShape, crop, grid, levels_to, pad
from .wn_gan import last, strict

FIRST_SIDE = 7  # as in wn_gan
MOST = 8  # the greatest width in multiples of the first
EPS = 1e-6


def wn_resnet(width: int = 64, z_dim: int = 128) -> Architecture:
    """Residual blocks of strictly normalised weights whose sums are normalised too (Xiang and Li, later code).

    Each block halves or doubles the grid; the two addends have learned weights per channel, of norm 1, initialised to
    the shortcut alone. Widths are 1, 2, 4, 6, 8 times the first.
    """
    check_range(at_least=1, width=width, z_dim=z_dim)

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        levels = levels_to(shape, FIRST_SIDE)
        sizes = [width * min(MOST, max(1, 2 * level)) for level in range(levels)]
        return generator(shape, sizes, Latents(shape, z_dim, normalize="none")), discriminator(shape, sizes)

    return build


def generator(shape: ImageShape, sizes: list[int], latents: Latents) -> Generator:
    """z -> dense -> blocks that double the grid -> sigmoid."""
    first, top = grid(shape, len(sizes)), sizes[-1]
    dense = nn.Linear(latents.inputs, top * first[0] * first[1])
    dense.weight.data *= 0.01
    layers: list[nn.Module] = [dense, nn.Unflatten(1, (top, *first)), nn.PReLU(top)]
    layers += [up_block(inputs, outputs) for inputs, outputs in zip(sizes[::-1], sizes[-2::-1], strict=False)]
    layers += last(nn.ConvTranspose2d(sizes[0], shape.channels, 4, 2, 1, bias=False), "weight")
    return Generator(latents, Chain(*layers, nn.Sigmoid(), FromUnit(), crop(shape, len(sizes))))


def discriminator(shape: ImageShape, sizes: list[int]) -> Discriminator:
    """A convolution and blocks that halve the grid -> dense."""
    levels, maps = len(sizes), LabelMaps(shape, sizes[0])
    first = strict(nn.Conv2d(shape.channels, sizes[0], 4, 2, 1, bias=False), "weight"), TPReLU(sizes[0]), maps
    pairs = zip([maps.channels, *sizes[1:]], sizes[1:], strict=False)
    layers = pad(shape, levels), *first, *(down_block(i, o) for i, o in pairs), nn.Flatten()
    height, columns = grid(shape, levels)
    features = (sizes[-1] if levels > 1 else maps.channels) * height * columns
    logit = nn.Sequential(*last(nn.Linear(features, 1, bias=False), "weight"))
    return Discriminator(shape, Chain(*layers), Head(shape, features, logit=logit))


def down_block(inputs: int, outputs: int) -> nn.Module:
    """conv4 of stride 2 - TPReLU - conv3, beside halve - conv1, added with weights, then TPReLU."""
    first = strict(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), "weight")
    second = strict(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), "weight")
    shortcut = nn.AvgPool2d(2), strict(nn.Conv2d(inputs, outputs, 1, bias=False), "weight")
    return Chain(Weighted(outputs, Chain(first, TPReLU(outputs), second), Chain(*shortcut)), TPReLU(outputs))


def up_block(inputs: int, outputs: int) -> nn.Module:
    """conv3 - TPReLU - transposed conv4 of stride 2, beside conv1 - double, added with weights, then TPReLU."""
    first = strict(nn.Conv2d(inputs, inputs, 3, 1, 1, bias=False), "weight")
    second = strict(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), "weight")
    shortcut = strict(nn.Conv2d(inputs, outputs, 1, bias=False), "weight"), nn.Upsample(scale_factor=2)
    return Chain(Weighted(outputs, Chain(first, TPReLU(inputs), second), Chain(*shortcut)), TPReLU(outputs))


class Weighted(Conditional):
    """(a F(x) + b S(x)) / sqrt(a^2 + b^2 + 1e-6), a and b of each channel learned, at first 0 and 1."""

    def __init__(self, channels: int, chain: Chain, shortcut: Chain) -> None:
        super().__init__()
        self.chain, self.shortcut = chain, shortcut
        self.weights = nn.Parameter(torch.stack([torch.zeros(channels), torch.ones(channels)]))

    def forward(self, x: Float[Tensor, "b i h w"], condition: Tensor | None = None) -> Float[Tensor, "b o h2 w2"]:
        """The normalised sum."""
        a, b = self.weights * (self.weights.square().sum(0) + EPS).rsqrt()
        residue = self.chain(x, condition)
        return residue * a[:, None, None] + self.shortcut(x) * b[:, None, None]
