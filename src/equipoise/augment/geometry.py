"""Affine maps of the plane and images seen through them.

Points are in pixels from the middle of the image, x to the right and y down. A matrix says where each pixel of the
result is read, so that reading through A and then through B is reading through A B.
"""

from math import pi
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample

from .draws import Chance, Images, Numbers, normal, perhaps, uniform

Maps = Float[Tensor, "b 3 3"]
Grid = Float[Tensor, "b h w 2"]


def blits(images: Images, p: Chance) -> Maps:
    """Mirror image, quarter turns and whole-pixel shifts by up to 1/8, each with probability p (Karras 2020, App. B).

    They move pixels without mixing them.
    """
    height, width = images.shape[2:]
    mirrored = 1 - 2 * perhaps(p, uniform(0.0, 2.0, images).floor())
    angle = perhaps(p, uniform(0.0, 4.0, images).floor()) * (pi / 2)
    moved = torch.rand_like(mirrored) < p
    right, down = ((moved * uniform(-size / 8, size / 8, images)).round() for size in (width, height))
    quarter = turn(angle).round()  # the cosine of a right angle is not quite 0
    return through(stretch(mirrored, torch.ones_like(mirrored)), quarter, shift(right, down))


def deformations(images: Images, p: Chance) -> Maps:
    """Scale 2^N(0, 0.2^2), rotation, stretch 2^N(0, 0.2^2), shift N(0, 1/8^2), each with probability p (ibid.).

    One rotation before the stretch and one after it, each with probability 1 - sqrt(1 - p), so that there is at least
    one with probability p.
    """
    height, width = images.shape[2:]
    once = 1 - (1 - p).clamp(min=0).sqrt()
    larger = torch.exp2(perhaps(p, normal(0.2, images)))
    before, after = (perhaps(once, uniform(-pi, pi, images)) for _ in range(2))
    wider = torch.exp2(perhaps(p, normal(0.2, images)))
    moved = torch.rand_like(larger) < p
    right, down = (moved * normal(size / 8, images) for size in (width, height))
    return through(
        stretch(1 / larger, 1 / larger), turn(before), stretch(1 / wider, wider), turn(after), shift(right, down)
    )


def shift(right: Numbers, down: Numbers) -> Maps:
    """(x, y) -> (x + right, y + down)."""
    zero, one = torch.zeros_like(right), torch.ones_like(right)
    return _matrix(one, zero, right, zero, one, down, zero, zero, one)


def stretch(across: Numbers, along: Numbers) -> Maps:
    """(x, y) -> (across x, along y)."""
    zero, one = torch.zeros_like(across), torch.ones_like(across)
    return _matrix(across, zero, zero, zero, along, zero, zero, zero, one)


def turn(angle: Numbers) -> Maps:
    """(x, y) -> (x cos a - y sin a, x sin a + y cos a)."""
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    return _matrix(angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero, zero, zero, one)


def through(first: Maps, *rest: Maps) -> Maps:
    """A B C...: the product, not left to a matrix unit that would round to ten bits."""
    for matrix in rest:
        first = (first[:, :, :, None] * matrix[:, None]).sum(dim=2)
    return first


def warp(images: Images, maps: Maps) -> Images:
    """y(q) = x(A q), bilinear, the image mirrored at its borders; where A is the identity, x to the bit."""
    moved = (maps != torch.eye(3, device=maps.device)).flatten(1).any(dim=1)
    return torch.where(moved[:, None, None, None], _Read.apply(images, _grid(images, maps)), images)


def _grid(images: Images, maps: Maps) -> Grid:
    """Where each pixel is read, in units of half the image's width and height."""
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    y = torch.arange(height, device=images.device)[:, None] - (height - 1) / 2
    a, b, right, c, d, down = maps[:, :2].flatten(1)[..., None, None].unbind(dim=1)
    points = ((a * x + b * y + right) * (2 / width), (c * x + d * y + down) * (2 / height))
    return torch.stack(points, dim=-1).to(images.dtype)


class _Read(torch.autograd.Function):
    """y = A x by bilinear sampling. With `_Write`, its transpose, it has derivatives of any order with respect to x.

    That of torch's own sampling has no derivative in older versions (pytorch issue 34704).
    """

    @staticmethod
    def forward(ctx: Any, images: Images, grid: Grid) -> Images:
        ctx.save_for_backward(grid)
        return grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)

    @staticmethod
    def backward(ctx: Any, gradient: Images) -> tuple[Images, None]:
        return _Write.apply(gradient, *ctx.saved_tensors), None


class _Write(torch.autograd.Function):
    """x = A' y; the images themselves do not matter, only their shape."""

    @staticmethod
    def forward(ctx: Any, gradient: Images, grid: Grid) -> Images:
        ctx.save_for_backward(grid)
        bilinear, reflection, align_corners, wanted = 0, 2, False, (True, False)
        return torch.ops.aten.grid_sampler_2d_backward(
            gradient, torch.empty_like(gradient), grid, bilinear, reflection, align_corners, wanted
        )[0]

    @staticmethod
    def backward(ctx: Any, gradient: Images) -> tuple[Images, None]:
        return _Read.apply(gradient, *ctx.saved_tensors), None


def _matrix(*entries: Numbers) -> Maps:
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))
