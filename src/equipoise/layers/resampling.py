"""Doubling and halving together with a 3x3 convolution, in one 4x4 convolution with 4/9 of the multiplications."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, interpolate, pad


def double(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Nearest-neighbour upsampling by two."""
    return interpolate(x, scale_factor=2, mode="nearest")


def double_then_convolve(x: Float[Tensor, "b i h w"], convolution: nn.Conv2d) -> Float[Tensor, "b o h2 w2"]:
    """conv3(double(x)) as one transposed convolution of stride 2, whose kernel is the sum of four shifted ones."""
    _check(convolution)
    kernel = _four_shifted(convolution.weight.flip(2, 3)).transpose(0, 1)
    return conv_transpose2d(x, kernel, convolution.bias, stride=2, padding=1)


def convolve_then_halve(x: Float[Tensor, "b i h w"], convolution: nn.Conv2d) -> Float[Tensor, "b o h2 w2"]:
    """avg_pool2d(conv3(x), 2) as one convolution of stride 2, whose kernel is the mean of four shifted ones."""
    _check(convolution)
    return conv2d(x, _four_shifted(convolution.weight) / 4, convolution.bias, stride=2, padding=1)


def _check(convolution: nn.Conv2d) -> None:
    wanted = {"kernel_size": (3, 3), "padding": (1, 1), "stride": (1, 1), "dilation": (1, 1), "groups": 1}
    if (
        any(getattr(convolution, name) != value for name, value in wanted.items())
        or convolution.padding_mode != "zeros"
    ):
        raise ValueError(f"only a plain 3x3 convolution with padding 1 can be merged, not {convolution}")


def _four_shifted(kernel: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "o i 4 4"]:
    rows = pad(kernel, (0, 0, 0, 1)) + pad(kernel, (0, 0, 1, 0))
    return pad(rows, (0, 1)) + pad(rows, (1, 0))
