"""Differentiable augmentation (Zhao, Liu, Lin, Zhu and Han 2020)."""

from collections.abc import Sequence

import torch
from jaxtyping import Int, Shaped
from torch import Tensor, nn

from ..checks import check_choices, check_range
from ..schedules import Rate, at
from .draws import Images, beside, uniform


def diffaug(policy: str | Sequence[str] = ("color", "translation", "cutout"), strength: Rate = 1.0) -> "Diffaug":
    """T(x) = cutout(translation(color(x))), the same T for reals and fakes (Zhao 2020, arXiv:2006.10738).

    * `color`: brightness + U(-1/2, 1/2), saturation * U(0, 2), contrast * U(1/2, 3/2). Saturation is the distance from
      the mean of the channels, and needs three of them: it is left out for any other number.
    * `translation`: by up to 1/8 of height and width, in whole pixels, zeros moving in.
    * `cutout`: a rectangle of half the height and width around a random point is set to zero.

    They are applied in the order in which `policy` names them. `strength` scales all ranges, 0 is the identity; it may
    be a schedule, of which `follow_images` sets the value.

    >>> import torch
    >>> images = torch.ones(64, 1, 32, 32)
    >>> shown = diffaug("cutout")(images).mean(dim=(1, 2, 3))
    >>> bool((shown >= 0.75).all()), bool((shown == 0.75).any())  # never more than a quarter is cut
    (True, True)
    """
    check_range(at_least=0, strength=strength)
    return Diffaug(check_choices(policy, PARTS, "policy"), strength)


class Diffaug(nn.Module):
    """The parts of a policy, one after the other. See `diffaug`."""

    def __init__(self, policy: list[str], strength: Rate) -> None:
        super().__init__()
        self.policy, self.rate = policy, strength
        self.follow_images(0)

    def follow_images(self, seen: int) -> None:
        """Sets the strength to what it is after so many images."""
        self.strength = at(self.rate, seen)

    def forward(self, images: Images) -> Images:
        """The images as the discriminator is to see them."""
        for part in self.policy if self.strength else ():
            images = PARTS[part](images, self.strength)
        return images


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
        index = _along(dim, source.remainder(size)).expand_as(images)  # reads each pixel once
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
