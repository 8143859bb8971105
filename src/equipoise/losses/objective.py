"""The two kinds of losses."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..critic import CriticLike as CriticLike
from ..critic import Fakes, Images, Scalar
from ..spec import build

Logits = Float[Tensor, "*logits"]  # one a sample, or a map of them, such as patch discriminators give


class Loss(NamedTuple):
    """What each player minimises, given the logits of a real and of a fake batch: `d(real, fake)`, `g(real, fake)`."""

    d: Callable[[Logits, Logits], Scalar]
    g: Callable[[Logits, Logits], Scalar]
    paired: bool = False
    """Whether `g` looks at the real logits; where not, D is not run on reals for the generator's step: they are nan."""
    state: nn.Module | None = None
    """What the loss remembers, for checkpoints."""
    energy: bool = False
    """Whether logits must be minus energies, as of an auto-encoding discriminator."""


class Game(NamedTuple):
    """What each player minimises, given (critic, real images, fake images): `d(...)` and `g(...)`.

    The critic may be a plain module where only its logits are needed; see `equipoise.critic.Critic` for more.
    """

    d: Callable[[CriticLike, Images, Fakes], Scalar]
    g: Callable[[CriticLike, Images, Fakes], Scalar]
    paired: bool = False
    """Whether `g` looks at the real images, so that there must be as many fakes."""
    state: nn.Module | None = None
    """What the loss remembers, for checkpoints."""
    energy: bool = False
    """Whether logits must be minus energies, as of an auto-encoding discriminator."""


def as_game(loss: Loss | Game | str) -> Game:
    """Any loss as a game; a string is the call of a loss."""
    if isinstance(loss, Game):
        return loss
    if isinstance(loss, str):
        from equipoise import losses

        return as_game(build(loss, losses))

    def d(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        return loss.d(critic(real), critic(fake))

    def g(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        logits = critic(fake)
        return loss.g(critic(real) if loss.paired else torch.full_like(logits, torch.nan), logits)

    return Game(d, g, loss.paired, loss.state, loss.energy)
