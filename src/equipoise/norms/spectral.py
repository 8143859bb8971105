"""Spectral normalisation (Miyato, Kataoka, Koyama and Yoshida 2018, arXiv:1802.05957)."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from ..checks import check_choice, check_range
from ..numerics import wide
from ..weights import row, rows_of, unflat
from . import fast
from .operator import OperatorSpectral
from .parametrization import Norm, PowerIteration, Settings, norm_by, unit


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
    leaves the layer without a Lipschitz bound.

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

    def parametrization_of(layer: nn.Module) -> nn.Module:
        if kind == "operator" and not isinstance(layer, nn.Linear | nn.Embedding):
            return OperatorSpectral(layer, settings)
        return Spectral(layer, settings)

    return norm_by(parametrization_of)


class Spectral(PowerIteration):
    """The parametrization W -> W / sigma(W), A = W as a matrix; u [outputs], v in the shape of one row of W."""

    def __init__(self, layer: nn.Module, settings: Settings) -> None:
        super().__init__(settings)
        weight, self.rows = layer.get_parameter("weight").detach(), rows_of(layer)
        matrix = wide(self.rows.matrix(weight))
        v = torch.empty_like(matrix[:1]) if self.rows.groups else torch.empty_like(weight[:1], dtype=matrix.dtype)
        self.start(weight, unit(torch.randn_like(matrix[:, 0])), v)

    def transform(self, v: Tensor, weight: Tensor) -> Tensor:
        """W v."""
        return torch.mv(self.rows.matrix(weight), row(v))

    def adjoint(self, u: Tensor, weight: Tensor) -> Tensor:
        """W' u."""
        return unflat(torch.mv(self.rows.matrix(weight).mT, u)[None], self.v)

    def forward(self, weight: Tensor) -> Tensor:
        """The same as without the fast path, to rounding."""
        normalised = fast.normalised(fast.Source(self, self.rows, weight))
        return super().forward(weight) if normalised is None else normalised


@torch.no_grad()
def advance(net: nn.Module) -> None:
    """v <- A'u / |A'u|, u <- A v / |A v|, once, for every spectrally normalised weight of `net`, whatever its mode.

    For an EMA generator: it is in eval mode, where u and v rest, while its weights move. Its u and v follow them by one
    call after each update, where those of the generator that is trained would belong to other weights.

    >>> layer = spectral()(nn.Linear(6, 4)).eval()
    >>> _ = nn.init.orthogonal_(layer.parametrizations.weight.original, gain=3)
    >>> advance(layer)
    >>> round(torch.linalg.matrix_norm(layer.weight, 2).item(), 4)
    1.0
    """
    chains = (module for module in net.modules() if isinstance(module, ParametrizationList))
    iterated = [(chain[0], chain.original) for chain in chains if isinstance(chain[0], PowerIteration)]
    matrices = [fast.Source(one, one.rows, weight) for one, weight in iterated if isinstance(one, Spectral)]
    done = {source.spectral for source in fast.advance(matrices)}
    for one, weight in iterated:
        if one not in done:
            one.advance(weight)
