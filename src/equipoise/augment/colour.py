"""Brightness, contrast and rotations of the colour space, one draw of each per sample."""

from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

from .draws import Chance, Images, Numbers, beside, normal, perhaps, uniform

Mixing = Float[Tensor, "b 3 3"]


def recolour(images: Images, p: Chance) -> Images:
    """2^N(0, 1/4) (x + N(0, 1/25)), then luma flip, hue, saturation, each with probability p (Karras 2020, App. B).

    The last three turn the colours around the grey axis and so need three channels: they are left out for any other
    number.
    """
    shift, exponent = perhaps(p, normal(0.2, images)), perhaps(p, normal(0.5, images))
    changed = (shift != 0) | (exponent != 0)
    result = (images + beside(images, shift)) * beside(images, exponent.exp2())
    if images.shape[1] == 3:
        flip, hue = perhaps(p, uniform(0.0, 2.0, images).floor()), perhaps(p, uniform(-pi, pi, images))
        vividness = perhaps(p, normal(1.0, images))
        matrix = mixing(1 - 2 * flip, hue, vividness.exp2())
        changed = changed | (flip != 0) | (hue != 0) | (vividness != 0)
        result = torch.einsum("bij,bjhw->bihw", matrix.to(images.dtype), result)
    return torch.where(changed[:, None, None, None], result, images)


def mixing(luma: Numbers, hue: Numbers, saturation: Numbers) -> Mixing:
    """l J + s (cos(h) (I - J) + sin(h) K): J projects on grey (1, 1, 1), K turns by a right angle around it.

    This is the product, in any order, of luma l, rotation of the hue by h and saturation s.

    >>> matrix = mixing(torch.ones(1), torch.full((1,), 2 * pi / 3), torch.ones(1))  # a third of the colour circle
    >>> (matrix[0] @ torch.tensor([1.0, 0.0, 0.0])).round(decimals=3).abs()  # red has become green
    tensor([0., 1., 0.])
    """
    grey = torch.full((3, 3), 1 / 3, device=hue.device)
    right_angle = torch.eye(3, device=hue.device).roll(1, dims=0)
    right_angle = (right_angle - right_angle.T) / 3**0.5
    around = (
        hue.cos()[:, None, None] * (torch.eye(3, device=hue.device) - grey) + hue.sin()[:, None, None] * right_angle
    )
    return luma[:, None, None] * grey + saturation[:, None, None] * around
