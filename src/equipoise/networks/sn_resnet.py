"""The residual networks of SN-GAN, with labels those of the projection discriminator.

Miyato 2018 (arXiv:1802.05957, Tables 4-6) and Miyato and Koyama 2018 (arXiv:1802.05637).
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from ..checks import check_range
from ..layers import SelfAttention
from .chain import Chain, Pool
from .conditioning import Head, LabelMaps, Latents
from .init import glorot
from .pair import Discriminator, Generator
from .residual import down_block, first_block, up_block
from .shape import Architecture, ImageShape, crop, grid, pad


class Table(NamedTuple):
    """Widths of the blocks: the generator's from its first grid on, the discriminator's with its number of halvings."""

    generator: Sequence[int]
    discriminator: Sequence[int]
    halvings: int

    def scaled(self, g: float, d: float) -> "Table":
        """All widths times a factor."""
        up, down = ([max(1, round(w * by)) for w in ws] for ws, by in ((self.generator, g), (self.discriminator, d)))
        return Table(up, down, self.halvings)


class Attention(NamedTuple):
    """Behind which block attention stands, 0 for none, and of which kind."""

    block: int = 0
    pooled: bool = True

    def behind(self, blocks: Sequence[nn.Module], widths: Sequence[int]) -> list[nn.Module]:
        """The blocks with attention in between."""
        here = [SelfAttention(widths[self.block - 1], self.pooled)] if self.block else []
        return [*blocks[: self.block], *here, *blocks[self.block :]]


NO_ATTENTION = Attention()


def table(shape: ImageShape) -> Table:
    """The paper's table for the image's shorter side: 32 (CIFAR), 48 (STL), 64, 128; one block more per doubling."""
    side = min(shape.height, shape.width)
    if side < 48:
        return Table((256, 256, 256, 256), (128, 128, 128, 128), halvings=2)
    if side < 64:
        return Table((512, 256, 128, 64), (64, 128, 256, 512, 1024), halvings=4)
    if side < 128:
        return Table((1024, 512, 256, 128, 64), (64, 128, 256, 512, 1024), halvings=5)
    more = (1024,) * ((side // 128).bit_length() - 1)
    return Table((1024, *more, 1024, 512, 256, 128, 64), (64, 128, 256, 512, *more, 1024, 1024), halvings=5 + len(more))


def sn_resnet(
    g_scale: float = 1.0, d_scale: float = 1.0, z_dim: int = 128, d_feature_norm: str = "none"
) -> Architecture:
    """Residual blocks and global sum pooling (Miyato 2018, arXiv:1802.05957, Tables 4-6).

    The discriminator has no norm of its own: give it one. With labels: conditional batch normalisation in the
    generator and the projection discriminator, logit = w' h + e_y' h (Miyato and Koyama 2018, arXiv:1802.05637).
    `g_scale` and `d_scale` multiply all widths.
    """
    check_range(above=0, g_scale=g_scale, d_scale=d_scale)

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        g, d, halvings = table(shape).scaled(g_scale, d_scale)
        return generator(shape, g, Latents(shape, z_dim)), discriminator(shape, d, halvings, d_feature_norm)

    return build


def generator(
    shape: ImageShape, widths: Sequence[int], latents: Latents, attention: Attention = NO_ATTENTION
) -> Generator:
    """z -> dense -> blocks that double the grid -> batch normalisation, ReLU, 3x3 convolution, tanh."""
    first = grid(shape, len(widths) - 1)
    dense = glorot(nn.Linear(latents.inputs, widths[0] * first[0] * first[1])), nn.Unflatten(1, (widths[0], *first))
    blocks = [up_block(latents.norm, inputs, outputs) for inputs, outputs in zip(widths, widths[1:], strict=False)]
    layers = attention.behind(blocks, widths[1:])
    return Generator(latents, Chain(*dense, *layers, *to_image(shape, widths[-1]), crop(shape, len(widths) - 1)))


def to_image(shape: ImageShape, width: int) -> tuple[nn.Module, ...]:
    """Batch normalisation, ReLU, 3x3 convolution, tanh."""
    return nn.BatchNorm2d(width), nn.ReLU(), glorot(nn.Conv2d(width, shape.channels, 3, 1, 1)), nn.Tanh()


def discriminator(
    shape: ImageShape,
    widths: Sequence[int],
    halvings: int,
    normalize: str = "none",
    attention: Attention = NO_ATTENTION,
    wide: bool = False,
    bias: bool = False,
) -> Discriminator:
    """Blocks that halve the grid, blocks that keep it -> ReLU -> sum over the grid -> dense.

    `wide` blocks widen in their first convolution, others in their second.
    """
    maps = LabelMaps(shape, widths[0])
    blocks: list[nn.Module] = [Chain(first_block(shape.channels, widths[0]), maps)]
    pairs = enumerate(zip([maps.channels, *widths[1:]], widths[1:], strict=False), start=1)
    blocks += (down_block(i, o, number < halvings, o if wide else i, normalize) for number, (i, o) in pairs)
    layers = attention.behind(blocks, [maps.channels, *widths[1:]])
    features = Chain(pad(shape, halvings), *layers, nn.ReLU(), Pool())
    return Discriminator(shape, features, Head(shape, widths[-1], bias))
