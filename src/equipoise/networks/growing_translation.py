"""CycleGAN's networks with levels, so that a translation is learnt from coarse to fine."""

from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from ..checks import check_range
from ..layers import ToMultiple
from .chain import Chain
from .growing import GrowingDecoder, GrowingEncoder
from .init import normal
from .shape import Architecture, ImageShape
from .translation import PatchDiscriminator, check_unlabelled, normalised, residual

SLOPE = 0.2


def growing_cyclegan(
    g_width: int = 64,
    d_width: int = 64,
    blocks: int = 6,
    levels: int = 3,
    g_feature_norm: str = "instance",
    d_feature_norm: str = "instance",
) -> Architecture:
    """CycleGAN's networks (Zhu 2017, arXiv:1703.10593) that grow as those of Karras 2018 (arXiv:1710.10196).

    Each level but the first halves and doubles the images once more, to and from RGB at each; the residual blocks are
    on the first grid, at three levels a quarter of the image as in the paper. With `--growth progressive`; whole images
    of any size once grown. Weights from N(0, 0.02).
    """
    check_range(at_least=1, g_width=g_width, d_width=d_width, blocks=blocks, levels=levels)

    def build(shape: ImageShape) -> dict[str, nn.Module]:
        check_unlabelled(shape)
        first = -(-shape.height // 2 ** (levels - 1)), -(-shape.width // 2 ** (levels - 1))
        wider = [2 ** (levels - 1 - level) for level in range(levels)]
        g_widths, d_widths = [g_width * times for times in wider], [d_width * times for times in wider]
        G = lambda: GrowingTranslator(*halves(shape, first, g_widths, blocks, g_feature_norm))
        D = lambda: discriminator(shape, first, d_widths, d_feature_norm)
        return {name: normal(make()) for name, make in (("G_ab", G), ("G_ba", G), ("D_a", D), ("D_b", D))}

    return build


class GrowingTranslator(nn.Module):
    """images -> images of the same size: those of a level while it grows, then of any size."""

    def __init__(self, encoder: GrowingEncoder, decoder: GrowingDecoder) -> None:
        super().__init__()
        self.encoder, self.layers = encoder, ToMultiple(Chain(encoder, decoder), 2 ** (encoder.levels - 1))

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Images in [-1, 1]."""
        return cast(Tensor, (self.layers.net if self.encoder.grows else self.layers)(images))


def halves(
    shape: ImageShape, first: tuple[int, int], widths: list[int], blocks: int, normalize: str
) -> tuple[GrowingEncoder, GrowingDecoder]:
    """Down to the residual blocks, and up again."""
    down: list[nn.Module] = [Chain(*(residual(widths[0], normalize) for _ in range(blocks)))]
    up: list[nn.Module] = [nn.Identity()]
    for coarse, fine in zip(widths, widths[1:], strict=False):
        halve = nn.Conv2d(fine, coarse, 3, 2, 1, bias=False)
        double = nn.ConvTranspose2d(coarse, fine, 3, 2, 1, output_padding=1, bias=False)
        down.append(Chain(*normalised(halve, normalize), nn.ReLU()))
        up.append(Chain(*normalised(double, normalize), nn.ReLU()))
    into = lambda width: normalised(nn.Conv2d(shape.channels, width, 7, bias=False), normalize)
    from_images = [Chain(nn.ReflectionPad2d(3), *into(width), nn.ReLU()) for width in widths]
    out = lambda width: nn.Conv2d(width, shape.channels, 7)
    to_images = [Chain(nn.ReflectionPad2d(3), out(width), nn.Tanh()) for width in widths]
    return GrowingEncoder(down, from_images, first), GrowingDecoder(up, to_images, first)


def discriminator(shape: ImageShape, first: tuple[int, int], widths: list[int], normalize: str) -> PatchDiscriminator:
    """Halved once a level, then two 4x4 convolutions: a map of logits."""
    last = nn.Conv2d(widths[0], widths[0], 4, 1, 1, bias=False)
    blocks = [Chain(*normalised(last, normalize), nn.LeakyReLU(SLOPE))]
    for coarse, fine in zip(widths, widths[1:], strict=False):
        halve = nn.Conv2d(fine, coarse, 4, 2, 1, bias=False)
        blocks.append(Chain(*normalised(halve, normalize), nn.LeakyReLU(SLOPE)))
    from_images = [Chain(nn.Conv2d(shape.channels, width, 3, 1, 1), nn.LeakyReLU(SLOPE)) for width in widths]
    return PatchDiscriminator(Chain(GrowingEncoder(blocks, from_images, first)), nn.Conv2d(widths[0], 1, 4, 1, 1))
