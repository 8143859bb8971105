"""The factor that a loss in float16 is multiplied by, so that small gradients are not rounded to 0."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

FIRST = 2.0**16
MOST = 2.0**64  # beyond, no gradient is too small
PATIENCE = 2_000  # updates without an overflow before it doubles


class LossScale(nn.Module):
    """A factor s: gradients of s L, divided by s (Micikevicius 2018, arXiv:1710.03740, Sec. 3.2).

    Halved where a gradient overflows, which is then no update; doubled after 2,000 updates without. Each player has one
    of its own, since the gradients of a generator and those of a discriminator differ by orders of magnitude. It is in
    checkpoints.
    """

    scale: Tensor
    since: Tensor

    def __init__(self, scale: float = FIRST) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("since", torch.tensor(0))

    def forward(self, loss: Tensor) -> Tensor:
        """s L."""
        return loss * self.scale

    @property
    def exhausted(self) -> bool:
        """Whether the factor has fallen so far that an overflow is none of its own."""
        return self.scale.item() < 1

    @torch.no_grad()
    def unscale(self, gradients: Sequence[Tensor]) -> bool:
        """Divides the gradients by s in place and adapts s; whether they are numbers, so that they can be used."""
        torch._foreach_div_(list(gradients), self.scale)
        finite = bool(nn.utils.get_total_norm(gradients).isfinite())
        self.since.add_(1) if finite else self.since.zero_()
        if not finite:
            self.scale.mul_(0.5)
        elif self.since == PATIENCE:
            self.scale.mul_(2).clamp_(max=MOST)
            self.since.zero_()
        return finite
