"""Packs the weights behind the `mobilenet` features in 8 bits, from the published ones as arrays, without a loss.

The arrays w00, b00, w01... are those of Google's mobilenet_v2_1.0_224 for TensorFlow Lite, in the graph's order:
weights as [out, height, width, in], those of depthwise convolutions as [1, height, width, channels]. They were
quantised: the values of an array are at most 256 neighbours among the multiples of one number.

python scripts/pack_mobilenet.py mobilenet_v2_imagenet.npz target.safetensors
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from equipoise.metrics.features import mobilenet_v2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("arrays", type=Path)
    parser.add_argument("target", type=Path, help=f"what comes along: {mobilenet_v2.WEIGHTS.name}")
    options = parser.parse_args()
    save_file(packed(options.arrays), options.target)
    print(f"{options.target.name}: {options.target.stat().st_size:,} bytes")


def packed(path: Path) -> dict[str, Tensor]:
    """The arrays by the names of our network's layers, which come in the same order."""
    with torch.device("meta"):
        net = mobilenet_v2.network()
    layers = {name: layer for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    tensors = {}
    with np.load(path) as arrays:
        weights = sorted(name for name in arrays.files if name.startswith("w"))
        for weight, (name, layer) in zip(weights, layers.items(), strict=True):
            parts = quantised(laid_out(arrays[weight], layer))
            tensors |= {f"{name}.weight{part}": tensor for part, tensor in parts.items()}
            tensors[f"{name}.bias"] = torch.from_numpy(arrays[weight.replace("w", "b")])
    return tensors


def laid_out(weight: np.ndarray, layer: nn.Module) -> Tensor:
    """[out, in, height, width] of [out, height, width, in] or, where each channel has its own, [1, ...]."""
    depthwise = getattr(layer, "groups", 1) > 1
    moved = torch.from_numpy(weight).permute((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
    return moved.reshape(layer.weight.shape).contiguous()


def quantised(weight: Tensor) -> dict[str, Tensor]:
    """q, zero and scale with weight = (q - zero) scale; the scale fits all values best, after a first guess."""
    values = weight.double().unique()
    scale = values.diff().min()
    for _ in range(3):
        multiples = (values / scale).round()
        scale = (values @ multiples) / (multiples @ multiples)
    zero = -multiples.min().float()
    q = (weight / scale.float() + zero).round()
    if q.max() > 255 or not torch.equal((q - zero) * scale.float(), weight):
        raise ValueError("these weights were not quantised to 8 bits")
    return {"": q.to(torch.uint8), ".zero": zero, ".scale": scale.float()}


if __name__ == "__main__":
    main()
