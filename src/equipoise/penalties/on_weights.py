"""Penalties on the weights of the network that learns: of D in its step, of G as a penalty of the generator."""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..checks import check_range
from ..critic import Critic, CriticLike, Fakes, Images, Scalar
from ..schedules import Rate, at
from ..weights import layers, rows_of
from .lazy import Penalty, Remembering


def spectral_regularization(weight: Rate = 0.01) -> Penalty:
    """w/2 sum of sigma(W)^2 over all layers (Yoshida and Miyato 2017, arXiv:1705.10941, Eq. 6).

    sigma = u' W v with one step of power iteration a call, u kept between calls; the gradient is w sigma u v'.

    >>> D = nn.Linear(3, 3)
    >>> D.weight.data = 2 * torch.eye(3)
    >>> round(spectral_regularization(weight=0.5)(D, torch.zeros(1, 3), torch.zeros(1, 3)).item(), 4)  # 0.5 / 2 * 2^2
    1.0
    """
    check_range(at_least=0, weight=weight)
    return SpectralRegularization(weight)


class SpectralRegularization(Remembering):
    """The left singular vectors of all layers, and half the sum of squares of the largest singular values."""

    def __init__(self, weight: Rate) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        """The penalty, after one step of power iteration in training mode."""
        asked = Critic.of(critic)
        index, pieces = asked.piece
        if index:  # once a batch, as strong as for all of its pieces
            return torch.zeros((), device=real.device)
        sigmas = [self.sigma(name, matrix) for name, matrix in matrices(layers(asked.learner))]
        return pieces * at(self.weight, asked.seen) / 2 * torch.stack(sigmas).square().sum()

    def sigma(self, name: str, matrix: Tensor) -> Scalar:
        """u' W v."""
        u = self.recall(f"u.{name}", lambda: normalize(torch.randn_like(matrix[:, 0]), dim=0))
        with torch.no_grad():
            v = normalize(matrix.mT @ u, dim=0)
            if self.training:
                u.copy_(normalize(matrix @ v, dim=0))
        return torch.dot(u.clone(), matrix @ v)


def orthonormal(weight: Rate = 1e-4) -> Penalty:
    """w sum of |W'W - I|^2 over all layers (Brock 2016, arXiv:1609.07093, Sec. 3.4; squares as in Miyato 2018, B.3).

    Up to a constant: the smaller of W'W and WW' is compared with the identity, which has the same gradient,
    4 w W(W'W - I). Brock sums absolute values and gives no number for w; SN-GAN gives none either.

    >>> D = nn.Linear(3, 3)
    >>> D.weight.data = 2 * torch.eye(3)
    >>> orthonormal(weight=1.0)(D, torch.zeros(1, 3), torch.zeros(1, 3)).item()  # three times (4 - 1)^2
    27.0
    """
    check_range(at_least=0, weight=weight)

    def penalty(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        asked = Critic.of(critic)
        grams = [gram(matrix) for _, matrix in matrices(layers(asked.learner))]
        terms = [(product - torch.eye(len(product), device=product.device)).square().sum() for product in grams]
        return at(weight, asked.seen) * torch.stack(terms).sum()

    return penalty


def orthogonal_offdiagonal(weight: Rate = 1e-4) -> Penalty:
    """w sum of |WW' * (1 - I)|^2 over all layers, W = [outputs, rest] (Brock 2019, arXiv:1809.11096, Eq. 3).

    Filters become orthogonal, whatever their norms; meant for the generator. The exact gradient is
    4 w (WW' * (1 - I)) W, twice that of the authors' PyTorch code. Embeddings, whose rows are no filters, are left out.

    >>> D = nn.Linear(3, 3)
    >>> D.weight.data = 2 * torch.eye(3)
    >>> orthogonal_offdiagonal()(D, torch.zeros(1, 3), torch.zeros(1, 3)).item()  # norms are free
    0.0
    """
    check_range(at_least=0, weight=weight)

    def penalty(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        asked = Critic.of(critic)
        named = [(name, layer) for name, layer in layers(asked.learner) if not isinstance(layer, nn.Embedding)]
        products = [matrix @ matrix.mT for _, matrix in matrices(named)]
        return at(weight, asked.seen) * torch.stack([(p - p.diagonal().diag()).square().sum() for p in products]).sum()

    return penalty


def historical_averaging(weight: Rate = 1.0) -> Penalty:
    """w |theta - mean of all past theta|^2 over all weights (Salimans 2016, arXiv:1606.03498, Sec. 3.3).

    For either player. The paper gives no weight.

    >>> D, penalty, x = nn.Linear(2, 1, bias=False), historical_averaging(), torch.zeros(1, 2)
    >>> first = penalty(D, x, x)
    >>> D.weight.data += 3
    >>> round(penalty(D, x, x).item(), 4)  # two weights, 3 from where they were
    18.0
    """
    check_range(at_least=0, weight=weight)
    return HistoricalAveraging(weight)


class HistoricalAveraging(Remembering):
    """The mean of all past values of each weight, and the distance from it."""

    def __init__(self, weight: Rate) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        """The penalty; then, in training mode, the present weights join the mean."""
        count = self.recall("count", lambda: torch.zeros((), dtype=torch.int64, device=real.device))
        asked, terms = Critic.of(critic), []
        moving = self.training and asked.completes_batch
        for name, now in asked.learner.named_parameters():
            mean = self.recall(f"mean.{name}", now.detach().clone)
            terms.append((now - mean.clone()).square().sum())
            if moving:
                mean.add_((now.detach() - mean) / (count + 1))
        if moving:
            count.add_(1)
        return at(self.weight, asked.seen) * torch.stack(terms).sum()


OF_WEIGHTS = (spectral_regularization, orthonormal, orthogonal_offdiagonal, historical_averaging)
"""All of them."""


def gram(matrix: Tensor) -> Tensor:
    """The smaller of W'W and WW'."""
    return matrix @ matrix.mT if matrix.shape[0] <= matrix.shape[1] else matrix.mT @ matrix


def matrices(named: Iterable[tuple[str, nn.Module]]) -> list[tuple[str, Tensor]]:
    """The weight of each layer as a matrix [outputs, rest], with its name."""
    return [(name, rows_of(layer).matrix(cast(Tensor, layer.weight))) for name, layer in named]
