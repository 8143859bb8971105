"""Networks from images to images, and discriminators of patches (Isola 2017, arXiv:1611.07004; Zhu 2017).

All are convolutional: built for one size, they take images of any other.
"""

from math import log2
from typing import cast

from jaxtyping import Float
from torch import Tensor, cat, nn

from ..checks import check_range
from ..labels import Labels
from ..layers import InstanceNorm, ToMultiple
from .chain import Chain, Residual
from .conditioning import check_labels, feature_norm
from .init import normal
from .shape import Architecture, ImageShape

MOST = 8  # times the first width
BLOCKS, FEWER_BLOCKS, LARGE = 9, 6, 256  # residual blocks, and from how many pixels on there are more
DEPTH = 8  # halvings in a U-Net
WITH_DROPOUT = range(4, DEPTH - 1)  # levels
PATCH_LEVELS = 3  # halvings of a patch discriminator, whose logits then see 70x70 pixels


def cyclegan(
    g_width: int = 64,
    d_width: int = 64,
    blocks: int | None = None,
    g_feature_norm: str = "instance",
    d_feature_norm: str = "instance",
) -> Architecture:
    """G_ab, G_ba: halved twice, residual blocks; D_a, D_b: logits of 70x70 patches (Zhu 2017, arXiv:1703.10593, App.).

    Nine blocks from 256 pixels on, six below, unless `blocks` says. Weights from N(0, 0.02).
    """
    check_range(at_least=1, g_width=g_width, d_width=d_width, blocks=1 if blocks is None else blocks)

    def build(shape: ImageShape) -> dict[str, nn.Module]:
        check_unlabelled(shape)
        usual = BLOCKS if min(shape.height, shape.width) >= LARGE else FEWER_BLOCKS
        generators = {
            name: resnet(shape.channels, g_width, blocks or usual, g_feature_norm) for name in ("G_ab", "G_ba")
        }
        discriminators = {name: patches(shape, shape.channels, d_width, d_feature_norm) for name in ("D_a", "D_b")}
        return {name: normal(net) for name, net in {**generators, **discriminators}.items()}

    return build


def pix2pix(
    g_width: int = 64,
    d_width: int = 64,
    g_feature_norm: str = "batch",
    d_feature_norm: str = "batch",
    dropout: float = 0.5,
) -> Architecture:
    """G: a U-Net; D: logits of 70x70 patches of input and output together (Isola 2017, arXiv:1611.07004, Sec. 6.1).

    Halved eight times at 256 pixels and above, less often below, with dropout where the authors' code has it, which is
    the only noise: a trained generator is a function of its input. Weights from N(0, 0.02).
    """
    check_range(at_least=1, g_width=g_width, d_width=d_width)
    check_range(at_least=0, below=1, dropout=dropout)

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        check_unlabelled(shape)
        G = unet(shape, g_width, g_feature_norm, dropout)
        return normal(G), normal(patches(shape, 2 * shape.channels, d_width, d_feature_norm))

    return build


