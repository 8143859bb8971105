"""Orthogonal weights."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..weights import Matrix, Rows, rows_of
from .power import full, full_precision
from .registering import check, register


def orthogonal() -> Callable[[nn.Module], nn.Module]:
    """W'W = I, or WW' = I where W = [outputs, rest] is wider than high: all singular values are one.

    The orthogonal factor Q of W = QR, or of W' = QR, with a positive diagonal of R: what Miyato 2018 (arXiv:1802.05957)
    compares with as a parametrised constraint on singular values. Costs far more than spectral normalisation;
    `penalties.orthonormal` comes near it.

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
        with full_precision(weight):
            matrix = self.rows.matrix(weight.contiguous()).to(full(weight))
            tall = factor(matrix) if matrix.shape[0] >= matrix.shape[1] else factor(matrix.mT).mT
            return self.rows.weight(tall, weight.contiguous()).to(weight.dtype)


def factor(matrix: Matrix) -> Matrix:
    """Q of a matrix that is at least as high as wide."""
    Q, R = torch.linalg.qr(matrix)
    return Q * R.diagonal().sign()
