"""How networks are put together: chains of layers, some of which are conditioned on labels or latent vectors."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from ..layers import ConditionalBatchNorm, SelfModulation


class Conditional(nn.Module, ABC):
    """A part of a network that takes a condition besides its input: labels, their embedding, a latent vector."""

    @abstractmethod
    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The output; the condition is handed on to all conditional parts inside."""


CONDITIONAL = (Conditional, ConditionalBatchNorm, SelfModulation)


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
        for layer in self._modules.values():  # one that stands twice runs twice
            assert layer is not None
            x = layer(x) if condition is None or not isinstance(layer, CONDITIONAL) else layer(x, condition)
        return x


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
