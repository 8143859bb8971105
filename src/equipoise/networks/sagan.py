"""SAGAN: SN-GAN's residual networks with self-attention (Zhang 2019, arXiv:1805.08318)."""

from torch import nn

from ..checks import check_range
from .conditioning import Latents
from .shape import Architecture, ImageShape, levels_to
from .sn_resnet import Attention, discriminator, generator, table

LARGEST = 32  # side of the map with attention: best in the paper's study


def sagan(g_scale: float = 1.0, d_scale: float = 1.0, z_dim: int = 128, pooled: bool = True) -> Architecture:
    """SN-GAN's residual networks, each with attention at a 32x32 map (Zhang 2019, arXiv:1805.08318, Sec. 4).

    In smaller images the map is that of half their size. Give spectral normalisation to both networks. `pooled` keys
    and values are the authors' code, which made the results; the paper's text has them unpooled.
    """
    check_range(above=0, g_scale=g_scale, d_scale=d_scale)

    def build(shape: ImageShape) -> tuple[nn.Module, nn.Module]:
        g, d, halvings = table(shape).scaled(g_scale, d_scale)
        down = max(1, levels_to(shape, LARGEST))  # halvings from the image to the map
        G = generator(shape, g, Latents(shape, z_dim), Attention(len(g) - 1 - down, pooled))
        return G, discriminator(shape, d, halvings, attention=Attention(down, pooled))

    return build
