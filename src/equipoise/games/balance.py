"""Terms of one objective brought into balance."""

import torch
from torch import Tensor

from ..critic import Scalar


def adaptive_weight(main: Scalar, adversarial: Scalar, last: Tensor, most: float = 1e4, eps: float = 1e-4) -> Scalar:
    """min(|grad main| / (|grad adversarial| + eps), most), at a last layer (Esser 2021, arXiv:2012.09841, Eq. 7).

    With this weight the adversarial term pulls at the weight `last`, usually that of the decoder's last layer, as much
    as the main one. It is a constant for the gradient.

    >>> w = torch.ones(2, requires_grad=True)
    >>> round(adaptive_weight((3 * w).sum(), (w / 2).sum(), w, eps=0.0).item(), 4)
    6.0
    """
    norms = [torch.autograd.grad(term, last, retain_graph=True)[0].norm() for term in (main, adversarial)]
    return (norms[0] / (norms[1] + eps)).clamp(max=most).detach()
