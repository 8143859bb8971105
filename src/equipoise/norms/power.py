"""What both kinds of spectral normalisation share: when the power iteration moves on, and the learned scale."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

WARM_UP = 15  # iterations at the start, so that sigma is right from the first forward on


class Settings(NamedTuple):
    """The hyper-parameters of `spectral` that both kinds understand."""

    iterations: int = 1
    learned: bool = False
    per_step: bool = False


class PowerIteration(nn.Module):
    """An abstract parametrization W -> W / sigma(W), or gain W / sigma(W), whose sigma is found step by step."""

    u: Tensor
    v: Tensor
    gain: nn.Parameter | None
    stale: Tensor | None

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.iterations = settings.iterations
        self.register_parameter("gain", None)
        self.register_buffer("stale", torch.ones((), dtype=torch.bool) if settings.per_step else None)

    def add_gain(self, sigma: Float[Tensor, ""], settings: Settings) -> None:
        """A learned scale begins where it leaves the layer as it was."""
        if settings.learned:
            self.gain = nn.Parameter(sigma.detach().clone())

    def is_due(self) -> bool:
        """Whether this forward iterates: in training mode; if per step, where a gradient came since the last."""
        if not self.training or self.stale is None:
            return self.training
        due = bool(self.stale)
        self.stale.fill_(False)
        return due

    def on_gradient(self, gradient: Tensor | None = None) -> None:
        """A gradient has come to the weight, which is about to change."""
        if self.stale is not None:
            self.stale.fill_(True)

    def watched(self, normalised: Tensor) -> Tensor:
        """The normalised weight, whose gradient is noticed."""
        if self.stale is not None and normalised.requires_grad:
            normalised.register_hook(self.on_gradient)
        return normalised

    def scaled(self, normalised: Tensor) -> Tensor:
        """The normalised weight times the learned scale, if there is one."""
        return normalised if self.gain is None else normalised * self.gain

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What is assigned to the layer's weight becomes the weight that is trained."""
        return weight
