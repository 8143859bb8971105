"""Images of a generator: a function of a seed and of the number of each image alone."""

from collections.abc import Iterator
from math import erfc, sqrt
from typing import cast

import torch
from jaxtyping import Float, Real, UInt8
from torch import Tensor, nn

from ..calls import ask
from ..checks import check_range
from ..parts import Parts, sliced
from ..randomness import has_drawn, mixed, random_state, seeded
from ..ranges import BYTES, Range
from .full_precision import exact

BATCH = 64
TOGETHER = 8  # images that are translated together: a translation works in their full size


def latents(G: nn.Module, count: int, seed: int, truncation: float | None = None) -> Float[Tensor, "n z"]:
    """Latent vectors of a seed, normal or cut off at `truncation` (Brock 2019, arXiv:1809.11096, Sec. 3.1).

    A vector depends on the seed and its number alone, not on how many are drawn.
    """
    check_range(above=0, truncation=1.0 if truncation is None else truncation)
    generator, size = torch.Generator().manual_seed(seed), cast(int, G.z_dim)
    uniform = torch.rand(count, size, generator=generator, dtype=torch.float64)
    tail = 0.0 if truncation is None else erfc(truncation / sqrt(2)) / 2
    return torch.special.ndtri(tail + uniform.clamp(min=1e-12) * (1 - 2 * tail)).float()


def generate(
    G: nn.Module, z: Float[Tensor, "n z"], labels: Tensor | None, seed: int = 0, range: Range = BYTES
) -> Parts[Real[Tensor, "b c h w"]]:
    """Batches of images of latent vectors, in float32, as the numbers that the data are; on the generator's device.

    Noise that the generator draws is a function of the seed and of the image's number alone, and global random state is
    left as it was.
    """

    def batch(part: slice) -> Real[Tensor, "b c h w"]:
        some = None if labels is None else labels[part]
        return range.from_networks(_images(G, z[part], some, mixed(seed, part.start)))

    return sliced(batch, len(z), BATCH)


def _images(G: nn.Module, z: Tensor, labels: Tensor | None, seed: int) -> Tensor:
    """The images of at most a batch; where the generator draws noise, that of a whole batch is drawn."""
    device, count = next(G.parameters()).device, len(z)
    with seeded(seed, device), exact(device):
        before = random_state(device)
        images = ask(G, z.to(device), None if labels is None else labels.to(device))
        if count == BATCH or not has_drawn(device, before):
            return images
    return _images(G, _padded(z), None if labels is None else _padded(labels), seed)[:count]


def _padded(rows: Tensor) -> Tensor:
    """As many rows as a batch has, the last one again and again."""
    return torch.cat([rows, rows[-1:].expand(BATCH - len(rows), *rows.shape[1:])])


def translate(G: nn.Module, images: UInt8[Tensor, "n c h w"], seed: int = 0) -> Iterator[UInt8[Tensor, "b c h w"]]:
    """What a network from images to images makes of these, in float32, as uint8 on its device."""
    device = next(G.parameters()).device
    for start in range(0, len(images), TOGETHER):
        part = images[start : start + TOGETHER].to(device)
        with seeded(mixed(seed, start), device), exact(device):
            yield to_uint8(G(BYTES.to_networks(part)))


def to_uint8(images: Float[Tensor, "b c h w"]) -> UInt8[Tensor, "b c h w"]:
    """[-1, 1] to 0..255, rounded: the inverse of what training sees."""
    return BYTES.from_networks(images)
