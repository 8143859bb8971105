"""The sliced Wasserstein distance between patches of images, at each level of a Laplacian pyramid."""

from functools import partial

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import conv2d, pad

from ..checks import check_range
from .full_precision import exact
from .intervals import FEWEST, by_parts
from .kept import Rows, once
from .metric import Intervals, SetMetric, Values, pair_of_rows

BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
SMALLEST, PATCH = 16, 7  # pixels
CHUNK, SLICES = 64, 8  # images and directions at a time
SCALE = 1000
PARTS = 8  # that give an interval


def sliced_wasserstein(images: int = 16_384, patches: int = 128, repeats: int = 4, directions: int = 128) -> SetMetric:
    """1000 mean_t mean |sort(A t) - sort(B t)| of 7x7 patches A, B, unit t (Karras et al. 2018, arXiv:1710.10196).

    The mean over the levels of a Laplacian pyramid, each of which is there besides by its number of pixels: the images'
    smaller side, halved as long as it is at least 16 (64, 32, 16; of 28x28 images 28 alone). So many random patches of
    each of the first `images` images of either side, normalised per channel and side. It is too large by about 1 over
    the root of the number of patches: real images scored as generated are the floor. The interval is that of eight
    parts of the generated images, which takes as long as the value, from 80 images on. It holds the images, and 150 kB
    for each of a side for patches of three channels.
    """
    check_range(at_least=2, images=images)
    check_range(at_least=1, patches=patches, repeats=repeats, directions=directions)
    value, interval = partial(_value, patches, repeats, directions), partial(_interval, patches, repeats, directions)
    return SetMetric("sliced_wasserstein", lambda real: Rows(images), value, interval, sees="images")


def levels(height: int, width: int) -> list[int]:
    """The smaller side of each level, finest first."""
    size, found = min(height, width), []
    while size >= SMALLEST:
        found.append(size)
        size = (size + 1) // 2
    if not found:
        raise ValueError(f"sliced_wasserstein needs images of at least {SMALLEST} pixels a side, got {height}x{width}")
    return found


def laplacian(images: Float[Tensor, "n c h w"], level: int, last: int) -> Float[Tensor, "n c y x"]:
    """Level 0, 1, ... of the pyramid: what halving it loses; the last level is what is left (Burt and Adelson 1983)."""
    for _ in range(level):
        images = _down(images)
    return images if level == last else images - _up(_down(images), *images.shape[-2:])


def descriptors(images: UInt8[Tensor, "n c h w"], level: int, last: int, patches: int) -> Float[Tensor, "p v"]:
    """Random patches of a level of each image, less the mean and over the deviation of all of their channel.

    Their places depend on the image's number alone: a set is at 0 from itself.
    """
    draw = np.random.default_rng(level)
    parts = [_patches(laplacian(part.float(), level, last), patches, draw) for part in images.split(CHUNK)]
    found = torch.cat(parts).flatten(2)
    for channel in found.unbind(1):
        mean = channel.mean(dtype=torch.float64)
        deviation = channel.sub_(mean).square().mean(dtype=torch.float64).sqrt()
        channel.div_(torch.where(deviation > 0, deviation, 1))
    return found.flatten(1)


def sliced(x: Float[Tensor, "p v"], y: Float[Tensor, "p v"], repeats: int, directions: int) -> float:
    """mean over unit directions t of mean |sort(x t) - sort(y t)|, which is W_1 on a line (Rabin et al. 2011)."""
    draw = np.random.default_rng(0)
    found = []
    for _ in range(repeats):
        chosen = draw.standard_normal((directions, x.shape[1]))
        chosen /= np.linalg.norm(chosen, axis=1, keepdims=True)
        for some in torch.from_numpy(chosen).to(x).split(SLICES):
            found.append((_sorted(some @ x.T) - _sorted(some @ y.T)).abs_().mean(1, dtype=torch.float64))
    return torch.cat(found).mean().item()


def distances(
    x: UInt8[Tensor, "n c h w"], y: UInt8[Tensor, "n c h w"], patches: int, repeats: int, directions: int
) -> Values:
    """The distance of as many images of either side at each level, and first their mean."""
    found, names = {}, levels(*x.shape[-2:])
    with exact(x.device):
        for level, name in enumerate(names):
            a, b = (descriptors(images, level, len(names) - 1, patches) for images in (x, y))
            found[f"sliced_wasserstein.{name}"] = SCALE * sliced(a, b, repeats, directions)
    return {"sliced_wasserstein": sum(found.values()) / len(found)} | found


def _patches(images: Tensor, count: int, draw: np.random.Generator) -> Float[Tensor, "p c 7 7"]:
    n, _, height, width = images.shape
    tops, lefts = draw.integers([height - PATCH + 1, width - PATCH + 1], size=(n * count, 2)).T.copy()
    windows = images.unfold(2, PATCH, 1).unfold(3, PATCH, 1)
    return windows[torch.arange(n).repeat_interleave(count), :, torch.from_numpy(tops), torch.from_numpy(lefts)]


def _down(images: Tensor) -> Tensor:
    return _blur(images)[:, :, ::2, ::2]


def _up(images: Tensor, height: int, width: int) -> Tensor:
    spread = images.new_zeros(*images.shape[:2], height, width)
    spread[:, :, ::2, ::2] = images
    return _blur(spread) * 4


def _blur(images: Tensor) -> Tensor:
    """Convolution with the outer product of (1, 4, 6, 4, 1) / 16, images being mirrored at their borders."""
    flat = pad(images.flatten(0, 1)[:, None], (2, 2, 2, 2), mode="reflect")
    kernel = images.new_tensor(BINOMIAL)
    return conv2d(conv2d(flat, kernel.view(1, 1, 5, 1)), kernel.view(1, 1, 1, 5)).view_as(images)


def _sorted(rows: Tensor) -> Tensor:
    """Each row sorted, on the CPU by numpy, which is several times as fast."""
    return torch.from_numpy(np.sort(rows.numpy(), axis=1)) if rows.device.type == "cpu" else rows.sort(1).values


def _value(patches: int, repeats: int, directions: int, real: Rows, generated: Rows) -> Values:
    x, y = _as_many(real, generated)
    how = (patches, repeats, directions)
    return {**once(real, generated, ("sliced_wasserstein", *how), lambda: distances(x, y, *how))}


def _interval(patches: int, repeats: int, directions: int, real: Rows, generated: Rows) -> Intervals:
    """Of parts of the generated images, each against as many real ones, the same for all."""
    x, y = _as_many(real, generated)
    size = len(y) // PARTS
    if size < FEWEST:
        return {}
    parts = [distances(x[:size], y[turn::PARTS][:size], patches, repeats, directions) for turn in range(PARTS)]
    whole = _value(patches, repeats, directions, real, generated)
    return {name: by_parts(value, [part[name] for part in parts]) for name, value in whole.items()}


def _as_many(real: Rows, generated: Rows) -> list[UInt8[Tensor, "n c h w"]]:
    """The images of both sides that count: as many of one as of the other."""
    x, y = pair_of_rows("sliced_wasserstein", real, generated)
    return [side[: min(len(x), len(y))] for side in (x, y)]
