"""Optimizers: functions of a network and a learning rate that return an optimizer of torch."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn
from torch.optim import SGD, Adam, RMSprop
from torch.optim import Optimizer as Optimizer

from .checks import check_range
from .processes import is_sharded
from .schedules import Rate, at


class Optimizing(NamedTuple):
    """(network, learning rate) -> optimizer, and what its settings are when so many images were seen."""

    make: Callable[..., Optimizer]
    settings: Callable[[int], dict[str, Any]]

    def __call__(self, net: nn.Module, lr: Rate) -> Optimizer:
        """An optimizer of all weights of the network that require a gradient, as it is at the start."""
        check_range(at_least=0, lr=lr)
        weights = [weight for weight in net.parameters() if weight.requires_grad]
        sharded = any(map(is_sharded, weights))  # of which there is no fused kernel
        fused = weights[0].device.type in ("cpu", "cuda") and not sharded if weights else False
        made = self.make(weights or [*net.parameters()], lr=at(lr, 0), fused=fused, **self.settings(0))
        for group in made.param_groups if sharded else ():
            group["foreach"] = False  # sharded weights beside single numbers
        return made

    def follow(self, optimizer: Optimizer, lr: Rate, seen: int) -> None:
        """Sets the learning rate and all other settings to what they are when so many images were seen."""
        for group in optimizer.param_groups:
            group.update(self.settings(seen), lr=at(lr, seen))


def adam(beta1: Rate = 0.0, beta2: Rate = 0.9, eps: float = 1e-8) -> Optimizing:
    """w <- w - lr m / (sqrt(v) + eps), m and v unbiased means of g and g^2 (Kingma and Ba 2015, arXiv:1412.6980).

    The means decay by beta1 and beta2 a step, numbers or schedules; the defaults are WGAN-GP's. In one fused kernel
    where torch has one.

    >>> net = nn.Linear(1, 1)
    >>> adam(beta1=0.5, beta2=0.999)(net, 2e-4).defaults["betas"]
    (0.5, 0.999)
    """
    check_range(at_least=0, below=1, beta1=beta1, beta2=beta2)
    check_range(at_least=0, eps=eps)
    return Optimizing(Adam, lambda seen: {"betas": (at(beta1, seen), at(beta2, seen)), "eps": eps})


def rmsprop(decay: Rate = 0.99, eps: float = 1e-8) -> Optimizing:
    """w <- w - lr g / (sqrt(v) + eps), v a mean of g^2 that decays by `decay` a step (Tieleman and Hinton 2012).

    v starts at 0 and is not corrected for it, so that first steps are larger than later ones: the very first is
    lr / sqrt(1 - decay), ten times lr, for every weight.
    """
    check_range(at_least=0, below=1, decay=decay)
    check_range(at_least=0, eps=eps)
    make = lambda weights, fused, **settings: RMSprop(weights, **settings)  # of which torch has no fused kernel
    return Optimizing(make, lambda seen: {"alpha": at(decay, seen), "eps": eps})


def sgd(momentum: Rate = 0.0) -> Optimizing:
    """w <- w - lr b, b <- momentum b + g: steps along the gradient, with the heavy ball of Polyak (1964)."""
    check_range(at_least=0, below=1, momentum=momentum)
    return Optimizing(SGD, lambda seen: {"momentum": at(momentum, seen)})
