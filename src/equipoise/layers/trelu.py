"""Activations with learned parameters, and the affine map that ends a network of strictly normalised weights."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import prelu

from ..checks import check_range


class TReLU(nn.Module):
    """max(x, a) = ReLU(x - a) + a, one threshold per channel (Xiang and Li 2017, arXiv:1704.03971, Sec. 3.1).

    The thresholds are initialised to 0, where it is ReLU, also in its gradient.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        check_range(at_least=1, channels=channels)
        self.threshold = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """At least the threshold of the channel."""
        threshold = per_channel(self.threshold, x)
        return torch.where(x <= threshold, threshold, x)


class TPReLU(nn.Module):
    """PReLU_a(x - b) + b, slope a in [0, 1] and threshold b per channel (Xiang and Li 2017, arXiv:1704.03971).

    A step of the optimiser may carry a slope beyond [0, 1]; the next forward in training mode sets it back to the
    nearer end. A slope is so never outside where its gradient is taken, and at an end the whole gradient counts: it
    leaves as soon as the gradient points inwards, unlike with a clamp in the formula, whose gradient outside is 0.

    >>> layer = TPReLU(1)
    >>> _ = layer.slope.data.fill_(-0.3)
    >>> layer(torch.tensor([[-2.0], [3.0]])).flatten().tolist()  # ReLU, as the slope is 0 now
    [0.0, 3.0]
    """

    def __init__(self, channels: int, slope: float = 0.25) -> None:
        super().__init__()
        check_range(at_least=1, channels=channels)
        check_range(at_least=0, at_most=1, slope=slope)
        self.slope = nn.Parameter(torch.full((channels,), slope))
        self.threshold = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """The identity above the channel's threshold, linear with the channel's slope below it."""
        threshold = per_channel(self.threshold, x)
        return prelu(x - threshold, self.slopes().to(x.dtype)) + threshold

    def slopes(self) -> Float[Tensor, "c"]:
        """The slopes within [0, 1]: a copy, so that they may be set back while a gradient is still to be taken."""
        if self.training:
            with torch.no_grad():
                self.slope.clamp_(0, 1)
        return self.slope.clone().clamp(0, 1)


class Affine(nn.Module):
    """gain_c x + bias_c: the one layer with a scale of its own behind strictly normalised weights.

    The last layer of both networks of Xiang and Li 2017 (arXiv:1704.03971, Sec. 3.2). Gains start at 1, biases at 0.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        check_range(at_least=1, channels=channels)
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Scales and shifts each channel."""
        return torch.addcmul(per_channel(self.bias, x), per_channel(self.gain, x), x)


def per_channel(weight: Tensor, x: Tensor) -> Tensor:
    """A weight of one value per channel, [c], in the dtype of `x` and shaped to be broadcast with it, [c, 1, ...]."""
    return weight.to(x.dtype).reshape(-1, *[1] * (x.dim() - 2))
