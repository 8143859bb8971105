"""Differentiable augmentation (Zhao, Liu, Lin, Zhu and Han 2020)."""

from collections.abc import Callable

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from ..checks import check_range, check_words
from .draws import Images, beside, uniform


def diffaug(policy: str = "color,translation,cutout", strength: float = 1.0) -> Callable[[Images], Images]:
    """T(x) = cutout(translation(color(x))), the same T for reals and fakes (Zhao 2020, arXiv:2006.10738).

    * `color`: brightness + U(-1/2, 1/2), saturation * U(0, 2), contrast * U(1/2, 3/2). Saturation is the distance from
      the mean of the channels, and needs three of them: it is left out for any other number.
    * `translation`: by up to 1/8 of height and width, in whole pixels, zeros moving in.
    * `cutout`: a rectangle of half the height and width around a random point is set to zero.

    They are applied in the order in which `policy` names them. `strength` scales all ranges: 0 is the identity.

    >>> import torch
    >>> images = torch.ones(64, 1, 32, 32)
    >>> shown = diffaug("cutout")(images).mean(dim=(1, 2, 3))
    >>> bool((shown >= 0.75).all()), bool((shown == 0.75).any())  # never more than a quarter is cut
    (True, True)
    """
    parts = [PARTS[word] for word in check_words(policy, PARTS, "policy")]
    check_range(at_least=0, strength=strength)

    def augment(images: Images) -> Images:
        for part in parts if strength else ():
            images = part(images, strength)
        return images

    return augment


def color(images: Images, strength: float) -> Images:
    """x + U(-s/2, s/2), then each distance from grey by 1 + U(-s, s), each from the mean by 1 + U(-s/2, s/2)."""
    images = images + beside(images, uniform(-strength / 2, strength / 2, images))
    saturation, contrast = uniform(-strength, strength, images), uniform(-strength / 2, strength / 2, images)
    if images.shape[1] == 3:
        images = images + beside(images, saturation) * (images - images.mean(dim=1, keepdim=True))
    return images + beside(images, contrast) * (images - images.mean(dim=(1, 2, 3), keepdim=True))


def translation(images: Images, strength: float) -> Images:
    """y[i, j] = x[i - u, j - v], zero outside, u and v uniform on the whole numbers up to s/8 of height and width."""
    for dim in (2, 3):
        size = images.shape[dim]
        reach = _rounded(size * strength / 8)
        source = torch.arange(size, device=images.device) - _integers(-reach, reach, images)
        inside = _along(dim, (source >= 0) & (source < size))
        index = _along(dim, source.remainder(size)).expand_as(images)  # each pixel is read once: no sums in the slope
        images = images.gather(dim, index).masked_fill(~inside, 0.0)
    return images


def cutout(images: Images, strength: float) -> Images:
    """y = 0 on a rectangle of s/2 of height and width, which may cross the border; x elsewhere."""
    cut = torch.ones_like(images[:, :1], dtype=torch.bool)
    for dim in (2, 3):
        size = images.shape[dim]
        side = _rounded(size * strength / 2)
        start = _integers(0, size - side % 2, images) - side // 2
        place = torch.arange(size, device=images.device) - start
        cut = cut & _along(dim, (place >= 0) & (place < side))
    return images.masked_fill(cut, 0.0)


PARTS = {"color": color, "translation": translation, "cutout": cutout}


def _rounded(length: float) -> int:
    return int(length + 0.5)


def _integers(low: int, high: int, like: Tensor) -> Int[Tensor, "b 1"]:
    return torch.randint(low, high + 1, (len(like), 1), device=like.device)


def _along(dim: int, line: Shaped[Tensor, "b n"]) -> Shaped[Tensor, "b 1 _ _"]:
    return line[:, None, :, None] if dim == 2 else line[:, None, None, :]
