"""Norms that divide a weight by a length: of each output's row, or of the whole."""

import torch
from torch import Tensor, nn

from ..weights import Rows, fan_in, rows_of
from .division import one_for_zero
from .registering import Norm, check, register


def weight() -> Norm:
    """w = g v / |v| for each output, g and v trained (Salimans and Kingma 2016, arXiv:1602.07868, Eq. 2).

    g starts at |w|, so that the layer stays what it was. In plain operations, which unlike the fused ones of
    `torch.nn.utils.parametrizations.weight_norm` have a right second gradient, as gradient penalties need.

    >>> layer = nn.Linear(3, 2)
    >>> before = layer.weight.detach().clone()
    >>> torch.testing.assert_close(weight()(layer).weight, before)
    """

    def normalise(layer: nn.Module) -> nn.Module:
        check(layer)
        return register(layer, Weight(rows_of(layer)))

    return normalise


class Weight(nn.Module):
    """The parametrization (g, v) -> g v / |v| by rows."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        """Rows of length g."""
        return v * self.rows.spread(g / self.lengths(v), v)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """g and v that give this weight."""
        return self.lengths(weight), weight

    def lengths(self, weight: Tensor) -> Tensor:
        """One length a row, 1 for a row of zeros."""
        return one_for_zero(self.rows.matrix(weight).norm(dim=1))


def strict_weight(eps: float = 1e-6) -> Norm:
    """w / sqrt(|w|^2 + eps) for each output, without a gain (Xiang and Li 2017, arXiv:1704.03971, Eq. 5).

    In a transposed convolution an output sees only 1 / stride of the weights of its channel, and |w|^2 is divided by
    that. `layers.TPReLU` and a last layer with `layers.Affine` give back what the missing gain takes. The gradient of a
    row is orthogonal to it.

    >>> strict_weight()(nn.Linear(3, 2)).weight.norm(dim=1)
    tensor([1.0000, 1.0000], grad_fn=<LinalgVectorNormBackward0>)
    """

    def normalise(layer: nn.Module) -> nn.Module:
        check(layer)
        rows = rows_of(layer)
        share = rows.matrix(layer.get_parameter("weight")).shape[1] / fan_in(layer)
        return register(layer, StrictWeight(rows, share, eps))

    return normalise


class StrictWeight(nn.Module):
    """The parametrization w -> w / sqrt(|w|^2 / share + eps); `share` is the number of strides that share a row."""

    def __init__(self, rows: Rows, share: float, eps: float) -> None:
        super().__init__()
        self.rows, self.share, self.eps = rows, share, eps

    def forward(self, weight: Tensor) -> Tensor:
        """Rows of length one."""
        squares = self.rows.matrix(weight).square().sum(1) / self.share
        return weight * self.rows.spread((squares + self.eps).rsqrt(), weight)


def frobenius() -> Norm:
    """W / |W|_F, so that the squares of the singular values sum to one (Miyato 2018, arXiv:1802.05957, App. E).

    >>> round(frobenius()(nn.Linear(3, 2)).weight.norm().item(), 5)
    1.0
    """

    def normalise(layer: nn.Module) -> nn.Module:
        check(layer)
        return register(layer, Frobenius())

    return normalise


class Frobenius(nn.Module):
    """The parametrization W -> W / |W|_F."""

    def forward(self, weight: Tensor) -> Tensor:
        """A weight of length one."""
        return weight / one_for_zero(weight.norm())


def standardized(eps: float = 1e-5) -> Norm:
    """(w - mean) / (std + eps) / sqrt(fan in) for each output (Qiao 2019, arXiv:1903.10520, Eq. 4).

    Rows have mean zero and, by the root that the paper leaves to other layers, length one.
    """

    def normalise(layer: nn.Module) -> nn.Module:
        check(layer)
        return register(layer, Standardized(rows_of(layer), eps))

    return normalise


class Standardized(nn.Module):
    """The parametrization w -> (w - mean) / (std + eps) / sqrt(fan in)."""

    def __init__(self, rows: Rows, eps: float) -> None:
        super().__init__()
        self.rows, self.eps = rows, eps

    def forward(self, weight: Tensor) -> Tensor:
        """Rows of mean zero and length one."""
        matrix = self.rows.matrix(weight)
        std, mean = torch.std_mean(matrix, dim=1, correction=0)
        scale = 1 / ((std + self.eps) * matrix.shape[1] ** 0.5)
        return (weight - self.rows.spread(mean, weight)) * self.rows.spread(scale, weight)
