"""Layers that take the label besides the features."""

from jaxtyping import Float, Int64
from torch import Tensor, nn


class ConditionalBatchNorm(nn.Module):
    """gain[y] BN(x) + bias[y] (Dumoulin 2017, arXiv:1610.07629; Miyato and Koyama 2018, arXiv:1802.05637).

    One gain and one bias a class and channel; gains start at 1 and biases at 0.
    `eps` and `momentum` are those of `torch.nn.BatchNorm2d`.
    """

    def __init__(self, channels: int, classes: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps=eps, momentum=momentum, affine=False)
        self.gain = nn.Embedding(classes, channels)
        self.bias = nn.Embedding(classes, channels)
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, x: Float[Tensor, "b c h w"], labels: Int64[Tensor, "b"]) -> Float[Tensor, "b c h w"]:
        """Normalises over the batch, then scales and shifts each sample by its class."""
        return self.norm(x) * self.gain(labels)[:, :, None, None] + self.bias(labels)[:, :, None, None]
