"""Doubling and halving together with a 3x3 convolution, in one 4x4 convolution with 4/9 of the multiplications."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, pad


class DoubleThenConvolve(nn.Conv2d):
    """conv3(double(x)), each pixel doubled, as one transposed convolution with the sum of four shifted kernels."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, 1, 1, bias=bias)

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h2 w2"]:
        """Twice the height and width."""
        kernel = four_shifted(self.weight.flip(2, 3)).transpose(0, 1)
        return conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)


class ConvolveThenHalve(nn.Conv2d):
    """avg_pool2d(conv3(x), 2) as one convolution of stride 2 with the mean of four shifted kernels."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, 1, 1, bias=bias)

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h2 w2"]:
        """Half the height and width."""
        return conv2d(x, four_shifted(self.weight) / 4, self.bias, stride=2, padding=1)


def four_shifted(kernel: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "o i 4 4"]:
    """The sum of the kernel at the four places that it has in a larger one."""
    rows = pad(kernel, (0, 0, 0, 1)) + pad(kernel, (0, 0, 1, 0))
    return pad(rows, (0, 1)) + pad(rows, (1, 0))
