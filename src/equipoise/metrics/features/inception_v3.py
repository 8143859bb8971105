"""TensorFlow's Inception of 2015-12-05, whose pooled activations define the FID (Szegedy et al. 2015, 1512.00567).

The modules carry the names of the file that mseitzer/pytorch-fid releases. Three things differ from the network of the
paper, all of them the graph's: averages leave the padding out, the last block takes a maximum where the others average,
and images are resized without half-pixel centres.

For speed each batch norm is folded into its convolution, the memory is channels last (in which averages alone are ten
times as fast on a CPU), and averages are taken after the 1x1 convolution with which they commute. What is left
are convolutions at the processor's peak: joining those of 1x1, or ReLU with its convolution, gains nothing.
"""

import torch
from jaxtyping import Float, Real
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d

from ..full_precision import exact, frozen
from . import preprocess
from .batch_norm import folded
from .weight_files import WeightFile

FILE = WeightFile(
    {"pt_inception-2015-12-05-6726825d.pth": "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"},
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights",
    "EQUIPOISE_INCEPTION",
    "; the features builtin, mobilenet, random and pixels need no file",
)
SIZE, DIM, CLASSES, EPS = 299, 2048, 1008, 1e-3
MIXED = ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")


class Convolution(nn.Conv2d):
    """ReLU(W * x + b); stride 1 keeps the size unless `valid`, stride 2 takes whole windows only."""

    def __init__(self, channels: int, width: int, kernel: int | tuple[int, int], stride: int = 1, valid: bool = False):
        sides = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        padding = (0, 0) if valid or stride > 1 else (sides[0] // 2, sides[1] // 2)
        super().__init__(channels, width, sides, stride, padding)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k a b"]:
        """One convolution of the graph."""
        return super().forward(x).relu_()


class Averaged(nn.Conv2d):
    """ReLU(W mean(x) + b), mean over 3x3, computed as ReLU(mean(W x + b)): the mean is of fewer channels then."""

    def __init__(self, channels: int, width: int):
        super().__init__(channels, width, 1)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h w"]:
        """An average that leaves the padding out, and a 1x1 convolution."""
        return avg_pool2d(super().forward(x), 3, 1, 1, count_include_pad=False).relu_()


class MixedA(nn.Module):
    """Inception with 5x5 (arXiv:1512.00567, fig. 5): Mixed_5b to 5d."""

    def __init__(self, channels: int, pool: int):
        super().__init__()
        self.branch1x1 = Convolution(channels, 64, 1)
        self.branch5x5_1 = Convolution(channels, 48, 1)
        self.branch5x5_2 = Convolution(48, 64, 5)
        self.branch3x3dbl_1 = Convolution(channels, 64, 1)
        self.branch3x3dbl_2 = Convolution(64, 96, 3)
        self.branch3x3dbl_3 = Convolution(96, 96, 3)
        self.branch_pool = Averaged(channels, pool)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h w"]:
        """1x1, 5x5, 3x3 twice, average."""
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(x)], 1)


class MixedB(nn.Module):
    """Halves the grid (arXiv:1512.00567, fig. 10): Mixed_6a."""

    def __init__(self, channels: int):
        super().__init__()
        self.branch3x3 = Convolution(channels, 384, 3, 2)
        self.branch3x3dbl_1 = Convolution(channels, 64, 1)
        self.branch3x3dbl_2 = Convolution(64, 96, 3)
        self.branch3x3dbl_3 = Convolution(96, 96, 3, 2)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k a b"]:
        """3x3, 3x3 twice, maximum."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, max_pool2d(x, 3, 2)], 1)


class MixedC(nn.Module):
    """Inception with 7x7 as 1x7 and 7x1 (arXiv:1512.00567, fig. 6): Mixed_6b to 6e."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.branch1x1 = Convolution(channels, 192, 1)
        self.branch7x7_1 = Convolution(channels, width, 1)
        self.branch7x7_2 = Convolution(width, width, (1, 7))
        self.branch7x7_3 = Convolution(width, 192, (7, 1))
        self.branch7x7dbl_1 = Convolution(channels, width, 1)
        self.branch7x7dbl_2 = Convolution(width, width, (7, 1))
        self.branch7x7dbl_3 = Convolution(width, width, (1, 7))
        self.branch7x7dbl_4 = Convolution(width, width, (7, 1))
        self.branch7x7dbl_5 = Convolution(width, 192, (1, 7))
        self.branch_pool = Averaged(channels, 192)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h w"]:
        """1x1, 7x7, 7x7 twice, average."""
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(x)], 1)


