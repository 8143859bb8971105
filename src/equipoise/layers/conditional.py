"""Layers that take the label or the latent vector besides the features."""

from jaxtyping import Float, Int64
from torch import Tensor, nn

from ..checks import at_least


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


class SelfModulation(nn.Module):
    """gain(z) BN(x) + bias(z) (Chen 2019, arXiv:1810.01365, Eq. 1-2): batch normalisation that hears of z everywhere.

    gain and bias are linear in ReLU(U z + u), `hidden` units which they share as in the authors' code. It starts as
    plain batch normalisation: gain 1, bias 0 for every z. As the last layers' weights are 0 at first, leave them out
    of a spectral normalisation, which divides by their norm: `skip=["*.gain", "*.bias"]`.
    """

    def __init__(self, channels: int, z_dim: int, hidden: int = 32, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        at_least(1, channels=channels, z_dim=z_dim, hidden=hidden)
        self.norm = nn.BatchNorm2d(channels, eps=eps, momentum=momentum, affine=False)
        self.hidden = nn.Sequential(nn.Linear(z_dim, hidden), nn.ReLU())
        self.gain, self.bias = nn.Linear(hidden, channels), nn.Linear(hidden, channels)
        for head, start in ((self.gain, 1.0), (self.bias, 0.0)):
            nn.init.zeros_(head.weight)
            nn.init.constant_(head.bias, start)

    def forward(self, x: Float[Tensor, "b c h w"], z: Float[Tensor, "b z"]) -> Float[Tensor, "b c h w"]:
        """Normalises over the batch, then scales and shifts each sample by its latent vector."""
        hidden = self.hidden(z)
        return self.norm(x) * self.gain(hidden)[:, :, None, None] + self.bias(hidden)[:, :, None, None]
