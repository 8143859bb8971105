"""Layers that carry images between their own size and the grid that a network doubles or halves."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad


class CenterCrop(nn.Module):
    """Cuts the centre of the given height and width out of larger images."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Rows and columns that cannot be shared equally are cut below and to the right."""
        top, left = (x.shape[2] - self.height) // 2, (x.shape[3] - self.width) // 2
        return x[:, :, top : top + self.height, left : left + self.width]


class CenterPad(nn.Module):
    """Surrounds smaller images with zeros up to the given height and width: the mirror of `CenterCrop`."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Rows and columns that cannot be shared equally are added below and to the right."""
        rows, columns = self.height - x.shape[2], self.width - x.shape[3]
        return pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))


class ToMultiple(nn.Module):
    """A network for heights and widths that are multiples of a number, on images of any size: these are reflected.

    >>> ToMultiple(nn.Sequential(nn.AvgPool2d(8), nn.Upsample(scale_factor=8)), 8)(torch.zeros(1, 1, 5, 19)).shape
    torch.Size([1, 1, 5, 19])
    """

    def __init__(self, net: nn.Module, multiple: int) -> None:
        super().__init__()
        self.net, self.multiple = net, multiple

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h w"]:
        """Rows and columns are added below and to the right, and cut off again."""
        height, width = x.shape[2:]
        for dimension in (2, 3):
            x = reflected(x, dimension, -(-x.shape[dimension] // self.multiple) * self.multiple)
        return self.net(x)[:, :, :height, :width]


def reflected(x: Float[Tensor, "b c h w"], dimension: int, size: int) -> Float[Tensor, "b c h2 w2"]:
    """x up to this size, forth and back as often as it takes.

    >>> reflected(torch.arange(3.0).reshape(1, 1, 1, 3), 3, 7).flatten().tolist()
    [0.0, 1.0, 2.0, 1.0, 0.0, 1.0, 2.0]
    """
    last = x.shape[dimension] - 1
    if size == last + 1:
        return x
    there_and_back = torch.arange(size, device=x.device) % max(1, 2 * last)
    return x.index_select(dimension, last - (there_and_back - last).abs())
