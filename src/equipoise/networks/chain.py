"""How networks are put together: chains of layers, some of which are told of labels."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from ..layers import ConditionalBatchNorm, SelfModulation


class Told(nn.Module, ABC):
    """A part of a network that is told something, of labels or of the latent vector, besides its input."""

    @abstractmethod
    def forward(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """The output, and what is told to the parts in it that listen."""


LISTENING = (Told, ConditionalBatchNorm, SelfModulation)


class Chain(Told):
    """One layer after the other; those that listen are told what the chain is told.

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

    def forward(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """The output of the last layer."""
        for layer in self.children():
            x = layer(x) if told is None or not isinstance(layer, LISTENING) else layer(x, told)
        return x


class Residual(Told):
    """F(x) + S(x): a chain beside a shortcut (He 2016, arXiv:1512.03385)."""

    def __init__(self, chain: Chain, shortcut: nn.Module) -> None:
        super().__init__()
        self.chain, self.shortcut = chain, shortcut

    def forward(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """Their sum."""
        return self.chain(x, told) + self.shortcut(x)


class Pool(nn.Module):
    """The sum or the mean over height and width."""

    def __init__(self, mean: bool = False) -> None:
        super().__init__()
        self.mean = mean

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """One number a channel."""
        return x.mean((2, 3)) if self.mean else x.sum((2, 3))
