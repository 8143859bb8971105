"""BigGAN-deep (Brock 2019, arXiv:1809.11096, App. B): twice the blocks of BigGAN, each a narrow one."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..checks import check_range
from ..layers import SelfAttention
from .biggan import ChunkedGenerator, Chunks, table
from .chain import Chain, Pool, Residual
from .conditioning import Head, LabelMaps
from .init import orthogonal
from .pair import Discriminator
from .residual import Normalize
from .shape import Architecture, ImageShape, pad

NARROW = 4  # how much narrower the 3x3 convolutions of a block are


def biggan_deep(width: int = 128, z_dim: int = 128) -> Architecture:
    """Bottleneck blocks whose shortcuts keep what they are given (Brock 2019, arXiv:1809.11096, Tables 7-9).

    All of z and the embedded label go to every block. Where a block has fewer outputs its shortcut drops channels,
    where it has more it appends those of a 1x1 convolution. BigGAN's widths for the image's size in multiples of
    `width`; 32 pixels, which the paper does not have, are BigGAN's too.
    """
    check_range(at_least=1, width=width, z_dim=z_dim)

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        up, down, halvings, attention = table(shape)
        g, d = [width * by for by in up], [width * by for by in down[: halvings + 1]]
        return orthogonal(generator(shape, g, attention, z_dim)), orthogonal(discriminator(shape, d, attention))

    return build


def generator(shape: ImageShape, widths: Sequence[int], attention: int, z_dim: int) -> ChunkedGenerator:
    """Two blocks for each doubling: one as it is, one that doubles."""
    chunks = Chunks(shape, z_dim, chunks=1)
    pairs = zip(widths, widths[1:], strict=False)
    blocks = [Chain(up_block(chunks.norm, i, i, False), up_block(chunks.norm, i, o, True)) for i, o in pairs]
    if attention:
        blocks[-1 - attention].append(SelfAttention(widths[-1 - attention]))
    return ChunkedGenerator(shape, chunks, widths, blocks)


def discriminator(shape: ImageShape, widths: Sequence[int], attention: int) -> Discriminator:
    """A convolution, then two blocks for each halving: one that halves, one as it is -> ReLU -> sum -> dense."""
    halvings, maps = len(widths) - 1, LabelMaps(shape, widths[0])
    layers: list[nn.Module] = [pad(shape, halvings), nn.Conv2d(shape.channels, widths[0], 3, 1, 1), maps]
    for number, (inputs, outputs) in enumerate(zip([maps.channels, *widths[1:]], widths[1:], strict=False), start=1):
        layers += [down_block(inputs, outputs, True), down_block(outputs, outputs, False)]
        layers += [SelfAttention(outputs)] if number == attention else []
    return Discriminator(shape, Chain(*layers, nn.ReLU(), Pool()), Head(shape, widths[-1]))


def up_block(norm: Normalize, inputs: int, outputs: int, double: bool) -> Residual:
    """norm - ReLU before each of conv1, [double -] conv3, conv3, conv1, beside the first channels [doubled]."""
    narrow, doubled = max(1, inputs // NARROW), [nn.Upsample(scale_factor=2)] * double
    first = norm(inputs), nn.ReLU(), nn.Conv2d(inputs, narrow, 1)
    second = norm(narrow), nn.ReLU(), *doubled, nn.Conv2d(narrow, narrow, 3, 1, 1)
    third = norm(narrow), nn.ReLU(), nn.Conv2d(narrow, narrow, 3, 1, 1)
    fourth = norm(narrow), nn.ReLU(), nn.Conv2d(narrow, outputs, 1)
    return Residual(Chain(*first, *second, *third, *fourth), Chain(FirstChannels(outputs), *doubled))


def down_block(inputs: int, outputs: int, halve: bool) -> Residual:
    """ReLU before each of conv1, conv3, conv3, [halve -] conv1, beside [halve -] more channels."""
    narrow, halved = max(1, outputs // NARROW), [nn.AvgPool2d(2)] * halve
    first = nn.ReLU(), nn.Conv2d(inputs, narrow, 1), nn.ReLU(), nn.Conv2d(narrow, narrow, 3, 1, 1)
    second = nn.ReLU(), nn.Conv2d(narrow, narrow, 3, 1, 1), nn.ReLU(), *halved, nn.Conv2d(narrow, outputs, 1)
    return Residual(Chain(*first, *second), Chain(*halved, MoreChannels(inputs, outputs)))


class FirstChannels(nn.Module):
    """x[:, :channels]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h w"]:
        """Drops the other channels."""
        return x[:, : self.channels]


class MoreChannels(nn.Module):
    """[x, W x]: channels of a 1x1 convolution beside those that are there; the first ones, where fewer are wanted."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.more = nn.Conv2d(inputs, outputs - inputs, 1) if outputs > inputs else None

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h w"]:
        """As many channels as the block has."""
        return x[:, : self.outputs] if self.more is None else torch.cat([x, self.more(x)], dim=1)