class MixedD(nn.Module):
    """Halves the grid again: Mixed_7a."""

    def __init__(self, channels: int):
        super().__init__()
        self.branch3x3_1 = Convolution(channels, 192, 1)
        self.branch3x3_2 = Convolution(192, 320, 3, 2)
        self.branch7x7x3_1 = Convolution(channels, 192, 1)
        self.branch7x7x3_2 = Convolution(192, 192, (1, 7))
        self.branch7x7x3_3 = Convolution(192, 192, (7, 1))
        self.branch7x7x3_4 = Convolution(192, 192, 3, 2)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k a b"]:
        """3x3, 7x7 then 3x3, maximum."""
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), self.branch7x7x3_4(seven), max_pool2d(x, 3, 2)], 1)


class MixedE(nn.Module):
    """Inception with widened ends (arXiv:1512.00567, fig. 7): Mixed_7b, and Mixed_7c, which takes the maximum."""

    def __init__(self, channels: int, maximum: bool):
        super().__init__()
        self.maximum = maximum
        self.branch1x1 = Convolution(channels, 320, 1)
        self.branch3x3_1 = Convolution(channels, 384, 1)
        self.branch3x3_2a = Convolution(384, 384, (1, 3))
        self.branch3x3_2b = Convolution(384, 384, (3, 1))
        self.branch3x3dbl_1 = Convolution(channels, 448, 1)
        self.branch3x3dbl_2 = Convolution(448, 384, 3)
        self.branch3x3dbl_3a = Convolution(384, 384, (1, 3))
        self.branch3x3dbl_3b = Convolution(384, 384, (3, 1))
        self.branch_pool = Convolution(channels, 192, 1) if maximum else Averaged(channels, 192)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 2048 h w"]:
        """1x1, 3x3 split in two, 3x3 twice split in two, average or maximum."""
        single, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        three = [self.branch3x3_2a(single), self.branch3x3_2b(single)]
        wide = [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        pooled = self.branch_pool(max_pool2d(x, 3, 1, 1) if self.maximum else x)
        return torch.cat([self.branch1x1(x), *three, *wide, pooled], 1)


class Inception(nn.Module):
    """Images of 0 to 255 to 2048 pooled activations; `fc` gives the logits of 1008 classes."""

    def __init__(self, resizer: str = "tensorflow") -> None:
        super().__init__()
        self.resize = preprocess.resizer(resizer)
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3, valid=True)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3, valid=True)
        mixed = [MixedA(192, 32), MixedA(256, 64), MixedA(288, 64), MixedB(288)]
        mixed += [MixedC(768, width) for width in (128, 160, 160, 192)]
        mixed += [MixedD(768), MixedE(1280, maximum=False), MixedE(2048, maximum=True)]
        for name, block in zip(MIXED, mixed, strict=True):
            self.add_module(f"Mixed_{name}", block)
        self.fc = nn.Linear(DIM, CLASSES)

    def forward(self, images: Real[Tensor, "n c h w"]) -> Float[Tensor, "n 2048"]:
        """(x - 128) / 128 at 299x299, the convolutions in their dtype, the mean over space: pool3 of the graph."""
        x = (self.resize(preprocess.rgb(images), SIZE) - 128) / 128
        x = self.Conv2d_1a_3x3(x.to(self.Conv2d_1a_3x3.weight.dtype, memory_format=torch.channels_last))
        x = max_pool2d(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(x)), 3, 2)
        x = max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, 2)
        for name in MIXED:
            x = self.get_submodule(f"Mixed_{name}")(x)
        return x.float().mean((2, 3))


def load(weights: str | None = None, resizer: str = "tensorflow", precision: torch.dtype = torch.float32) -> Inception:
    """The network with its published weights, in evaluation mode; where they are sought: `WeightFile.find`."""
    with torch.device("meta"):
        net = Inception(resizer)
    published = torch.load(FILE.find(weights), weights_only=True, map_location="cpu")
    tensors = {name.replace(".conv.", "."): tensor for name, tensor in folded(published, EPS).items()}
    net.load_state_dict(tensors, assign=True)
    for name, part in net.named_children():
        part.to(torch.float32 if name == "fc" else precision)
    return frozen(net)


def logits(net: Inception, features: Float[Tensor, "n 2048"]) -> Float[Tensor, "n 1008"]:
    """W f without the bias: what the Inception score is computed from (Salimans et al. 2016, arXiv:1606.03498)."""
    with exact(features.device):
        return features @ net.fc.weight.to(features.device).T
