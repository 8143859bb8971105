"""Norms in closed form: by the norm of each row or of the whole weight, by a constant, by a QR decomposition."""

import torch
from torch import Tensor, nn

from ..checks import check_range
from ..numerics import wide, without_autocast
from ..weights import Matrix, Rows, fan_in, rows_of
from .parametrization import Norm, norm_by, one_for_zero


def weight() -> Norm:
    """w = g v / |v| for each output, g and v trained (Salimans and Kingma 2016, arXiv:1602.07868, Eq. 2).

    g starts at |w|, so that the layer stays what it was. In plain operations, which unlike the fused ones of
    `torch.nn.utils.parametrizations.weight_norm` have a right second gradient, as gradient penalties need.

    >>> layer = nn.Linear(3, 2)
    >>> before = layer.weight.detach().clone()
    >>> torch.testing.assert_close(weight()(layer).weight, before)
    """
    return norm_by(lambda layer: Weight(rows_of(layer)))


class Weight(nn.Module):
    """The parametrization (g, v) -> g v / |v| by rows."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        """Rows of norm g."""
        return v * self.rows.spread(g / self.row_norms(v), v)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """g and v that give this weight."""
        return self.row_norms(weight), weight

    def row_norms(self, weight: Tensor) -> Tensor:
        """One norm per row, 1 for a row of zeros."""
        return one_for_zero(self.rows.matrix(weight).norm(dim=1))


def strict_weight(eps: float = 1e-6) -> Norm:
    """w / sqrt(|w|^2 + eps) for each output, without a gain (Xiang and Li 2017, arXiv:1704.03971, Eq. 5).

    In a transposed convolution an output sees only 1 / stride of the weights of its channel, and |w|^2 is divided by
    that. `layers.TPReLU` and a last layer with `layers.Affine` give back what the missing gain takes. The gradient of a
    row is orthogonal to it.

    >>> strict_weight()(nn.Linear(3, 2)).weight.norm(dim=1)
    tensor([1.0000, 1.0000], grad_fn=<LinalgVectorNormBackward0>)
    """

    def parametrization_of(layer: nn.Module) -> nn.Module:
        rows = rows_of(layer)
        share = rows.matrix(layer.get_parameter("weight")).shape[1] / fan_in(layer)
        return StrictWeight(rows, share, eps)

    return norm_by(parametrization_of)


class StrictWeight(nn.Module):
    """The parametrization w -> w / sqrt(|w|^2 / share + eps); `share` is the number of strides that share a row."""

    def __init__(self, rows: Rows, share: float, eps: float) -> None:
        super().__init__()
        self.rows, self.share, self.eps = rows, share, eps

    def forward(self, weight: Tensor) -> Tensor:
        """Rows of norm one."""
        squares = self.rows.matrix(weight).square().sum(1) / self.share
        return weight * self.rows.spread((squares + self.eps).rsqrt(), weight)


def frobenius() -> Norm:
    """W / |W|_F, so that the squares of the singular values sum to one (Miyato 2018, arXiv:1802.05957, App. E).

    >>> round(frobenius()(nn.Linear(3, 2)).weight.norm().item(), 5)
    1.0
    """
    return norm_by(lambda layer: Frobenius())


class Frobenius(nn.Module):
    """The parametrization W -> W / |W|_F."""

    def forward(self, weight: Tensor) -> Tensor:
        """A weight of norm one."""
        return weight / one_for_zero(weight.norm())


def standardized(eps: float = 1e-5) -> Norm:
    """(w - mean) / (std + eps) / sqrt(fan in) for each output (Qiao 2019, arXiv:1903.10520, Eq. 4).

    Rows have mean zero and, by the root that the paper leaves to other layers, norm one.
    """
    return norm_by(lambda layer: Standardized(rows_of(layer), eps))


class Standardized(nn.Module):
    """The parametrization w -> (w - mean) / (std + eps) / sqrt(fan in)."""

    def __init__(self, rows: Rows, eps: float) -> None:
        super().__init__()
        self.rows, self.eps = rows, eps

    def forward(self, weight: Tensor) -> Tensor:
        """Rows of mean zero and norm one."""
        matrix = self.rows.matrix(weight)
        std, mean = torch.std_mean(matrix, dim=1, correction=0)
        scale = 1 / ((std + self.eps) * matrix.shape[1] ** 0.5)
        return (weight - self.rows.spread(mean, weight)) * self.rows.spread(scale, weight)


def equalized(gain: float | None = 2**0.5) -> Norm:
    """w = c v, c = gain / sqrt(fan in), v ~ N(0, 1): equalized learning rate (Karras 2018, arXiv:1710.10196).

    Draws the weight anew and sets the bias to 0; `gain` is 1 for layers without a ReLU after them. With `gain=None` the
    layer stays what it is, and c is the root mean square of its weights, as in the authors' Theano code.

    >>> layer = equalized()(nn.Linear(100, 50))
    >>> round(layer.weight.std().item(), 2)  # sqrt(2 / 100)
    0.14
    """
    check_range(above=0, gain=1.0 if gain is None else gain)

    @torch.no_grad()
    def parametrization_of(layer: nn.Module) -> nn.Module:
        weight = layer.get_parameter("weight")
        if gain is None:
            return Scale(weight.square().mean().sqrt().item())
        scale = gain / fan_in(layer) ** 0.5
        nn.init.normal_(weight, std=scale)
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.get_parameter("bias"))
        return Scale(scale)

    return norm_by(parametrization_of)


class Scale(nn.Module):
    """The parametrization v -> c v."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """The weight that the layer uses."""
        return self.scale * weight

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What is trained, of unit size."""
        return weight / self.scale if self.scale else weight


def orthogonal() -> Norm:
    """W'W = I, or WW' = I where W = [outputs, rest] is wider than high (Miyato 2018, arXiv:1802.05957, Sec. 3).

    The orthogonal factor Q of W = QR, or of W' = QR, with a positive diagonal of R: all singular values are one. Costs
    far more than spectral normalisation; `penalties.orthonormal` comes near it.

    >>> W = orthogonal()(nn.Linear(4, 3)).weight
    >>> torch.testing.assert_close(W @ W.mT, torch.eye(3), atol=1e-5, rtol=0.0)
    """
    return norm_by(lambda layer: Orthogonal(rows_of(layer)))


class Orthogonal(nn.Module):
    """The parametrization W -> its orthogonal factor."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, weight: Tensor) -> Tensor:
        """A weight whose singular values are all one."""
        with without_autocast(weight):
            matrix = wide(self.rows.matrix(weight.contiguous()))
            tall = factor(matrix) if matrix.shape[0] >= matrix.shape[1] else factor(matrix.mT).mT
            return self.rows.weight(tall, weight.contiguous()).to(weight.dtype)


def factor(matrix: Matrix) -> Matrix:
    """Q of a matrix that is at least as high as wide."""
    Q, R = torch.linalg.qr(matrix)
    return Q * torch.where(R.diagonal() < 0, -1.0, 1.0).to(Q.dtype)
