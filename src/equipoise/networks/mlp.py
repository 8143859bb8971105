"""Fully connected networks, for toys and for data without space (Gulrajani 2017, arXiv:1704.00028, toy code)."""

from math import prod

from jaxtyping import Float
from torch import Tensor, nn

from .shape import Architecture, ImageShape, unconditional


def mlp(width: int = 512, depth: int = 3, z_dim: int = 128) -> Architecture:
    """`depth` hidden layers of `width` units with ReLU in both networks (Gulrajani 2017, arXiv:1704.00028)."""

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        unconditional("mlp", shape)
        return Generator(shape, width, depth, z_dim), Discriminator(shape, width, depth)

    return build


class Generator(nn.Module):
    """z -> hidden layers -> one tanh unit a value."""

    def __init__(self, shape: ImageShape, width: int, depth: int, z_dim: int) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.hidden = _hidden(z_dim, width, depth)
        self.out = nn.Sequential(nn.Linear(width, prod(shape[:3])), nn.Tanh(), nn.Unflatten(1, shape[:3]))

    def forward(self, z: Float[Tensor, "b z"], labels: None = None) -> Float[Tensor, "b c h w"]:
        """Images in [-1, 1]."""
        return self.out(self.hidden(z))


class Discriminator(nn.Module):
    """Flattened image -> hidden layers -> logit."""

    def __init__(self, shape: ImageShape, width: int, depth: int) -> None:
        super().__init__()
        self.features = _hidden(prod(shape[:3]), width, depth)
        self.last = nn.Linear(width, 1)

    def forward(self, images: Float[Tensor, "b c h w"], labels: None = None) -> Float[Tensor, "b"]:
        """One logit an image."""
        return self.last(self.features(images.flatten(1))).squeeze(1)


def _hidden(inputs: int, width: int, depth: int) -> nn.Sequential:
    sizes = [inputs] + [width] * depth
    return nn.Sequential(*(m for i, o in zip(sizes, sizes[1:], strict=False) for m in (nn.Linear(i, o), nn.ReLU())))
