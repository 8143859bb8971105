"""Weight initialisation."""

from math import sqrt
from typing import TypeVar

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..layers import ConditionalBatchNorm, SelfModulation
from ..layers.conditional import VectorEmbedding

Net = TypeVar("Net", bound=nn.Module)


def glorot(layer: Net, gain: float = 1.0) -> Net:
    """Uniform weights of variance 2 gain^2 / (fan in + fan out), biases 0 (Glorot and Bengio 2010)."""
    nn.init.xavier_uniform_(layer.get_parameter("weight"), gain)
    return without_bias(layer)


def he(layer: Net, gain: float = sqrt(2)) -> Net:
    """Normal weights of standard deviation gain / sqrt(fan in), biases 0 (He 2015, arXiv:1502.01852)."""
    weight = layer.get_parameter("weight")
    nn.init.normal_(weight, 0.0, gain / sqrt(weight[0].numel()))
    return without_bias(layer)


def without_bias(layer: Net) -> Net:
    """The layer with a bias of 0, where it has one."""
    if getattr(layer, "bias", None) is not None:
        nn.init.zeros_(layer.get_parameter("bias"))
    return layer


def normal(net: Net) -> Net:
    """Weights from N(0, 0.02), gains of batch normalisation from N(1, 0.02), biases 0 (Radford 2016, Sec. 4).

    Normalisations conditioned on labels or latent vectors, and embeddings of vectors, keep their own initialisation.
    """
    for child in net.children():
        if not isinstance(child, ConditionalBatchNorm | SelfModulation | VectorEmbedding):
            normal(child)
    if isinstance(net, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(net.weight, 0.0, 0.02)
        without_bias(net)
    elif isinstance(net, _BatchNorm) and net.affine:
        nn.init.normal_(net.weight, 1.0, 0.02)
        nn.init.zeros_(net.bias)
    return net


def orthogonal(net: Net) -> Net:
    """Orthogonal weights, biases 0 (Saxe 2014, arXiv:1312.6120; Brock 2019, arXiv:1809.11096, App. C).

    Normalisations conditioned on labels or latent vectors keep their own initialisation.
    """
    for child in net.children():
        if not isinstance(child, ConditionalBatchNorm | SelfModulation):
            orthogonal(child)
    if isinstance(net, nn.Conv2d | nn.Linear | nn.Embedding):
        nn.init.orthogonal_(net.weight)
        without_bias(net)
    return net
