"""A head start for discriminators that can learn something alone."""

import torch
from torch import nn

from ..checks import check_range
from ..critic import Fakes, Images, Scalar
from .objective import CriticLike, Game, Loss, as_game


def pretrained(loss: str | Loss | Game = "energy", images: int = 20_000) -> Game:
    """L_D = E E(x), L_G = 0 for the first `images` reals, then `loss`, energy E = -D (Zhao 2017, arXiv:1609.03126).

    An auto-encoding discriminator first learns to reconstruct reals alone, so that the generator meets a strong
    opponent at once. Until then `training.steps` leaves the generator as it is. `state` keeps the number of reals,
    which grows when `d` is evaluated, unless `state.eval()`.

    >>> game, critic = pretrained(images=4), lambda x: -x[:, 0]
    >>> for _ in range(2):
    ...     game.d(critic, torch.ones(4, 1), torch.full((4, 1), 3.0)).item()  # at last the margin of 10 less 3
    1.0
    8.0
    """
    check_range(at_least=1, images=images)
    game = as_game(loss)
    if not game.energy:
        raise ValueError(
            "only a discriminator of energies can be trained on reals alone: "
            "pretrained takes energy, boundary_equilibrium and what is built on them"
        )
    pretraining = Pretraining(game, images)
    return Game(pretraining.d, pretraining.g, game.paired, pretraining, energy=True)


class Pretraining(nn.Module):
    """How many reals the discriminator has seen; both objectives, before and after it has seen enough."""

    def __init__(self, game: Game, images: int) -> None:
        super().__init__()
        self.game, self.images, self.state = game, images, game.state
        self.seen, self.alone = 0, True

    def d(self, critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        """E E(x), or the game's own."""
        self.alone = self.seen < self.images
        self.seen += len(real) * self.training
        return -critic(real).mean() if self.alone else self.game.d(critic, real, fake)

    def g(self, critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        """0, or the game's own once the discriminator has begun to play."""
        return torch.zeros((), device=fake.device) if self.alone else self.game.g(critic, real, fake)

    def finish(self) -> None:
        """From now on the game is played."""
        self.seen, self.alone = max(self.seen, self.images), False

    def get_extra_state(self) -> list[int]:
        """What a checkpoint keeps besides tensors."""
        return [self.seen, int(self.alone)]

    def set_extra_state(self, state: list[int]) -> None:
        """Takes over what `get_extra_state` gave."""
        self.seen, self.alone = state[0], bool(state[1])
