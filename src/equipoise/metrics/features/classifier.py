"""The built-in classifier of Fashion-MNIST: a small network whose pooled vectors are the features `builtin`.

`scripts/train_classifier.py` makes its weights from the built-in images.
"""

import hashlib
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float, Real
from safetensors.torch import load_file
from torch import Tensor, nn

from ..full_precision import exact, rows
from . import preprocess

WEIGHTS = Path(__file__).with_name("fashion_classifier.safetensors")
SIZE, DIM, CLASSES = 28, 64, 10
RESIZER = "grey, antialiased bilinear to 28x28"


def network() -> nn.Sequential:
    """Five 3x3 convolutions with batch norm, two of stride 2, a pooled vector of 64, ten logits; `net[:-1]` is it."""
    blocks = [_block(1, 32), _block(32, 32, 2), _block(32, 64), _block(64, 128, 2), _block(128, DIM)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(DIM, CLASSES))


def scaled(images: Real[Tensor, "n c h w"]) -> Float[Tensor, "n 1 28 28"]:
    """x / 127.5 - 1 of the grey image at 28x28: what the network takes."""
    return preprocess.bilinear(preprocess.grey(images), SIZE) / 127.5 - 1


def embed(images: Real[Tensor, "n c h w"]) -> Float[Tensor, "n 64"]:
    """The pooled activations before the logits (the role that pool3 plays in Heusel et al. 2017, arXiv:1706.08500)."""
    return pretrained(images.device)[:-1](scaled(images))


def classify(images: Real[Tensor, "n c h w"]) -> Float[Tensor, "n 10"]:
    """p(class | image), the softmax of the built-in classifier's logits, in float32."""
    return logits(rows(embed, images)).softmax(1)


def logits(features: Float[Tensor, "n 64"]) -> Float[Tensor, "n 10"]:
    """W f + b of the pooled vectors: the network's last layer."""
    with exact(features.device):
        return pretrained(features.device)[-1](features)


@cache
def pretrained(device: torch.device) -> nn.Sequential:
    """The trained network in evaluation mode on a device; its file holds tensors only."""
    with torch.device("meta"):
        net = network()
    net.load_state_dict(dict(load_file(WEIGHTS)), assign=True)
    return net.to(device).eval().requires_grad_(False)


def digest() -> str:
    """SHA-256 of the weights' file."""
    return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()


def _block(channels: int, width: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())
