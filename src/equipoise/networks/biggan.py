"""BigGAN (Brock 2019, arXiv:1809.11096): wide residual networks, each block conditioned on z and y."""

from collections.abc import Sequence
from itertools import cycle
from typing import NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..checks import check_range
from ..labels import Labels, LabelSpace
from ..layers import ConditionalBatchNorm, SelfAttention
from ..layers.conditional import embedding
from .chain import Chain
from .conditioning import Latents, check_labels, way_of
from .init import orthogonal
from .residual import up_block
from .shape import Architecture, ImageShape, crop, grid
from .sn_resnet import Attention, discriminator, to_image
from .sn_resnet import generator as plain

EMBEDDED = 128  # dimension of the label's embedding, shared by all blocks


class Table(NamedTuple):
    """Widths in multiples of the base width, and at which halving of the image attention stands (0: nowhere)."""

    generator: Sequence[int]
    discriminator: Sequence[int]
    halvings: int
    attention: int


def table(shape: ImageShape) -> Table:
    """The authors' tables for an image's shorter side: 32, 64, 128, and one more block for each doubling."""
    side = min(shape.height, shape.width)
    if side < 48:
        return Table((4, 4, 4, 4), (4, 4, 4, 4), halvings=2, attention=0)
    if side < 128:
        return Table((16, 16, 8, 4, 2), (1, 2, 4, 8, 16), halvings=4, attention=1)
    more = (8,) * ((side // 128).bit_length() - 1)
    up, down = (16, 16, 8, *more, 4, 2, 1), (1, 2, 4, 8, *more, 16, 16)
    return Table(up, down, halvings=5 + len(more), attention=1 + len(more))


def biggan(width: int | None = None, z_dim: int | None = None) -> Architecture:
    """Residual blocks conditioned on z and on a shared class embedding (Brock 2019, arXiv:1809.11096, App. B).

    From 48 pixels on z is split into a chunk for the first layer and one for each block, which with the embedding of
    the label makes its gains and biases; attention stands at the 64x64 map (half the size, in smaller images). At 32
    pixels, as in the authors' code, neither; there gains and biases are those of each class, initialised to 1 and 0,
    where the code draws them from N(0, 0.02) around that. The initialisation of other weights is orthogonal. `width` is
    the base width: 96, at 32 pixels 64. A chunk has dimension 20, at 32 pixels z has 128. Give spectral normalisation
    to both networks. For truncation, `equipoise sample --truncation`.
    """
    check_range(at_least=1, width=1 if width is None else width, z_dim=1 if z_dim is None else z_dim)

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        up, down, halvings, attention = table(shape)
        base = width or (96 if attention else 64)
        g, d = [base * by for by in up], [base * by for by in down]
        G = generator(shape, g, attention, z_dim) if attention else plain(shape, g, Latents(shape, z_dim or 128))
        D = discriminator(shape, d, halvings, attention=Attention(attention), wide=True, bias=True)
        return orthogonal(G), orthogonal(D)

    return build


def generator(shape: ImageShape, widths: Sequence[int], attention: int, z_dim: int | None) -> "ChunkedGenerator":
    """A chunk of z for the first layer and for each block."""
    chunks = Chunks(shape, z_dim or 20 * len(widths), len(widths))
    blocks = [Chain(up_block(chunks.norm, i, o)) for i, o in zip(widths, widths[1:], strict=False)]
    blocks[-1 - attention].append(SelfAttention(widths[-1 - attention]))
    return ChunkedGenerator(shape, chunks, widths, blocks)


class Chunks(nn.Module):
    """The conditions of the first layer and of each block: their chunk of z, and beside it the embedding of the label.

    In BigGAN the first layer has its chunk alone; with one chunk, in BigGAN-deep, all have all of both.
    """

    def __init__(self, shape: ImageShape, z_dim: int, chunks: int) -> None:
        super().__init__()
        if z_dim % chunks:
            raise ValueError(f"z_dim must be a multiple of {chunks}, a chunk for each block and one more, not {z_dim}")
        way_of(shape.g_condition, ["batch_norm"], "generator")
        self.z_dim, self.chunks, self.labels = z_dim, chunks, shape.labels
        self.embed = embedding(shape.labels, EMBEDDED) if shape.labels else None
        self.modulating = z_dim // chunks + EMBEDDED * bool(shape.labels)
        self.inputs = self.modulating if chunks == 1 else z_dim // chunks

    def norm(self, channels: int) -> nn.Module:
        """Batch normalisation with gains and biases linear in the condition, initialised orthogonal."""
        layer = ConditionalBatchNorm(channels, LabelSpace("vectors", self.modulating))
        nn.init.orthogonal_(layer.gain.weight)
        nn.init.orthogonal_(layer.bias.weight)
        return layer

    def forward(self, z: Float[Tensor, "b z"], labels: Labels | None) -> list[Tensor]:
        """The input of the first layer, then the condition of each block."""
        check_labels(self.labels, labels)
        label = [] if self.embed is None else [self.embed(labels)]
        conditions = [torch.cat([chunk, *label], dim=1) for chunk in z.chunk(self.chunks, dim=1)]
        return conditions if self.chunks == 1 else [z[:, : self.inputs], *conditions[1:]]


class ChunkedGenerator(nn.Module):
    """The first chunk -> dense -> blocks, each with its condition -> batch normalisation, ReLU, conv3, tanh."""

    def __init__(self, shape: ImageShape, chunks: Chunks, widths: Sequence[int], blocks: Sequence[Chain]) -> None:
        super().__init__()
        levels = len(widths) - 1
        first = grid(shape, levels)
        self.z_dim, self.chunks = chunks.z_dim, chunks
        dense = nn.Linear(chunks.inputs, widths[0] * first[0] * first[1])
        self.first = nn.Sequential(dense, nn.Unflatten(1, (widths[0], *first)))
        self.blocks = nn.ModuleList(blocks)
        self.last = nn.Sequential(*to_image(shape, widths[-1]), crop(shape, levels))

    def forward(self, z: Float[Tensor, "b z"], labels: Labels | None = None) -> Float[Tensor, "b c h w"]:
        """Images in [-1, 1]."""
        first, *others = self.chunks(z, labels)
        x = self.first(first)
        for block, condition in zip(self.blocks, others or cycle([first]), strict=False):
            x = block(x, condition)
        return cast(Tensor, self.last(x))
