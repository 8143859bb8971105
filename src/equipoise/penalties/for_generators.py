"""Penalties for the generator."""

from math import prod

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..checks import check_range
from ..critic import Critic, CriticLike, Fakes, Images, Scalar
from ..processes import whole
from ..schedules import Rate, at
from .lazy import Penalty, lazily


def pulling_away(weight: Rate = 0.1) -> Penalty:
    """w / (n (n - 1)) sum over i != j of cos^2(S_i, S_j), S features of the fakes (Zhao 2017, arXiv:1609.03126, Eq. 4).

    For the generator (EBGAN-PT): samples whose codes are alike are pushed apart. Asks the critic for features, which of
    an auto-encoder are its codes; of several layers and heads they are concatenated. 0 for a batch of one.

    >>> from equipoise.critic import Critic
    >>> D = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(4, 1), nn.Flatten(0))
    >>> pulling_away(weight=1.0)(Critic(D, features="0"), torch.ones(2, 4), torch.ones(2, 4)).item()  # a code twice
    1.0
    """
    check_range(at_least=0, weight=weight)

    def penalty(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        asked = Critic.of(critic)
        if asked.generator is not None and not asked.generator_learns:
            raise ValueError("pulling_away is for what the generator makes: it is one of its --g-penalties")
        asked.require_whole_batch("pulling_away")
        codes = whole(normalize(torch.cat(asked.features(fake), dim=1), dim=1))
        squared = (codes @ codes.mT).square()
        pairs = len(codes) * (len(codes) - 1)
        return at(weight, asked.seen) * (squared.sum() - squared.diagonal().sum()) / max(pairs, 1)

    return penalty


def path_length(weight: Rate = 2.0, decay: float = 0.01, every: int = 4) -> Penalty:
    """c E (|J' y| - a)^2, J' y = grad_w <G(w), y>, y ~ N(0, I) / sqrt(h w) (Karras 2020, arXiv:1912.04958, Eq. 4).

    For the generator: a step in latent space moves the image by a constant distance a, the running mean of the norms
    |J' y| with rate `decay`; c is `weight`. Needs the latents that the fakes were made from, which require a gradient:
    Critic(D, latents=w). In `games.adversarial` they are the intermediate w of a generator that has some, with modules
    `mapping` and `synthesis`, else z.
    """
    check_range(at_least=0, weight=weight)
    check_range(above=0, at_most=1, decay=decay)
    return lazily(every, PathLength(weight, decay))


class PathLength(nn.Module):
    """The running mean of path lengths |J' y|, and their distance from it."""

    mean: Tensor

    def __init__(self, weight: Rate, decay: float) -> None:
        super().__init__()
        self.weight, self.decay = weight, decay
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        """The penalty, after the mean has moved."""
        asked = Critic.of(critic)
        asked.require_whole_batch("path_length")
        latents = asked.made_from()
        if not latents.requires_grad:
            raise ValueError(
                "path_length is for the generator's step, with latents that require a gradient: z.requires_grad_()"
            )
        noise = torch.randn_like(fake) / prod(fake.shape[2:]) ** 0.5
        (gradient,) = torch.autograd.grad((fake * noise).sum(), latents, create_graph=True)
        lengths = whole(gradient.flatten(1).norm(dim=1))
        if self.training:
            self.mean.lerp_(lengths.detach().mean().to(self.mean), self.decay)
        return at(self.weight, asked.seen) * (lengths - self.mean.clone()).square().mean()
