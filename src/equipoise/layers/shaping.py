"""Layers that carry images between their own size and the grid that a network doubles or halves."""

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
