"""Orthogonal weights."""

import torch
from torch import Tensor, nn

from ..numerics import wide, without_autocast
from ..weights import Matrix, Rows, rows_of
from .registering import Norm, check, register


def orthogonal() -> Norm:
    """W'W = I, or WW' = I where W = [outputs, rest] is wider than high (Miyato 2018, arXiv:1802.05957, Sec. 3).

    The orthogonal factor Q of W = QR, or of W' = QR, with a positive diagonal of R: all singular values are one. Costs
    far more than spectral normalisation; `penalties.orthonormal` comes near it.

    >>> W = orthogonal()(nn.Linear(4, 3)).weight
    >>> torch.testing.assert_close(W @ W.mT, torch.eye(3), atol=1e-5, rtol=0.0)
    """

    def normalise(layer: nn.Module) -> nn.Module:
        check(layer)
        return register(layer, Orthogonal(rows_of(layer)))

    return normalise


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
