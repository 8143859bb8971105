"""The residual networks of SN-GAN, with labels those of the projection discriminator.

Miyato 2018 (arXiv:1802.05957, Tables 4-6) and Miyato and Koyama 2018 (arXiv:1802.05637).
"""

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

from ..layers import ConditionalBatchNorm, convolve_then_halve, double, double_then_convolve
from .shape import Architecture, ImageShape, crop, grid, pad

Labels = Int64[Tensor, "b"] | None
Layer = TypeVar("Layer", nn.Linear, nn.Conv2d, nn.Embedding)


class Table(NamedTuple):
    """Widths of the blocks: the generator's from its first grid on, the discriminator's with its number of halvings."""

    generator: Sequence[int]
    discriminator: Sequence[int]
    halvings: int


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


def sn_resnet(g_scale: float = 1.0, d_scale: float = 1.0, z_dim: int = 128) -> Architecture:
    """Residual blocks and global sum pooling (Miyato 2018, arXiv:1802.05957, Tables 4-6).

    The discriminator has no norm of its own: give it one. With labels: conditional batch normalisation in the
    generator and the projection discriminator, logit = w' h + e_y' h (Miyato and Koyama 2018, arXiv:1802.05637).
    `g_scale` and `d_scale` multiply all widths.
    """

    if min(g_scale, d_scale) <= 0:
        raise ValueError(f"g_scale and d_scale must be positive, not {g_scale} and {d_scale}")

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        widths = table(shape)
        g, d = ([max(1, round(w * scale)) for w in ws] for ws, scale in ((widths[0], g_scale), (widths[1], d_scale)))
        return Generator(shape, g, z_dim), Discriminator(shape, d, widths.halvings)

    return build


class Generator(nn.Module):
    """z -> dense -> blocks that double the grid -> batch normalisation, ReLU, 3x3 convolution, tanh."""

    def __init__(self, shape: ImageShape, widths: Sequence[int], z_dim: int) -> None:
        super().__init__()
        self.z_dim = z_dim
        levels = len(widths) - 1
        self.grid = (widths[0], *grid(shape, levels))
        self.first = glorot(nn.Linear(z_dim, widths[0] * self.grid[1] * self.grid[2]))
        pairs = zip(widths, widths[1:], strict=False)
        self.blocks = nn.ModuleList(UpBlock(inputs, outputs, shape.classes) for inputs, outputs in pairs)
        self.norm = nn.BatchNorm2d(widths[-1])
        self.last = glorot(nn.Conv2d(widths[-1], shape.channels, 3, 1, 1))
        self.crop = crop(shape, levels)

    def forward(self, z: Float[Tensor, "b z"], labels: Labels = None) -> Float[Tensor, "b c h w"]:
        """Images in [-1, 1]."""
        x = self.first(z).unflatten(1, self.grid)
        for block in self.blocks:
            x = block(x, labels)
        return self.crop(torch.tanh(self.last(relu(self.norm(x)))))


class UpBlock(nn.Module):
    """BN - ReLU - double - conv3 - BN - ReLU - conv3, beside double - conv1."""

    def __init__(self, inputs: int, outputs: int, classes: int) -> None:
        super().__init__()
        norm = lambda width: ConditionalBatchNorm(width, classes) if classes else nn.BatchNorm2d(width)
        self.norm1, self.norm2 = norm(inputs), norm(outputs)
        self.conv1 = glorot(nn.Conv2d(inputs, outputs, 3, 1, 1), gain=sqrt(2))
        self.conv2 = glorot(nn.Conv2d(outputs, outputs, 3, 1, 1), gain=sqrt(2))
        self.shortcut = glorot(nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Float[Tensor, "b i h w"], labels: Labels) -> Float[Tensor, "b o h2 w2"]:
        """Twice the height and width."""
        condition = () if labels is None else (labels,)
        h = double_then_convolve(relu(self.norm1(x, *condition)), self.conv1)
        return self.conv2(relu(self.norm2(h, *condition))) + double(self.shortcut(x))


class Discriminator(nn.Module):
    """Blocks that halve the grid, blocks that keep it -> ReLU -> sum over the grid -> dense (+ e_y' h with labels)."""

    def __init__(self, shape: ImageShape, widths: Sequence[int], halvings: int) -> None:
        super().__init__()
        self.pad = pad(shape, halvings)
        self.first = FirstBlock(shape.channels, widths[0])
        pairs = enumerate(zip(widths, widths[1:], strict=False), start=1)
        self.blocks = nn.ModuleList(DownBlock(i, o, halve=number < halvings) for number, (i, o) in pairs)
        self.features = nn.Identity()  # marks them for whoever asks
        self.last = glorot(nn.Linear(widths[-1], 1, bias=False))
        self.embed = glorot(nn.Embedding(shape.classes, widths[-1])) if shape.classes else None

    def forward(self, images: Float[Tensor, "b c h w"], labels: Labels = None) -> Float[Tensor, "b"]:
        """One logit an image."""
        h = self.first(self.pad(images))
        for block in self.blocks:
            h = block(h)
        h = self.features(relu(h).sum((2, 3)))
        logits = self.last(h).squeeze(1)
        return logits if self.embed is None else logits + (self.embed(labels) * h).sum(1)


class FirstBlock(nn.Module):
    """conv3 - ReLU - conv3 - halve, beside halve - conv1: the block that sees the image itself."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = glorot(nn.Conv2d(inputs, outputs, 3, 1, 1), gain=sqrt(2))
        self.conv2 = glorot(nn.Conv2d(outputs, outputs, 3, 1, 1), gain=sqrt(2))
        self.shortcut = glorot(nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h2 w2"]:
        """Half the height and width."""
        return convolve_then_halve(relu(self.conv1(x)), self.conv2) + self.shortcut(avg_pool2d(x, 2))


class DownBlock(nn.Module):
    """ReLU - conv3 - ReLU - conv3 [- halve], beside [halve -] conv1 or, where nothing changes, the identity."""

    def __init__(self, inputs: int, outputs: int, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        self.conv1 = glorot(nn.Conv2d(inputs, inputs, 3, 1, 1), gain=sqrt(2))
        self.conv2 = glorot(nn.Conv2d(inputs, outputs, 3, 1, 1), gain=sqrt(2))
        same = inputs == outputs and not halve
        self.shortcut = nn.Identity() if same else glorot(nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h2 w2"]:
        """Half the height and width where the block halves."""
        h = relu(self.conv1(relu(x)))
        if self.halve:
            return convolve_then_halve(h, self.conv2) + self.shortcut(avg_pool2d(x, 2))
        return self.conv2(h) + self.shortcut(x)


def glorot(layer: Layer, gain: float = 1.0) -> Layer:
    """Glorot-uniform weights times `gain`, biases 0."""
    nn.init.xavier_uniform_(layer.weight, gain)
    bias = getattr(layer, "bias", None)
    if bias is not None:
        nn.init.zeros_(bias)
    return layer
