"""Images of any kind, as the network that looks at them expects: channels, then size, each a pure function.

Values are 0 to 255, of any dtype; between grey levels too, and gradients flow through.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Real
from torch import Tensor
from torch.nn.functional import interpolate

from ...checks import check_choice

LUMA = (0.299, 0.587, 0.114)


def opaque(images: Real[Tensor, "n c h w"]) -> Float[Tensor, "n colours h w"]:
    """x a + 255 (1 - a): two or four channels end in alpha and are laid over white; others only become floats."""
    if images.shape[1] not in (2, 4):
        return images.float()
    colours, alpha = images[:, :-1].float(), images[:, -1:].float() / 255
    return colours * alpha + 255 * (1 - alpha)


def grey(images: Real[Tensor, "n c h w"]) -> Float[Tensor, "n 1 h w"]:
    """0.299 R + 0.587 G + 0.114 B (ITU-R BT.601) for colours, the mean for any other number of channels."""
    colours = opaque(images)
    if colours.shape[1] != 3:
        return colours.mean(1, keepdim=True)
    return (colours * colours.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def rgb(images: Real[Tensor, "n c h w"]) -> Float[Tensor, "n 3 h w"]:
    """Three channels: colours as they are, anything else its grey repeated."""
    return opaque(images) if images.shape[1] in (3, 4) else grey(images).expand(-1, 3, -1, -1)


def bilinear(images: Float[Tensor, "n c h w"], size: int) -> Float[Tensor, "n c size size"]:
    """Bilinear with half-pixel centres; when it shrinks, the triangle widens so that nothing aliases."""
    if images.shape[-2:] == (size, size):
        return images
    return interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)


def clean(images: Float[Tensor, "n c h w"], size: int) -> Float[Tensor, "n c size size"]:
    """Antialiased bicubic, a = -1/2, clipped to 0..255: Pillow's of float32 (Parmar et al. 2022, arXiv:2104.11222)."""
    resized = interpolate(images, (size, size), mode="bicubic", align_corners=False, antialias=True)
    return resized.clamp(0, 255)


def tensorflow_bilinear(images: Float[Tensor, "n c h w"], size: int) -> Float[Tensor, "n c size size"]:
    """source = target * (old / new), without half-pixel centres (TensorFlow 1, `resize_bilinear`): the FID graph's.

    >>> tensorflow_bilinear(torch.tensor([[[[0., 1.], [2., 3.]]]]), 4)[0, 0, 0].tolist()
    [0.0, 0.5, 1.0, 1.0]
    """
    if images.shape[-2:] == (size, size):
        return images
    down, across = (_between(old, size).to(images.device) for old in images.shape[-2:])
    return down @ images @ across.T


def standardised(
    images: Float[Tensor, "n c h w"], mean: tuple[float, ...], deviation: tuple[float, ...]
) -> Float[Tensor, "n c h w"]:
    """(x / 255 - mean) / deviation of each channel."""
    m, s = (images.new_tensor(values).view(1, -1, 1, 1) for values in (mean, deviation))
    return (images / 255 - m) / s


RESIZERS = {
    "tensorflow": (tensorflow_bilinear, "TensorFlow 1 bilinear to {0}x{0}, no antialiasing"),
    "clean": (clean, "antialiased bicubic to {0}x{0}"),
    "bilinear": (bilinear, "antialiased bilinear to {0}x{0}"),
}


def resizer(name: str) -> Callable[[Tensor, int], Tensor]:
    """The function (images, size) -> images of that name; raises ValueError for an unknown one."""
    check_choice(name, [*RESIZERS], f"there is no resizer {name!r}")
    return RESIZERS[name][0]


def described(name: str, size: int) -> str:
    """What a resizer does, in words."""
    return RESIZERS[name][1].format(size)


def _between(old: int, new: int) -> Float[Tensor, "new old"]:
    """The weights of old values in new ones: the share of a step that lies between goes to the later one."""
    source, rows = torch.arange(new) * (old / new), torch.arange(new)
    low = source.long().clamp(max=old - 1)
    weights = torch.zeros(new, old)
    weights[rows, low] = 1 - (source - low)
    weights[rows, (low + 1).clamp(max=old - 1)] += source - low
    return weights
