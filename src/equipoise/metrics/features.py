"""Feature extractors: each function returns `Features`, a map from uint8 images to vectors.

A distance means something only together with the name and the hash of its features: numbers of different features are
never to be compared. `builtin` for what looks like clothes and digits, `inception` for what papers print, `random` for
anything else without a download, `pixels` for colours and coarse shapes.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from math import sqrt

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, conv2d, interpolate, leaky_relu

from ..checks import check_range
from . import classifier, inception_file
from . import inception as inception_network
from .full_precision import rows

WIDTHS = (32, 48, 48)


@dataclass(frozen=True)
class Features:
    """Vectors of images, in float32 on the images' device, 64 images at a time; `hash` says exactly which vectors."""

    name: str
    dim: int | None  # None: it depends on the number of channels
    hash: str
    resizer: str
    extract: Callable[[Tensor], Tensor] = field(repr=False, compare=False)

    def __call__(self, images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """One vector per image."""
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise ValueError(f"features need uint8 images [n, c, h, w], got {images.dtype} {list(images.shape)}")
        return rows(self.extract, images)


def builtin() -> Features:
    """The last 64 pooled activations of the built-in Fashion-MNIST classifier: small, fast, no download."""
    look = f"{classifier.RESIZER}, x / 127.5 - 1"
    return Features("builtin", classifier.DIM, _hash(look, classifier.digest()), classifier.RESIZER, classifier.embed)


def random(seed: int = 0) -> Features:
    """Mean and standard deviation over space of three stages of random convolutions: for any image, no download."""
    drawn = b"".join(weight.numpy().tobytes() for weight in _filters(seed, 3))
    look = "x / 127.5 - 1, stride 2, leaky 0.2, mean and deviation"
    return Features(f"random(seed={seed})", 2 * sum(WIDTHS), _hash(look, drawn.hex()), "none", _responses(seed))


def pixels(size: int = 8) -> Features:
    """x / 255 of the image's mean over a grid of size x size, flattened: colours and coarse shapes."""
    check_range(at_least=1, size=size)
    name = f"pixels(size={size})"
    shrink = lambda images: adaptive_avg_pool2d(images.float() / 255, size).flatten(1)
    return Features(name, None, _hash(name), f"area to {size}x{size}", shrink)


def inception(weights: str | None = None) -> Features:
    """2048 pooled activations of TensorFlow's Inception of 2015-12-05 (Heusel et al. 2017, arXiv:1706.08500).

    The weights come from `weights`, else the file that EQUIPOISE_INCEPTION names, else the user's cache, where they are
    downloaded to once.
    """
    net = inception_network.load(weights)
    look = lambda images: net.to(images.device)(images)
    return Features("inception", 2048, inception_file.SHA256[:16], inception_network.RESIZER, look)


def _responses(seed: int) -> Callable[[Tensor], Tensor]:
    def responses(images: Tensor) -> Tensor:
        x, pooled = _at_least(images.float() / 127.5 - 1, 8), []
        for weight in _filters(seed, images.shape[1]):
            x = leaky_relu(conv2d(x, weight.to(x.device), stride=2, padding=1), 0.2)
            pooled += [x.mean((2, 3)), x.std((2, 3), unbiased=False)]
        return torch.cat(pooled, 1)

    return responses


@cache
def _filters(seed: int, channels: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(width, fan, 3, 3) for fan, width in zip((channels, *WIDTHS), WIDTHS, strict=False)]
    return [(torch.rand(s, generator=generator) * 2 - 1) * sqrt(6 / (9 * s[1])) for s in shapes]


def _at_least(images: Tensor, size: int) -> Tensor:
    height, width = (max(side, size) for side in images.shape[-2:])
    return images if images.shape[-2:] == (height, width) else interpolate(images, (height, width), mode="bilinear")


def _hash(*parts: str) -> str:
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]
