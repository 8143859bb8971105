"""Optimizers: functions that take a network and a learning rate and return what steps along its gradients."""

from collections.abc import Callable

from torch import nn
from torch.optim import SGD, Adam, RMSprop
from torch.optim import Optimizer as Optimizer

from .checks import check_range

Optimizing = Callable[[nn.Module, float], Optimizer]


def adam(beta1: float = 0.0, beta2: float = 0.9, eps: float = 1e-8) -> Optimizing:
    """w <- w - lr m / (sqrt(v) + eps), m and v unbiased means of g and g^2 (Kingma and Ba 2015, arXiv:1412.6980).

    The means decay by beta1 and beta2 a step; the defaults are WGAN-GP's. In one fused kernel where torch has one.

    >>> net = nn.Linear(1, 1)
    >>> adam(beta1=0.5, beta2=0.999)(net, 2e-4).defaults["betas"]
    (0.5, 0.999)
    """
    check_range(at_least=0, below=1, beta1=beta1, beta2=beta2)
    check_range(at_least=0, eps=eps)
    return lambda net, lr: Adam(net.parameters(), lr=lr, betas=(beta1, beta2), eps=eps, fused=_fused(net))


def rmsprop(decay: float = 0.99, eps: float = 1e-8) -> Optimizing:
    """w <- w - lr g / (sqrt(v) + eps), v a mean of g^2 that decays by `decay` a step (Tieleman and Hinton 2012).

    v starts at 0 and is not corrected for it, so that first steps are larger than later ones: the very first is
    lr / sqrt(1 - decay), ten times lr, for every weight.
    """
    check_range(at_least=0, below=1, decay=decay)
    check_range(at_least=0, eps=eps)
    return lambda net, lr: RMSprop(net.parameters(), lr=lr, alpha=decay, eps=eps)


def sgd(momentum: float = 0.0) -> Optimizing:
    """w <- w - lr b, b <- momentum b + g: steps along the gradient, with the heavy ball of Polyak (1964)."""
    check_range(at_least=0, below=1, momentum=momentum)
    return lambda net, lr: SGD(net.parameters(), lr=lr, momentum=momentum, fused=_fused(net))


def _fused(net: nn.Module) -> bool:
    return next(net.parameters()).device.type in ("cpu", "cuda")
