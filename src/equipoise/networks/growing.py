"""Networks that grow: a decoder and an encoder with levels, each of twice the height and width of the one before."""

from abc import ABC
from collections.abc import Iterator, Sequence
from math import ceil, floor

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pad

from ..growth import Growth
from ..layers import CenterCrop
from .chain import Conditional, passed

FEWEST, MOST = 3, 7  # pixels of the shorter side of a first grid


class Growing(Conditional, ABC):
    """A part of a network that has levels, of which those up to `level` are used.

    `level` is a real number: at 2.3 there are images of the fourth level, 30 per cent of them, the rest of the third,
    doubled. Checkpoints keep it. Images have their full size, except in training mode with a `growth`, which sets
    the level: then they have the size of the level, a grid that has grown by whole doublings.
    `training.steps` calls `follow_images` once a round, and games show real images as `shown` gives them; a loop of
    your own does both.
    """

    def __init__(self, first: tuple[int, int], levels: int) -> None:
        super().__init__()
        self.first, self.levels = first, levels
        self.level = float(levels - 1)
        self.growth: Growth | None = None

    @property
    def sides(self) -> tuple[int, ...]:
        """The shorter side of the images of each level."""
        return tuple(min(self.first) << level for level in range(self.levels))

    def follow_images(self, seen: int) -> None:
        """Sets the level to what it is after so many images."""
        if self.growth is not None:
            self.level = self.growth.level(seen, self.sides)

    @property
    def grows(self) -> bool:
        """Whether images are those of a level now."""
        return self.training and self.growth is not None

    @property
    def between(self) -> tuple[int, int, float]:
        """The last whole level, the one that is shown, and how much of that has faded in: 0 where they are one."""
        below = floor(self.level)
        return below, ceil(self.level), self.level - below

    def grid(self, level: int) -> tuple[int, int]:
        """Height and width of the images of a level."""
        return self.first[0] << level, self.first[1] << level

    def at_level(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Images of the full size as this level has them: means of 2x2 pixels, again and again, blended alike.

        Around images that are no whole grid stand copies of their edges.
        """
        _, level, fade = self.between
        rows, columns = (-side % 2 ** (self.levels - 1) for side in images.shape[2:])
        if rows or columns:
            sides = columns // 2, columns - columns // 2, rows // 2, rows - rows // 2
            images = pad(images, sides, mode="replicate")
        images = halved(images, self.levels - 1 - level)
        return torch.lerp(doubled(halved(images)), images, fade) if fade else images

    def whole(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Images of this level on the grid of the last one, no sharper than they are."""
        return doubled(images, self.levels - 1 - ceil(self.level))

    def get_extra_state(self) -> float:
        """What checkpoints keep besides weights."""
        return self.level

    def set_extra_state(self, state: float) -> None:
        """Takes over the level of a checkpoint."""
        self.level = state


class GrowingDecoder(Growing):
    """Features -> images: block after block, each but the first of which doubles the grid, and a layer to images.

    While a level fades in, its images are mixed with the doubled ones of the level below. Whole images are cut to the
    height and width `size`, where it is given.
    """

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        to_images: Sequence[nn.Module],
        first: tuple[int, int],
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(first, len(blocks))
        self.size = size
        self.blocks, self.to_images = nn.ModuleList(blocks), nn.ModuleList(to_images)

    def forward(self, x: Float[Tensor, "b *features"], condition: Tensor | None = None) -> Float[Tensor, "b c h w"]:
        """Images of the level that is shown, doubled to their full size where the network does not grow now."""
        below, level, fade = self.between
        for block in self.blocks[: below + 1]:
            x = passed(block, x, condition)
        images = self.to_images[below](x)
        if fade:
            fine = self.to_images[level](passed(self.blocks[level], x, condition))
            images = torch.lerp(doubled(images), fine, fade)
        return images if self.grows else self.whole(images)

    def whole(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Images of this level in their full size, no sharper than they are."""
        on_grid = super().whole(images)
        return on_grid if self.size is None else CenterCrop(*self.size)(on_grid)


class GrowingEncoder(Growing):
    """Images -> features: a layer from images, and block after block, each of which halves the grid.

    The first block, which comes last, does with the smallest grid whatever it likes. While a level fades in, its
    features are mixed with those of the halved images on the level below.
    """

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        from_images: Sequence[nn.Module],
        first: tuple[int, int],
    ) -> None:
        super().__init__(first, len(blocks))
        self.blocks, self.from_images = nn.ModuleList(blocks), nn.ModuleList(from_images)

    def forward(self, images: Float[Tensor, "b c h w"], condition: Tensor | None = None) -> Float[Tensor, "b *rest"]:
        """The features of images."""
        (below, level, fade), images = self.between, images if self.grows else self.at_level(images)
        if self.grows and images.shape[2:] != self.grid(level):
            level_has = f"images at level {self.level:g} have {self.grid(level)} pixels, not {(*images.shape[2:],)}"
            raise ValueError(f"{level_has}: hand real ones to networks.growing.shown first")
        x = self.from_images[level](images)
        if fade:
            coarse = self.from_images[below](halved(images))
            x = torch.lerp(coarse, passed(self.blocks[level], x, condition), fade)
        for block in reversed(self.blocks[: below + 1]):
            x = passed(block, x, condition)
        return x


def growing(net: nn.Module) -> Iterator[Growing]:
    """The parts of a network that have levels."""
    return (part for part in net.modules() if isinstance(part, Growing))


def shown(net: nn.Module, images: Float[Tensor, "b *shape"]) -> Float[Tensor, "b *shape2"]:
    """Real images as a network is to see them now: those of a level, where it grows."""
    part = next(growing(net), None)
    return images if part is None or not part.grows else part.at_level(images)


def first_grid(height: int, width: int) -> tuple[tuple[int, int], int]:
    """A first grid and how many levels lead from it to an image: as few pixels as can be, and many levels.

    The shorter side of the grid has 3 to 7 pixels.

    >>> first_grid(1024, 1024), first_grid(96, 128), first_grid(64, 80), first_grid(28, 28), first_grid(100, 100)
    (((4, 4), 9), ((3, 4), 6), ((4, 5), 5), ((7, 7), 3), ((7, 7), 5))
    """
    grids = [((-(-height // 2**n), -(-width // 2**n)), n + 1) for n in range(max(height, width).bit_length())]
    fitting = [found for found in grids if FEWEST <= min(found[0]) <= MOST]
    return min(fitting, key=lambda found: (found[0][0] * found[0][1] * 4 ** (found[1] - 1), -found[1]))


def halved(images: Float[Tensor, "b c h w"], times: int = 1) -> Float[Tensor, "b c h2 w2"]:
    """Means of 2x2 pixels."""
    return avg_pool2d(images, 1 << times) if times else images


def doubled(images: Float[Tensor, "b c h w"], times: int = 1) -> Float[Tensor, "b c h2 w2"]:
    """Each pixel four times."""
    return interpolate(images, scale_factor=1 << times, mode="nearest") if times else images
