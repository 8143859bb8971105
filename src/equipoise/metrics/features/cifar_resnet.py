"""ResNet-56 of CIFAR-10 (He et al. 2015, arXiv:1512.03385, sec. 4.2), as akamaster/pytorch_resnet_cifar10 trained it.

Its pooled 64 values are good features for CIFAR-10 and for nothing else; its test error is 6.61 per cent.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Real
from torch import Tensor, nn
from torch.nn.functional import pad

from ..full_precision import exact, frozen
from . import preprocess
from .batch_norm import folded
from .weight_files import WeightFile

FILE = WeightFile(
    {
        "resnet56-4bfd9763.th": "4bfd9763",
        "resnet56-4bfd9763.npz": "f222bdf1125caa30541208723397bf1b29cd1c875c2fb8e2afd36d6a2c2e0161",
    },
    "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models",
    "EQUIPOISE_RESNET56",
    "; the features builtin, mobilenet, random and pixels need no file",
)
SIZE, DIM, CLASSES, EPS = 32, 64, 10, 1e-5
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Block(nn.Module):
    """ReLU(x' + W_2 * ReLU(W_1 * x)), x' of every second pixel and with zeros for new channels (option A)."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1)
        self.stride, self.new = stride, (width - channels) // 2

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k a b"]:
        """Two convolutions beside the shortcut."""
        shortcut = pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.new, self.new))
        return (self.conv2(self.conv1(x).relu_()) + shortcut).relu_()


class ResNet56(nn.Module):
    """Images of 0 to 255 to 64 pooled activations; `linear` gives the logits of CIFAR-10's classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1)
        for stage, (channels, width) in enumerate([(16, 16), (16, 32), (32, 64)], 1):
            first = Block(channels, width, 1 if stage == 1 else 2)
            self.add_module(f"layer{stage}", nn.Sequential(first, *(Block(width, width, 1) for _ in range(8))))
        self.linear = nn.Linear(DIM, CLASSES)

    def forward(self, images: Real[Tensor, "n c h w"]) -> Float[Tensor, "n 64"]:
        """(x / 255 - mean) / deviation at 32x32, 27 blocks, the mean over space."""
        x = preprocess.standardised(preprocess.bilinear(preprocess.rgb(images), SIZE), MEAN, DEVIATION)
        x = self.conv1(x.contiguous(memory_format=torch.channels_last)).relu_()
        for stage in (1, 2, 3):
            x = self.get_submodule(f"layer{stage}")(x)
        return x.mean((2, 3))


def load(weights: str | None = None) -> ResNet56:
    """The network with its published weights, in evaluation mode; where they are sought: `WeightFile.find`."""
    with torch.device("meta"):
        net = ResNet56()
    net.load_state_dict(folded(read(FILE.find(weights)), EPS), assign=True)
    return frozen(net)


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of the published file, or of the same as arrays (npz), by the network's names; no code is run."""
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    state = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def logits(net: ResNet56, features: Float[Tensor, "n 64"]) -> Float[Tensor, "n 10"]:
    """W f + b: CIFAR-10's classes."""
    with exact(features.device):
        return net.linear.to(features.device)(features)
