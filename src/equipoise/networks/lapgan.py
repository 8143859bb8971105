"""A pyramid of pairs: the coarsest makes a small image, each other one the details of the next (Denton 2015)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, pad

from ..checks import check_range
from ..labels import Labels
from ..layers.conditional import embedding
from ..numerics import without_autocast
from .chain import Chain
from .conditioning import Head, LabelMaps, Latents, check_labels
from .pair import Discriminator, Generator, Uniform
from .shape import Architecture, ImageShape

COARSEST = 8  # pixels of the shorter side of the smallest images
KERNEL = (1.0, 4.0, 6.0, 4.0, 1.0)


def lapgan(width: int = 64, g_hidden: int = 1200, d_hidden: int = 600, z_dim: int = 100) -> Architecture:
    """Fully connected at about 8x8, then small convolutions that add bands (Denton 2015, arXiv:1506.05751, App. A).

    Images are halved until the shorter side has at most 8 pixels. Networks of the levels are level_0, D_0, level_1,
    D_1... from the coarsest on; G is all generators together. A finer generator sees the doubled coarser image and a
    plane of noise, its discriminator images whose finest band is real or generated. For the game `pyramid`.
    """
    check_range(at_least=1, width=width, g_hidden=g_hidden, d_hidden=d_hidden, z_dim=z_dim)

    def build(shape: ImageShape) -> dict[str, nn.Module]:
        shapes = [shape._replace(height=height, width=columns) for height, columns in sizes(shape.height, shape.width)]
        first = coarsest_generator(shapes[0], g_hidden, z_dim)
        finer = [Details(finer, width) for finer in shapes[1:]]
        D = [coarsest_discriminator(shapes[0], d_hidden), *(discriminator(finer, width) for finer in shapes[1:])]
        nets: dict[str, nn.Module] = {"G": Pyramid(first, finer)}
        for level, (net, judge) in enumerate(zip([first, *finer], D, strict=True)):
            nets |= {f"level_{level}": net, f"D_{level}": judge}
        return nets

    return build


def sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Height and width of the images of each level, the coarsest first.

    >>> sizes(32, 48), sizes(28, 28)
    ([(8, 12), (16, 24), (32, 48)], [(7, 7), (14, 14), (28, 28)])
    """
    found = [(height, width)]
    while min(found[0]) > COARSEST:
        found.insert(0, (-(-found[0][0] // 2), -(-found[0][1] // 2)))
    return found


def coarsest_generator(shape: ImageShape, hidden: int, z_dim: int) -> Generator:
    """Two hidden layers, all fully connected; latent values are uniform in [-1, 1]."""
    latents, values = Latents(shape, z_dim, normalize="none"), shape.channels * shape.height * shape.width
    layers = [Uniform(), nn.Linear(latents.inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
    last = nn.Linear(hidden, values), nn.Tanh(), nn.Unflatten(1, (shape.channels, shape.height, shape.width))
    return Generator(latents, Chain(*layers, *last))


def coarsest_discriminator(shape: ImageShape, hidden: int) -> Discriminator:
    """Two hidden layers with dropout, all fully connected."""
    maps = LabelMaps(shape, shape.channels)
    values = maps.channels * shape.height * shape.width
    layers = [maps, nn.Flatten(), nn.Linear(values, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, hidden)]
    return Discriminator(shape, Chain(*layers, nn.ReLU(), nn.Dropout()), Head(shape, hidden))


def discriminator(shape: ImageShape, width: int) -> Discriminator:
    """Two convolutions of stride 2, dropout, one number for each image."""
    maps = LabelMaps(shape, shape.channels)
    layers = [maps, nn.Conv2d(maps.channels, width, 5, 2, 2), nn.ReLU(), nn.Conv2d(width, width, 5, 2, 2), nn.ReLU()]
    height, columns = (-(-side // 4) for side in (shape.height, shape.width))
    return Discriminator(shape, Chain(*layers, nn.Flatten(), nn.Dropout()), Head(shape, width * height * columns))


class Details(nn.Module):
    """(z, coarse, labels) -> the finest band of an image, from the coarser image in its size and a plane of noise."""

    def __init__(self, shape: ImageShape, width: int) -> None:
        super().__init__()
        self.size, self.labels, self.z_dim = (shape.height, shape.width), shape.labels, shape.height * shape.width
        self.embed = embedding(shape.labels, self.z_dim) if shape.labels else None
        inputs = shape.channels + 1 + bool(shape.labels)
        convs = nn.Conv2d(inputs, width, 5, 1, 2), nn.ReLU(), nn.Conv2d(width, width, 5, 1, 2), nn.ReLU()
        self.layers = nn.Sequential(*convs, nn.Conv2d(width, shape.channels, 5, 1, 2))
        self.uniform = Uniform()

    def forward(
        self, z: Float[Tensor, "b z"], coarse: Float[Tensor, "b c h w"], labels: Labels | None = None
    ) -> Float[Tensor, "b c h w"]:
        """What is added to the coarser image."""
        check_labels(self.labels, labels)
        vectors = [self.uniform(z), *([] if self.embed is None else [self.embed(labels)])]
        planes = [vector.to(coarse.dtype).unflatten(1, (1, *self.size)) for vector in vectors]
        band: Tensor = self.layers(torch.cat([coarse, *planes], dim=1))
        return band


class Pyramid(nn.Module):
    """(z, labels) -> images: the coarsest image, doubled and detailed again and again; z holds that of every level."""

    def __init__(self, first: Generator, finer: Sequence[Details]) -> None:
        super().__init__()
        self.first, self.finer = first, nn.ModuleList(finer)
        self.dims = [first.z_dim, *(details.z_dim for details in finer)]
        self.z_dim, self.sizes = sum(self.dims), [details.size for details in finer]

    def forward(self, z: Float[Tensor, "b z"], labels: Labels | None = None) -> Float[Tensor, "b c h w"]:
        """Images of the full size."""
        return self.levels(z, labels)[-1]

    def levels(self, z: Float[Tensor, "b z"], labels: Labels | None = None) -> list[Float[Tensor, "b c _ _"]]:
        """The images of every level, the coarsest first."""
        parts = z.split(self.dims, dim=1)
        images = [self.first(parts[0], labels)]
        for details, part, size in zip(self.finer, parts[1:], self.sizes, strict=True):
            coarse = doubled_smoothly(images[-1], size)
            images.append(coarse + details(part, coarse, labels))
        return images


def halved_smoothly(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Every second pixel of images that are blurred by [1 4 6 4 1] / 16 in both directions (Burt and Adelson 1983)."""
    with without_autocast(images):
        return conv2d(pad(images, (2, 2, 2, 2), mode="reflect"), kernel(images), stride=2, groups=images.shape[1])


def doubled_smoothly(images: Float[Tensor, "b c h w"], size: tuple[int, int]) -> Float[Tensor, "b c h2 w2"]:
    """The mirror of that: pixels with zeros between, blurred, of twice the size or one pixel less."""
    wide = pad(images, (1, 1, 1, 1), mode="replicate")
    with without_autocast(images):
        doubled = conv_transpose2d(wide, 4 * kernel(images), stride=2, padding=2, groups=images.shape[1])
    return doubled[:, :, 2 : 2 + size[0], 2 : 2 + size[1]]


def kernel(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "c 1 5 5"]:
    """The binomial kernel of unit sum, for each channel."""
    line = torch.tensor(KERNEL, dtype=images.dtype, device=images.device) / 16
    return torch.outer(line, line).expand(images.shape[1], 1, 5, 5)
