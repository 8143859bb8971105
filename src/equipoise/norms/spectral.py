"""Spectral normalisation (Miyato, Kataoka, Koyama and Yoshida 2018, arXiv:1802.05957)."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

EPS = 1e-12  # keeps weights that are all zero what they are
WARM_UP = 15  # iterations at the start, so that sigma is right from the first forward on


def spectral(iterations: int = 1) -> Callable[[nn.Module], nn.Module]:
    """W / sigma(W), sigma = u' W v by persistent power iteration (Miyato 2018, arXiv:1802.05957, Alg. 1).

    Each forward in training mode takes `iterations` steps, v <- W'u / |W'u| and u <- Wv / |Wv|, where W is the weight
    as a matrix [outputs, rest]. u and v are kept between forwards, stay as they are in eval mode, are saved with the
    module, and are constants for the gradient: dL/dW = (G - <G, W/sigma> u v') / sigma (Eq. 12). For a convolution
    this bounds the reshaped matrix as in the paper, not the operator, whose norm can be larger by up to the kernel's
    width.
    """
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, not {iterations}")

    def normalise(layer: nn.Module) -> nn.Module:
        if is_parametrized(layer, "weight"):
            raise ValueError(f"the weight of this {type(layer).__name__} is normalised already")
        transposed = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
        weight: Tensor = layer.get_parameter("weight")
        return register_parametrization(layer, "weight", Spectral(weight, iterations, int(transposed)))

    return normalise


class Spectral(nn.Module):
    """The parametrization W -> W / sigma(W); `output_dim` is the weight's dimension of outputs."""

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, iterations: int, output_dim: int) -> None:
        super().__init__()
        self.iterations, self.output_dim = iterations, output_dim
        with torch.no_grad():
            matrix = self.matrix(weight)
            self.register_buffer("u", normalize(torch.randn_like(matrix[:, 0]), dim=0))
            self.register_buffer("v", normalize(matrix.mT @ self.u, dim=0))
            self.iterate(matrix, WARM_UP)

    def forward(self, weight: Tensor) -> Tensor:
        """The normalised weight; iterates first when in training mode."""
        with torch.autocast(weight.device.type, enabled=False):
            matrix = self.matrix(weight)
            if self.training:
                self.iterate(matrix.detach(), self.iterations)
            sigma = torch.dot(self.u.clone(), matrix @ self.v.clone())
            return weight / sigma.clamp(min=EPS)

    def matrix(self, weight: Tensor) -> Float[Tensor, "outputs rest"]:
        """The weight as a matrix, one row an output, channels last (which is a view of a channels-last weight)."""
        return weight.movedim(self.output_dim, 0).movedim(1, -1).flatten(1)

    @torch.no_grad()
    def iterate(self, matrix: Float[Tensor, "outputs rest"], times: int) -> None:
        """v <- W'u / |W'u|, u <- Wv / |Wv|, in place."""
        for _ in range(times):
            self.v.copy_(normalize(matrix.mT @ self.u, dim=0))
            self.u.copy_(normalize(matrix @ self.v, dim=0))
