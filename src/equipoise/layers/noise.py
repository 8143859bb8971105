"""Noise that weakens a discriminator: in training mode only."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..checks import check_range
from ..critic import Logits, mean
from ..numerics import wide_dtype
from ..schedules import Rate, at


class InstanceNoise(nn.Module):
    """x + std N(0, I), on the input of a discriminator (Arjovsky and Bottou 2017, arXiv:1701.04862, Sec. 3).

    Also Sonderby 2017, arXiv:1610.04490, Sec. 3.2. Noise gives reals and fakes a common support, so it must be put on
    both: make this the first layer of the discriminator. In eval mode there is none.

    `std` is a number or a schedule, usually one that falls to 0. It follows the images seen: `training.steps` calls
    `follow_images` once a round, and a loop of your own has to.

    >>> from equipoise.schedules import linear
    >>> layer = InstanceNoise(std=linear(1.0, 0.0, images=4))
    >>> for seen in (0, 4):
    ...     layer.follow_images(seen)
    ...     bool(layer(torch.zeros(2, 1, 8, 8)).any())
    True
    False
    """

    std: Tensor

    def __init__(self, std: Rate = 0.1) -> None:
        super().__init__()
        check_range(at_least=0, std=std)
        self.rate = std
        self.register_buffer("std", torch.tensor(float(at(std, 0))))

    def follow_images(self, seen: int) -> None:
        """Sets the standard deviation to what it is after so many images."""
        self.std.fill_(at(self.rate, seen))

    def forward(self, x: Float[Tensor, "b *rest"]) -> Float[Tensor, "b *rest"]:
        """Noisier images in training mode; the same noise in every precision."""
        if not self.training:
            return x
        return x + self.std.to(x.dtype) * torch.randn_like(x, dtype=wide_dtype(x)).to(x.dtype)


class AdaptiveNoise(nn.Module):
    """x (1 + s sqrt(channels) N(0, 1)), s = coefficient max(0, d - limit)^2 (Karras 2018, arXiv:1710.10196, App. B).

    One draw per sample and channel, on the inputs of the convolutions of a least-squares discriminator. d is the
    discriminator's running score of fakes, d <- decay d + (1 - decay) score, which only `observe_fakes` changes:
    `games.adversarial` calls it after each update of D, on every such layer, and a game of your own has to.
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
        draws = torch.randn(*x.shape[:2], *[1] * (x.dim() - 2), dtype=wide_dtype(x), device=x.device).to(x.dtype)
        return x * (1 + (self.strength() * x.shape[1] ** 0.5).to(x.dtype) * draws)

    def strength(self) -> Float[Tensor, ""]:
        """s."""
        return self.coefficient * (self.score - self.limit).clamp(min=0) ** 2

    @torch.no_grad()
    def observe_fakes(self, logits: Logits) -> None:
        """Takes the discriminator's logits of a batch of fakes into the running score (1 = taken for real)."""
        self.score.lerp_(mean(logits).clamp(0, 1).to(self.score.dtype), 1 - self.decay)
