"""Losses of logits alone."""

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from ..checks import check_range
from ..critic import Scalar
from .objective import Loss


def minimax() -> Loss:
    """L_D = -E log D(x) - E log(1 - D(G)), L_G = E log(1 - D(G)) (Goodfellow 2014, arXiv:1406.2661, Eq. 1).

    D is the sigmoid of the logit. The generator's gradient vanishes where the discriminator is sure of its fakes:
    `non_saturating` is the cure.

    >>> round(minimax().g(torch.zeros(4), torch.zeros(4)).item(), 4)  # -log 2
    -0.6931
    """
    return Loss(
        d=lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        g=lambda real, fake: -softplus(fake).mean(),
    )


def non_saturating(real_target: float = 1.0) -> Loss:
    """L_D = -E log D(x) - E log(1 - D(G)), L_G = -E log D(G) (Goodfellow 2014, arXiv:1406.2661, Sec. 3).

    `real_target` below 1 is one-sided label smoothing (Salimans 2016, arXiv:1606.03498, Sec. 3.4): the target of reals
    alone, since a smoothed fake target would reward bad samples.

    >>> import torch
    >>> round(non_saturating().d(torch.zeros(8), torch.zeros(8)).item(), 4)  # 2 log 2
    1.3863
    """
    check_range(at_least=0, at_most=1, real_target=real_target)
    return Loss(
        d=lambda real, fake: (softplus(-real) + (1 - real_target) * real).mean() + softplus(fake).mean(),
        g=lambda real, fake: softplus(-fake).mean(),
    )


def least_squares(a: float = 0.0, b: float = 1.0, c: float = 1.0) -> Loss:
    """L_D = E (D(x) - b)^2 / 2 + E (D(G) - a)^2 / 2, L_G = E (D(G) - c)^2 / 2 (Mao 2017, arXiv:1611.04076, Eq. 2).

    With b - c = 1 and b - a = 2, as in (a, b, c) = (-1, 1, 0), the optimal game minimises Pearson's chi-square.

    >>> least_squares().d(torch.ones(4), torch.zeros(4)).item()  # reals at b, fakes at a
    0.0
    """
    return Loss(
        d=lambda real, fake: ((real - b).square().mean() + (fake - a).square().mean()) / 2,
        g=lambda real, fake: (fake - c).square().mean() / 2,
    )


def wasserstein() -> Loss:
    """L_D = E D(G) - E D(x), L_G = -E D(G) (Arjovsky 2017, arXiv:1701.07875, Eq. 2); needs a Lipschitz critic.

    >>> wasserstein().d(torch.full((4,), 3.0), torch.ones(4)).item()
    -2.0
    """
    return Loss(
        d=lambda real, fake: fake.mean() - real.mean(),
        g=lambda real, fake: -fake.mean(),
        relative=True,
    )


def hinge(margin: float = 1.0) -> Loss:
    """L_D = E max(0, m - D(x)) + E max(0, m + D(G)), L_G = -E D(G) (Lim and Ye 2017, arXiv:1705.02894).

    >>> import torch
    >>> hinge().d(torch.ones(8), -torch.ones(8)).item()  # at the margins there is nothing left to learn
    0.0
    """
    check_range(above=0, margin=margin)
    return Loss(
        d=lambda real, fake: relu(margin - real).mean() + relu(margin + fake).mean(),
        g=lambda real, fake: -fake.mean(),
    )


def relativistic() -> Loss:
    """L_D = E softplus(D(G) - D(x)), L_G = E softplus(D(x) - D(G)) (Jolicoeur-Martineau 2018, arXiv:1807.00734).

    Logits are compared in pairs, the i-th real with the i-th fake; stable with `r1` and `r2` (Huang 2024,
    arXiv:2501.05441).

    >>> round(relativistic().d(torch.ones(4), torch.ones(4)).item(), 4)  # log 2, wherever both are
    0.6931
    """

    def d(real: Tensor, fake: Tensor) -> Scalar:
        if real.shape != fake.shape:  # which would be compared each with all
            raise ValueError(f"pairs need as many fakes as reals: logits of {[*real.shape]} and {[*fake.shape]}")
        return softplus(fake - real).mean()

    return Loss(d, lambda real, fake: d(fake, real), paired=True, relative=True)


def relativistic_average() -> Loss:
    """L_D = E softplus(E D(G) - D(x)) + E softplus(D(G) - E D(x)) (Jolicoeur-Martineau 2018, arXiv:1807.00734, RaSGAN).

    Each logit is compared with the mean of the other side; L_G swaps the sides.

    >>> loss, (real, fake) = relativistic_average(), torch.randn(2, 4)
    >>> torch.testing.assert_close(loss.d(real + 5, fake + 5), loss.d(real, fake))
    """

    def d(real: Tensor, fake: Tensor) -> Scalar:
        return softplus(fake.mean() - real).mean() + softplus(fake - real.mean()).mean()

    return Loss(d, lambda real, fake: d(fake, real), paired=True, relative=True, batchwise=True)


def dual_contrastive() -> Loss:
    """L_D = -E log e^D(x)/(e^D(x) + sum e^D(G)) - E log e^-D(G)/(e^-D(G) + sum e^-D(x)) (Yu 2021, arXiv:2103.16748).

    Each real logit is contrasted with all fakes, each fake one with all reals; L_G swaps the sides.

    >>> round(dual_contrastive().d(torch.zeros(3), torch.zeros(3)).item(), 4)  # 2 log(1 + 3)
    2.7726
    """

    def d(real: Tensor, fake: Tensor) -> Scalar:
        return _contrasted(real, fake) + _contrasted(-fake, -real)

    return Loss(d, lambda real, fake: d(fake, real), paired=True, relative=True, batchwise=True)


def _contrasted(ones: Tensor, others: Tensor) -> Scalar:
    """-E log e^a / (e^a + sum e^b)."""
    return softplus(torch.logsumexp(others.flatten(), 0) - ones).mean()
