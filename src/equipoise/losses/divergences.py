"""f-GAN: a game for each f-divergence."""

from collections.abc import Callable
from math import log
from typing import Literal, NamedTuple

from torch import Tensor
from torch.nn.functional import softplus

from ..checks import check_choice
from .objective import Loss

Divergence = Literal["gan", "jensen_shannon", "kl", "reverse_kl", "pearson", "squared_hellinger", "total_variation"]


class Forms(NamedTuple):
    """The output activation g and the conjugate after it, f*(g(v)), both simplified so that neither overflows early."""

    activation: Callable[[Tensor], Tensor]
    conjugate: Callable[[Tensor], Tensor]


FORMS: dict[str, Forms] = {
    "gan": Forms(lambda v: -softplus(-v), softplus),
    "jensen_shannon": Forms(lambda v: log(2) - softplus(-v), lambda v: softplus(v) - log(2)),
    "kl": Forms(lambda v: v, lambda v: (v - 1).exp()),
    "reverse_kl": Forms(lambda v: -(-v).exp(), lambda v: v - 1),
    "pearson": Forms(lambda v: v, lambda v: v.square() / 4 + v),
    "squared_hellinger": Forms(lambda v: 1 - (-v).exp(), lambda v: v.exp() - 1),
    "total_variation": Forms(lambda v: v.tanh() / 2, lambda v: v.tanh() / 2),
}


def f_gan(divergence: Divergence = "gan", saturating: bool = False) -> Loss:
    """L_D = -E g(D(x)) + E f*(g(D(G))), L_G = -E g(D(G)) (Nowozin 2016, arXiv:1606.00709, Eq. 4 and 6).

    At the optimum -L_D is the f-divergence of data and samples. g maps logits onto the domain of the conjugate f*
    (Table 2, in increasing form). `saturating=True` is the paper's saddle point, L_G = -E f*(g(D(G))); the default its
    practical alternative (Sec. 3.2). "gan" is `non_saturating`; "jensen_shannon" is scaled to twice the usual one.

    >>> import torch
    >>> abs(f_gan("pearson").d(torch.zeros(4), torch.zeros(4)).item())  # no difference seen
    0.0
    """
    check_choice(divergence, [*FORMS], f"divergence cannot be {divergence!r}")
    activation, conjugate = FORMS[divergence]
    return Loss(
        d=lambda real, fake: conjugate(fake).mean() - activation(real).mean(),
        g=lambda real, fake: -(conjugate if saturating else activation)(fake).mean(),
    )
