"""The deep convolutional pair (Radford, Metz and Chintala 2016, arXiv:1511.06434)."""

from jaxtyping import Float
from torch import Tensor, nn

from .shape import Architecture, ImageShape, crop, grid, levels_to, pad, unconditional


def dcgan(g_width: int = 64, d_width: int = 64, z_dim: int = 100) -> Architecture:
    """Strided 4x4 convolutions with batch norm, ReLU up and leaky ReLU 0.2 down (Radford 2016, arXiv:1511.06434).

    From a grid of about 4x4; one level more for each doubling of the image. The paper's figure has width 128, the code
    64. Weights start from N(0, 0.02).
    """

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        unconditional("dcgan", shape)
        return Generator(shape, g_width, z_dim), Discriminator(shape, d_width)

    return build


class Generator(nn.Module):
    """z -> grid -> transposed convolutions that halve the channels and double the grid -> tanh."""

    def __init__(self, shape: ImageShape, width: int, z_dim: int) -> None:
        super().__init__()
        self.z_dim = z_dim
        levels = levels_to(shape, smallest=4)
        sizes = [width << level for level in reversed(range(levels))]
        first = nn.ConvTranspose2d(z_dim, sizes[0], grid(shape, levels), bias=False)
        self.layers = nn.Sequential(nn.Unflatten(1, (z_dim, 1, 1)), first, nn.BatchNorm2d(sizes[0]), nn.ReLU())
        for inputs, outputs in zip(sizes, sizes[1:], strict=False):
            double = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)
            self.layers.extend([double, nn.BatchNorm2d(outputs), nn.ReLU()])
        last = nn.ConvTranspose2d(width, shape.channels, 4, 2, 1, bias=False)
        self.layers.extend([last, nn.Tanh(), crop(shape, levels)])
        self.apply(initialize)

    def forward(self, z: Float[Tensor, "b z"], labels: None = None) -> Float[Tensor, "b c h w"]:
        """Images in [-1, 1]."""
        return self.layers(z)


class Discriminator(nn.Module):
    """Strided convolutions that double the channels and halve the grid, then one convolution over the grid."""

    def __init__(self, shape: ImageShape, width: int) -> None:
        super().__init__()
        levels = levels_to(shape, smallest=4)
        sizes = [width << level for level in range(levels)]
        first = nn.Conv2d(shape.channels, width, 4, 2, 1, bias=False)
        self.features = nn.Sequential(pad(shape, levels), first, nn.LeakyReLU(0.2))
        for inputs, outputs in zip(sizes, sizes[1:], strict=False):
            halve = nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)
            self.features.extend([halve, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)])
        self.last = nn.Conv2d(sizes[-1], 1, grid(shape, levels), bias=False)
        self.apply(initialize)

    def forward(self, images: Float[Tensor, "b c h w"], labels: None = None) -> Float[Tensor, "b"]:
        """One logit an image."""
        return self.last(self.features(images)).flatten()


def initialize(module: nn.Module) -> None:
    """Weights from N(0, 0.02), gains of batch normalisation from N(1, 0.02), biases 0 (Radford 2016, Sec. 4)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
