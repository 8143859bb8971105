"""Noise that weakens a discriminator: in training mode only."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..checks import check_range


class InstanceNoise(nn.Module):
    """x + std max(0, 1 - seen / images) N(0, I), on the input of a discriminator (Arjovsky and Bottou 2017).

    arXiv:1701.04862, Sec. 3; Sonderby 2017, arXiv:1610.04490, Sec. 3.2. Noise gives reals and fakes a common support,
    so it must be put on both: make this the first layer of the discriminator. In eval mode there is none.

    `seen` counts the images that have passed in training mode, whatever they are: reals, fakes, and those of penalties
    that run the discriminator once more. A loop that shows n reals and n fakes to the discriminator, then n fakes for
    the generator, counts 3 n for n reals: `images=300_000` ends the noise after 100,000 reals.

    >>> layer = InstanceNoise(std=1.0, images=4)
    >>> [float(layer(torch.zeros(2, 1, 8, 8)).std() > 0) for _ in range(3)]
    [1.0, 1.0, 0.0]
    """

    seen: Tensor

    def __init__(self, std: float = 0.1, images: int = 1_000_000) -> None:
        super().__init__()
        check_range(at_least=0, std=std)
        check_range(at_least=1, images=images)
        self.std, self.images = std, images
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Float[Tensor, "b *rest"]) -> Float[Tensor, "b *rest"]:
        """Noisier images, less so the more have passed."""
        if not self.training:
            return x
        noisy = x + self.level().to(x.dtype) * torch.randn_like(x)
        self.seen += len(x)
        return noisy

    def level(self) -> Float[Tensor, ""]:
        """The standard deviation of the noise now."""
        return self.std * (1 - self.seen / self.images).clamp(min=0)


class AdaptiveNoise(nn.Module):
    """x (1 + s sqrt(channels) N(0, 1)), s = coefficient max(0, d - limit)^2 (Karras 2018, arXiv:1710.10196, App. B).

    One draw a sample and channel, on the inputs of the convolutions of a least-squares discriminator. d is the
    discriminator's running score of fakes, d <- decay d + (1 - decay) score, which only `observe_fakes` changes:
    `training.steps` calls it after each step of the discriminator, on every such layer, and a loop of your own has to.
    Noise is put on in all runs in training mode, on reals, fakes and the generator's step alike. The mean score of a
    batch is cut to [0, 1] as in the authors' code, so that s is 0.05 at most.

    >>> layer = AdaptiveNoise(decay=0.0)
    >>> layer.observe_fakes(torch.tensor([0.7, 0.9]))
    >>> round(layer.strength().item(), 4)  # 0.2 (0.8 - 0.5)^2
    0.018
    """

    score: Tensor

    def __init__(self, coefficient: float = 0.2, limit: float = 0.5, decay: float = 0.9) -> None:
        super().__init__()
        check_range(at_least=0, coefficient=coefficient, limit=limit)
        check_range(at_least=0, below=1, decay=decay)
        self.coefficient, self.limit, self.decay = coefficient, limit, decay
        self.register_buffer("score", torch.zeros(()))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Each channel of each sample louder or quieter as a whole."""
        if not self.training:
            return x
        draws = torch.randn(*x.shape[:2], *[1] * (x.dim() - 2), dtype=x.dtype, device=x.device)
        return x * (1 + (self.strength() * x.shape[1] ** 0.5).to(x.dtype) * draws)

    def strength(self) -> Float[Tensor, ""]:
        """s."""
        return self.coefficient * (self.score - self.limit).clamp(min=0) ** 2

    @torch.no_grad()
    def observe_fakes(self, score: Float[Tensor, "*any"]) -> None:
        """Takes the discriminator's scores of a batch of fakes into the running score (1 = taken for real)."""
        self.score.lerp_(score.mean().clamp(0, 1).to(self.score.dtype), 1 - self.decay)
