"""The two kinds of losses, and losses of logits lifted to all that a discriminator may return."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..critic import Critic, CriticLike, Fakes, Images, Logits, Scalar, heads
from ..processes import whole
from ..trees import map_leaves

OfHead = Callable[[Tensor, Tensor], Scalar]


class Loss:
    """What each player minimises, given the logits of a real and of a fake batch: `d(real, fake)`, `g(real, fake)`.

    It is made of two functions of the logits of one head, [batch] or a map [batch, ...]; of several heads the values
    are summed. With `together` the functions get the lists of all heads at once.
    """

    def __init__(
        self,
        d: OfHead | Callable[[list[Tensor], list[Tensor]], Scalar],
        g: OfHead | Callable[[list[Tensor], list[Tensor]], Scalar],
        *,
        paired: bool = False,
        relative: bool = False,
        energy: bool = False,
        batchwise: bool = False,
        together: bool = False,
        state: nn.Module | None = None,
    ) -> None:
        self._d, self._g, self.together = d, g, together
        self.paired = paired
        """Whether `g` looks at the real logits; where not, they are nan, and D is not run on reals in G's step."""
        self.relative = relative
        """Whether `d` depends on differences of logits alone, so that their sign says nothing."""
        self.energy = energy
        """Whether logits must be minus energies, as those of an auto-encoding discriminator."""
        self.batchwise = batchwise
        """Whether samples are compared across the batch, so that it cannot be looked at in pieces."""
        self.state = state
        """The state of the loss, for checkpoints."""

    def d(self, real: Logits, fake: Logits) -> Scalar:
        """What the discriminator minimises."""
        return self._over_heads(self._d, real, fake)

    def g(self, real: Logits, fake: Logits) -> Scalar:
        """What the generator minimises."""
        return self._over_heads(self._g, real, fake)

    def _over_heads(self, of: Callable[..., Scalar], real: Logits, fake: Logits) -> Scalar:
        reals, fakes = heads(real), heads(fake)
        if len(reals) != len(fakes):
            raise ValueError(f"{len(reals)} heads for reals and {len(fakes)} for fakes cannot be compared")
        if self.together:
            return of(reals, fakes)
        pairs = zip(reals, fakes, strict=True)
        return torch.stack([of(of_real, of_fake) for of_real, of_fake in pairs]).sum()


@dataclass(frozen=True)
class CriticLoss:
    """What each player minimises, given (critic, real images, fake images): `d(...)` and `g(...)`.

    For losses that need more than logits: distances between images, features, class logits. The critic may be a plain
    module where only its logits are needed; see `equipoise.critic.Critic` for more. The other fields are as in `Loss`.
    """

    d: Callable[[CriticLike, Images, Fakes], Scalar]
    g: Callable[[CriticLike, Images, Fakes], Scalar]
    paired: bool = False
    """Whether `g` looks at the real images, so that there must be as many fakes."""
    relative: bool = False
    energy: bool = False
    state: nn.Module | None = None


def of_critic(loss: Loss | CriticLoss) -> CriticLoss:
    """Any loss as a function of (critic, real images, fake images)."""
    if isinstance(loss, CriticLoss):
        return loss

    def logits(critic: CriticLike, images: Images) -> Logits:
        if loss.batchwise:
            Critic.of(critic).require_whole_batch("this loss")
        return map_leaves(whole, critic(images)) if loss.batchwise else critic(images)

    def d(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        return loss.d(logits(critic, real), logits(critic, fake))

    def g(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        of_fake = logits(critic, fake)
        nothing = lambda head: torch.full_like(head, torch.nan)
        return loss.g(logits(critic, real) if loss.paired else map_leaves(nothing, of_fake), of_fake)

    return CriticLoss(d, g, loss.paired, loss.relative, loss.energy, loss.state)
