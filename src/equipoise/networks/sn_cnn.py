"""The standard CNN of SN-GAN (Miyato 2018, arXiv:1802.05957, Table 3)."""

from jaxtyping import Float
from torch import Tensor, nn

from .dcgan import initialize
from .shape import Architecture, ImageShape, crop, grid, pad, unconditional

LEVELS = 3  # doublings from the first grid to the image, whatever its size


def sn_cnn(g_width: int = 64, d_width: int = 64, z_dim: int = 128) -> Architecture:
    """Three transposed convolutions up, seven convolutions with leaky ReLU 0.1 down (Miyato 2018, Table 3).

    The generator has batch normalisation; the discriminator has none of its own: give it a norm. Many ports have wider
    discriminator layers than the paper's table, 5.9 M weights instead of 2.9 M; this is the table. Weights start from
    N(0, 0.02) like DCGAN's.
    """

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        unconditional("sn_cnn", shape)
        return Generator(shape, g_width, z_dim), Discriminator(shape, d_width)

    return build


class Generator(nn.Module):
    """z -> dense -> three doublings with batch normalisation -> 3x3 convolution -> tanh."""

    def __init__(self, shape: ImageShape, width: int, z_dim: int) -> None:
        super().__init__()
        self.z_dim = z_dim
        height, columns = grid(shape, LEVELS)
        top = 8 * width
        self.layers = nn.Sequential(nn.Linear(z_dim, top * height * columns), nn.Unflatten(1, (top, height, columns)))
        for inputs in (top, top // 2, top // 4):
            double = nn.ConvTranspose2d(inputs, inputs // 2, 4, 2, 1)
            self.layers.extend([double, nn.BatchNorm2d(inputs // 2), nn.ReLU()])
        self.layers.extend([nn.Conv2d(width, shape.channels, 3, 1, 1), nn.Tanh(), crop(shape, LEVELS)])
        self.apply(initialize)

    def forward(self, z: Float[Tensor, "b z"], labels: None = None) -> Float[Tensor, "b c h w"]:
        """Images in [-1, 1]."""
        return self.layers(z)


class Discriminator(nn.Module):
    """3x3 convolutions alternating with 4x4 convolutions that halve the grid -> dense."""

    def __init__(self, shape: ImageShape, width: int) -> None:
        super().__init__()
        height, columns = grid(shape, LEVELS)
        self.features = nn.Sequential(pad(shape, LEVELS), nn.Conv2d(shape.channels, width, 3, 1, 1), nn.LeakyReLU(0.1))
        for inputs in (width, 2 * width, 4 * width):
            halve, widen = nn.Conv2d(inputs, inputs, 4, 2, 1), nn.Conv2d(inputs, 2 * inputs, 3, 1, 1)
            self.features.extend([halve, nn.LeakyReLU(0.1), widen, nn.LeakyReLU(0.1)])
        self.features.append(nn.Flatten())
        self.last = nn.Linear(8 * width * height * columns, 1)
        self.apply(initialize)

    def forward(self, images: Float[Tensor, "b c h w"], labels: None = None) -> Float[Tensor, "b"]:
        """One logit an image."""
        return self.last(self.features(images)).squeeze(1)
