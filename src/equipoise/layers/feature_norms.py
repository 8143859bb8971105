"""Normalisation of each sample by itself, without the rest of the batch."""

from jaxtyping import Float
from torch import Tensor, nn

from ..checks import check_range
from ..numerics import wide


class PixelNorm(nn.Module):
    """x / sqrt(mean_c x^2 + eps), at every pixel (Karras 2018, arXiv:1710.10196, Sec. 4.2).

    Latent vectors too: they then have norm sqrt(channels).

    >>> import torch
    >>> x = PixelNorm()(torch.randn(2, 512))
    >>> round(x[0].norm().item() ** 2)
    512
    """

    def __init__(self, eps: float = 1e-8) -> None:
        super().__init__()
        check_range(at_least=0, eps=eps)
        self.eps = eps

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Mean square 1 over the channels."""
        power = wide(x).square().mean(1, keepdim=True)
        return x * (power + self.eps).rsqrt().to(x.dtype)


class LayerNorm(nn.GroupNorm):
    """gain_c (x - mean) / std + bias_c, moments over all of c, h and w of a sample (Ba 2016, arXiv:1607.06450).

    One gain and one bias per channel, as in the discriminators of Gulrajani 2017 (arXiv:1704.00028); none without
    `affine`. No sample depends on another, so a gradient penalty on each sample stays well defined.
    """

    def __init__(self, channels: int, affine: bool = True, eps: float = 1e-5) -> None:
        check_range(at_least=1, channels=channels)
        super().__init__(1, channels, eps=eps, affine=affine)


class InstanceNorm(nn.InstanceNorm2d):
    """gain_c (x - mean_c) / std_c + bias_c, moments over h and w of a sample (Ulyanov 2016, arXiv:1607.08022).

    The same in training and evaluation; no gain and bias without `affine`.
    """

    def __init__(self, channels: int, affine: bool = True, eps: float = 1e-5) -> None:
        check_range(at_least=1, channels=channels)
        super().__init__(channels, eps=eps, affine=affine)
