"""MobileNetV2 of ImageNet, 1.0 wide (Sandler et al. 2018, arXiv:1801.04381), whose weights come along.

They are Google's published ones, of 8 bits and with batch norm folded in, under the Apache licence 2.0 beside them;
`scripts/pack_mobilenet.py` makes the file.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float, Real
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import pad, relu6

from ..full_precision import exact, frozen
from . import preprocess

WEIGHTS = Path(__file__).with_name("mobilenet_v2.safetensors")
DIM, CLASSES, STRIDE = 1280, 1001, 32
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class Convolution(nn.Conv2d):
    """W * x + b; stride 2 takes even sides and pads below and on the right only, as TensorFlow's SAME does."""

    def __init__(self, channels: int, width: int, kernel: int = 1, stride: int = 1, groups: int = 1):
        super().__init__(channels, width, kernel, stride, kernel // 2 if stride == 1 else 0, groups=groups)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k a b"]:
        """One convolution of the graph."""
        return super().forward(x if self.stride == (1, 1) else pad(x, (0, 1, 0, 1)))


class Clipped(Convolution):
    """min(max(W * x + b, 0), 6)."""

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k a b"]:
        """One convolution with the activation after it."""
        return relu6(super().forward(x), inplace=True)


class InvertedResidual(nn.Sequential):
    """[x +] project(depthwise(expand(x))), x where the shapes agree (arXiv:1801.04381, sec. 3.3)."""

    def __init__(self, channels: int, width: int, stride: int, expansion: int):
        inner = channels * expansion
        expand = [Clipped(channels, inner)] if expansion > 1 else []
        super().__init__(*expand, Clipped(inner, inner, 3, stride, groups=inner), Convolution(inner, width))
        self.residual = stride == 1 and channels == width

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k a b"]:
        """The block, with its shortcut."""
        return x + super().forward(x) if self.residual else super().forward(x)


def network() -> nn.Sequential:
    """Convolution, 17 inverted residuals, convolution, the mean over space, 1001 logits; `net[:-1]` is the vector."""
    layers: list[nn.Module] = [Clipped(3, 32, 3, 2)]
    channels = 32
    for expansion, width, repeats, stride in STAGES:
        for step in (stride, *[1] * (repeats - 1)):
            layers.append(InvertedResidual(channels, width, step, expansion))
            channels = width
    return nn.Sequential(
        *layers, Clipped(channels, DIM), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(DIM, CLASSES)
    )


def embed(images: Real[Tensor, "n c h w"], size: int) -> Float[Tensor, "n 1280"]:
    """The pooled activations of x / 127.5 - 1 at size x size, a multiple of 32."""
    x = preprocess.bilinear(preprocess.rgb(images), size) / 127.5 - 1
    return pretrained(images.device)[:-1](x.contiguous(memory_format=torch.channels_last))


def logits(features: Float[Tensor, "n 1280"]) -> Float[Tensor, "n 1001"]:
    """W f + b of the pooled vectors: ImageNet's classes, after one for the background."""
    with exact(features.device):
        return pretrained(features.device)[-1](features)


@cache
def pretrained(device: torch.device) -> nn.Sequential:
    """The trained network on a device, in float32; its file holds tensors only."""
    with torch.device("meta"):
        net = network()
    net.load_state_dict(unpacked(load_file(WEIGHTS)), assign=True)
    return frozen(net).to(device)


def unpacked(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """W = (q - zero) scale of 8-bit q, exactly the published values (Jacob et al. 2017, arXiv:1712.05877, eq. 1)."""
    tensors = {name: tensor for name, tensor in packed.items() if name.endswith(".bias")}
    for name in (name for name in packed if name.endswith(".weight")):
        tensors[name] = (packed[name].float() - packed[f"{name}.zero"]) * packed[f"{name}.scale"]
    return tensors


def digest() -> str:
    """SHA-256 of the weights' file."""
    return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
