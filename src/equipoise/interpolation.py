"""Interpolation between points."""

import torch
from jaxtyping import Float
from torch import Tensor

Points = Float[Tensor, "*#b z"]
PARALLEL = 1e-6  # sine of the angle below which the arc is a line


def lerp(a: Points, b: Points, t: Float[Tensor, "*#b"]) -> Float[Tensor, "*b z"]:
    """(1 - t) a + t b."""
    return torch.lerp(a, b, t[..., None].to(a.dtype))


def slerp(a: Points, b: Points, t: Float[Tensor, "*#b"]) -> Float[Tensor, "*b z"]:
    """(sin((1 - t) w) a + sin(t w) b) / sin w, w the angle between them (Shoemake 1985; White 2016, arXiv:1609.04468).

    Equal steps are equal angles, and points of one norm keep it. Parallel or opposite points and the origin, between
    which lies no arc or no single one, are joined by a line.

    >>> slerp(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0]), torch.tensor([0.0, 1 / 3]))
    tensor([[2.0000, 0.0000],
            [1.7321, 1.0000]])
    """
    x, y, s = a.double(), b.double(), t[..., None].double()
    u, v = (torch.nn.functional.normalize(point, dim=-1) for point in (x, y))
    angle = 2 * torch.atan2((u - v).norm(dim=-1, keepdim=True), (u + v).norm(dim=-1, keepdim=True))
    arc = (((1 - s) * angle).sin() * x + (s * angle).sin() * y) / angle.sin()
    straight = (angle.sin() < PARALLEL) | ((u.norm(dim=-1, keepdim=True) * v.norm(dim=-1, keepdim=True)) < 0.5)
    return torch.where(straight, torch.lerp(x, y, s), arc).to(a.dtype)


INTERPOLATIONS = {"spherical": slerp, "linear": lerp}
