"""How networks are put together: chains of layers, some of which are conditioned on labels or latent vectors."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor, nn

from ..layers import ConditionalBatchNorm, SelfModulation


class Conditional(nn.Module, ABC):
    """A part of a network that takes a condition besides its input: labels, their embedding, a latent vector."""

    @abstractmethod
    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The output; the condition is handed on to all conditional parts inside."""


CONDITIONAL = (Conditional, ConditionalBatchNorm, SelfModulation)


def passed(layer: nn.Module, x: Tensor, condition: Tensor | None) -> Tensor:
    """What a layer makes of features, and of the condition where it takes one."""
    output: Tensor = layer(x) if condition is None or not isinstance(layer, CONDITIONAL) else layer(x, condition)
    return output


def in_turn(layers: Iterable[nn.Module], x: Tensor, condition: Tensor | None = None) -> Tensor:
    """What layers make of features one after the other."""
    for layer in layers:
        x = passed(layer, x, condition)
    return x


def layers_of(chain: nn.Module) -> list[nn.Module]:
    """The layers that run one after the other; one that stands twice among them runs twice."""
    return [layer for layer in chain._modules.values() if layer is not None]


class Chain(Conditional):
    """One layer after the other; conditional ones take the condition of the chain.

    >>> import torch
    >>> Chain(nn.Linear(3, 4), Chain(nn.ReLU()))(torch.randn(2, 3)).shape
    torch.Size([2, 4])
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        for layer in layers:
            self.append(layer)

    def append(self, layer: nn.Module) -> None:
        """Puts one more layer at the end."""
        self.add_module(str(len(self._modules)), layer)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The output of the last layer."""
        return in_turn(layers_of(self), x, condition)


class Residual(Conditional):
    """F(x) + S(x): a chain beside a shortcut (He 2016, arXiv:1512.03385)."""

    def __init__(self, chain: Chain, shortcut: nn.Module) -> None:
        super().__init__()
        self.chain, self.shortcut = chain, shortcut

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Their sum."""
        return self.chain(x, condition) + self.shortcut(x)


class Pool(nn.Module):
    """The sum or the mean over height and width."""

    def __init__(self, mean: bool = False) -> None:
        super().__init__()
        self.mean = mean

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """One number per channel."""
        return x.mean((2, 3)) if self.mean else x.sum((2, 3))
