"""Batch norm in evaluation mode is a scale and a shift: part of the convolution before it."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn.utils.fusion import fuse_conv_bn_weights

NORM = ("running_mean", "running_var", "weight", "bias")


def folded(published: Mapping[str, Tensor], eps: float) -> dict[str, Tensor]:
    """W g / s and b - m g / s, s = sqrt(v + eps), of each `conv` and its `bn` (g, b, m, v); other tensors as they are.

    `a.conv1.weight` goes with `a.bn1.*` and becomes `a.conv1.weight` and `a.conv1.bias`.
    """
    tensors = {name: tensor for name, tensor in published.items() if not {"conv", "bn"} & _kinds(name)}
    for key in (name for name in published if "conv" in _kinds(name)):
        name = key.removesuffix(".weight")
        norm = name[: (at := name.rindex("conv"))] + name[at:].replace("conv", "bn")
        mean, variance, scale, shift = (published[f"{norm}.{part}"] for part in NORM)
        weight, bias = fuse_conv_bn_weights(published[key], None, mean, variance, eps, scale, shift)
        tensors |= {f"{name}.weight": weight, f"{name}.bias": bias}
    return tensors


def _kinds(name: str) -> set[str]:
    return {part.rstrip("0123456789") for part in name.split(".")}