class Translator(nn.Module):
    """images -> images of the same size, whatever it is."""

    def __init__(self, layers: nn.Module, multiple: int) -> None:
        super().__init__()
        self.layers = ToMultiple(layers, multiple)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Images in [-1, 1]."""
        return cast(Tensor, self.layers(images))


class PatchDiscriminator(nn.Module):
    """images -> a map of logits, one for each patch: a chain of layers to features, and a convolution."""

    def __init__(self, features: Chain, last: nn.Module) -> None:
        super().__init__()
        self.features, self.last = features, last

    def forward(
        self, images: Float[Tensor, "b c h w"], labels: Labels | None = None
    ) -> Float[Tensor, "b rows columns"]:
        """A map per image."""
        return cast(Tensor, self.last(self.features(images))).squeeze(1)


class Skip(nn.Module):
    """[x, F(x)]: the input of a level beside what the levels below make of it."""

    def __init__(self, below: nn.Module) -> None:
        super().__init__()
        self.below = below

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h w"]:
        """Twice the channels."""
        return cat([x, self.below(x)], dim=1)


def resnet(channels: int, width: int, blocks: int, normalize: str) -> Translator:
    """c7-w, d2w, d4w, residual blocks, u2w, uw, c7-channels, tanh; reflected edges."""
    top = 4 * width
    layers = [nn.ReflectionPad2d(3), *normalised(nn.Conv2d(channels, width, 7, bias=False), normalize), nn.ReLU()]
    for inputs in (width, 2 * width):
        layers += [*normalised(nn.Conv2d(inputs, 2 * inputs, 3, 2, 1, bias=False), normalize), nn.ReLU()]
    layers += [residual(top, normalize) for _ in range(blocks)]
    for inputs in (top, 2 * width):
        up = nn.ConvTranspose2d(inputs, inputs // 2, 3, 2, 1, output_padding=1, bias=False)
        layers += [*normalised(up, normalize), nn.ReLU()]
    return Translator(Chain(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), nn.Tanh()), 4)


def residual(width: int, normalize: str) -> Residual:
    """x + two 3x3 convolutions with reflected edges."""
    convolve = lambda: [nn.ReflectionPad2d(1), *normalised(nn.Conv2d(width, width, 3, bias=False), normalize)]
    return Residual(Chain(*convolve(), nn.ReLU(), *convolve()), nn.Identity())


def unet(shape: ImageShape, width: int, normalize: str, dropout: float) -> Translator:
    """4x4 convolutions of stride 2 down to a few pixels and up again, each level with what came down beside it."""
    levels = min(DEPTH, int(log2(min(shape.height, shape.width))))
    sizes = [min(2**level, MOST) * width for level in range(levels)]
    inner: nn.Module = nn.Identity()
    for level in reversed(range(1, levels)):
        lowest, outer, here = level == levels - 1, sizes[level - 1], sizes[level]
        down = normalised(nn.Conv2d(outer, here, 4, 2, 1, bias=False), normalize)[: 1 if lowest else 2]
        up = normalised(nn.ConvTranspose2d(here if lowest else 2 * here, outer, 4, 2, 1, bias=False), normalize)
        noise = [nn.Dropout(dropout)] * (level in WITH_DROPOUT and not lowest)
        inner = Skip(Chain(nn.LeakyReLU(0.2), *down, inner, nn.ReLU(), *up, *noise))
    first = normalised(nn.Conv2d(shape.channels, width, 4, 2, 1, bias=False), normalize)[:1]
    last = nn.ConvTranspose2d(2 * width, shape.channels, 4, 2, 1)
    return Translator(Chain(*first, inner, nn.ReLU(), last, nn.Tanh()), 2**levels)


def patches(shape: ImageShape, channels: int, width: int, normalize: str) -> PatchDiscriminator:
    """4x4 convolutions, of stride 2 while three pixels are left, three times at most; then two of stride 1."""
    levels = max(1, min(PATCH_LEVELS, int(log2(min(shape.height, shape.width) / 3))))
    sizes = [min(2**level, MOST) * width for level in range(levels + 1)]
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    for level, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False), 1):
        halve = nn.Conv2d(inputs, outputs, 4, 2 if level < levels else 1, 1, bias=False)
        layers += [*normalised(halve, normalize), nn.LeakyReLU(0.2)]
    return PatchDiscriminator(Chain(*layers), nn.Conv2d(sizes[-1], 1, 4, 1, 1))


def normalised(convolution: nn.Conv2d | nn.ConvTranspose2d, normalize: str) -> list[nn.Module]:
    """The convolution and a normalisation; one without biases of its own leaves them to the convolution."""
    outputs = convolution.out_channels
    norm = InstanceNorm(outputs, affine=False) if normalize == "instance" else feature_norm(normalize, outputs)
    if not [*norm.parameters()]:
        convolution.register_parameter("bias", nn.Parameter(convolution.weight.new_zeros(outputs)))
    return [convolution, norm]


def check_unlabelled(shape: ImageShape) -> None:
    """Raises ValueError for labels, of which a translation has none."""
    check_labels(None, None if not shape.labels else cast(Labels, shape.labels.example(1)))
