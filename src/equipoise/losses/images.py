"""Games that look at images or features besides logits."""

from typing import Literal

from torch.nn.functional import leaky_relu

from ..checks import check_choice, check_range
from ..critic import Critic, Fakes, Images, Scalar
from .objective import CriticLike, Game, Loss, as_game


def loss_sensitive(margin: float = 2e-4, real_weight: float = 0.0, slope: float = 0.0) -> Game:
    """L_D = w E L(x) + E max(0, m |x - G|_1 + L(x) - L(G)), L_G = E L(G), L = -D (Qi 2017, arXiv:1701.06264, Eq. 6-7).

    Reals and fakes are compared in pairs, and the margin shrinks as fakes come close: m times the sum of absolute
    differences over all values of an image in [-1, 1]. Defaults are those of the author's code for 64x64 RGB; the
    paper's w is 1. `slope` is that of a leaky ReLU in place of max(0, .): GLS-GAN, which at 1 is the Wasserstein loss.
    """
    check_range(at_least=0, margin=margin, real_weight=real_weight)
    check_range(at_least=0, at_most=1, slope=slope)

    def d(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        distance = margin * (real - fake).detach().abs().flatten(1).sum(1)
        real_loss, fake_loss = -critic(real), -critic(fake)
        gap = leaky_relu(distance + real_loss - fake_loss, slope)
        return real_weight * real_loss.mean() + gap.mean()

    return Game(d, lambda critic, real, fake: -critic(fake).mean())


def feature_matching(loss: str | Loss | Game = "non_saturating", norm: Literal["l1", "l2"] = "l1") -> Game:
    """L_G = |E f(x) - E f(G)|, f features of D, L_D that of `loss` (Salimans 2016, arXiv:1606.03498, Sec. 3.1).

    The mean absolute difference, as in the authors' code, which made the paper's results; `norm="l2"` is the paper's
    text, the sum of squared differences. Asks the critic for features.
    """
    check_choice(norm, ["l1", "l2"], f"norm cannot be {norm!r}")
    game = as_game(loss)

    def g(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        asked = Critic.of(critic)
        difference = asked.features(real).mean(0).detach() - asked.features(fake).mean(0)
        return difference.abs().mean() if norm == "l1" else difference.square().sum()

    return Game(game.d, g, paired=True, state=game.state, energy=game.energy)
