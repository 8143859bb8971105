"""Pretraining of discriminators that can learn from reals alone."""

from dataclasses import replace

import torch

from ..checks import check_range
from ..critic import Critic, CriticLike, Fakes, Images, Scalar, per_sample
from .energies import energy
from .objective import CriticLoss, Loss, of_critic


def pretrained(loss: Loss | CriticLoss | None = None, images: int = 20_000) -> CriticLoss:
    """L_D = E E(x), L_G = 0 while fewer than `images` were seen, then `loss` (Zhao 2017, arXiv:1609.03126).

    An auto-encoding discriminator, of energy E = -D, first learns to reconstruct reals alone, so that the generator
    meets a strong opponent at once; until then the generator rests. `loss` is one of energies, None for `energy()`.
    Needs a critic that knows how many images were seen: Critic(D, seen=...).

    >>> loss, D = pretrained(images=8), lambda x: -x[:, 0]
    >>> for seen in (0, 8):
    ...     loss.d(Critic(D, seen=seen), torch.ones(4, 1), torch.full((4, 1), 3.0)).item()
    1.0
    8.0
    """
    check_range(at_least=1, images=images)
    after = of_critic(energy() if loss is None else loss)
    if not after.energy:
        raise ValueError(
            "only a discriminator of energies can be trained on reals alone: "
            "pretrained takes energy, boundary_equilibrium and what is built on them"
        )

    def alone(critic: CriticLike) -> bool:
        seen = Critic.of(critic).seen
        if seen is None:
            raise ValueError("pretrained has to know how many images were seen: Critic(D, seen=...)")
        return seen < images

    def d(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        return -per_sample(critic(real), len(real)).mean() if alone(critic) else after.d(critic, real, fake)

    def g(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        return torch.zeros((), device=fake.device) if alone(critic) else after.g(critic, real, fake)

    return replace(after, d=d, g=g)
