"""Spectral normalisation (Miyato, Kataoka, Koyama and Yoshida 2018, arXiv:1802.05957)."""

from typing import Literal

from torch import nn

from ..checks import check_choice, check_range
from ..weights import rows_of
from .operator import OperatorSpectral
from .power import Settings
from .registering import Norm, check, register
from .reshaped import Spectral


def spectral(
    iterations: int = 1,
    kind: Literal["reshaped", "operator"] = "reshaped",
    scale: Literal["fixed", "learned"] = "fixed",
    update: Literal["forward", "step"] = "forward",
) -> Norm:
    """W / sigma(W), sigma = u' W v by persistent power iteration (Miyato 2018, arXiv:1802.05957, Alg. 1).

    Each forward in training mode takes `iterations` steps, v <- W'u / |W'u| and u <- Wv / |Wv|, where W is the weight
    as a matrix [outputs, rest]; with `update="step"` only the first forward after a gradient has come to the weight
    does. u and v are kept between forwards, stay as they are in eval mode, are saved with the module, and are constants
    for the gradient: dL/dW = (G - <G, W/sigma> u v') / sigma (Eq. 12).

    For a convolution `kind="reshaped"` bounds that matrix as the paper does, not the operator, whose norm can be larger
    by up to the square root of the kernel's area; `kind="operator"` iterates with the convolution itself (stride,
    padding and transposition included) on images of the input's size, and so sets the true norm, at the price of two
    convolutions of one image. `scale="learned"` multiplies by a trained number that starts at sigma (App. E), which
    leaves the layer without a bound.

    >>> import torch
    >>> layer = spectral(iterations=50)(nn.Linear(6, 4))
    >>> round(torch.linalg.matrix_norm(layer.weight, 2).item(), 4)
    1.0
    """
    check_range(at_least=1, iterations=iterations)
    check_choice(kind, ["reshaped", "operator"], f"kind cannot be {kind!r}")
    check_choice(scale, ["fixed", "learned"], f"scale cannot be {scale!r}")
    check_choice(update, ["forward", "step"], f"update cannot be {update!r}")
    settings = Settings(iterations, learned=scale == "learned", per_step=update == "step")

    def normalise(layer: nn.Module) -> nn.Module:
        check(layer)
        if kind == "operator" and not isinstance(layer, nn.Linear | nn.Embedding):
            return register(layer, OperatorSpectral(layer, settings))
        return register(layer, Spectral(layer.get_parameter("weight"), rows_of(layer), settings))

    return normalise
