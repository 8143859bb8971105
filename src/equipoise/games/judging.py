"""What every discriminator of a game does: it tells real from generated, by a loss and penalties."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..augment import Augmentation
from ..constraints import Constraint
from ..constraints import none as unconstrained
from ..critic import Critic, Logits, centred, mean
from ..losses import CriticLoss, Loss, of_critic
from ..numerics import without_autocast
from ..penalties import Penalty
from ..processes import whole
from ..profiling import span
from ..spec import named
from ..training import Terms, Turn
from ..trees import map_leaves

TAKEN = ("loss", "real", "fake", "gradient")  # names of statistics that no penalty may have


@dataclass(frozen=True)
class Judge:
    """The terms of a discriminator, and what follows its updates."""

    net: str
    loss: CriticLoss
    penalties: dict[str, Penalty]
    constraint: Constraint
    augment: Augmentation | None

    @classmethod
    def of(
        cls,
        net: str,
        loss: Loss | CriticLoss,
        penalties: Sequence[Penalty] = (),
        constraint: Constraint | None = None,
        augment: Augmentation | None = None,
    ) -> "Judge":
        """From what a game is made of."""
        return cls(net, of_critic(loss), named(penalties, TAKEN), constraint or unconstrained(), augment)

    def terms(self, turn: Turn, real: Tensor, fake: Tensor, **known: Any) -> Terms:
        """The loss and the penalties, for reals and fakes that no gradient passes; `known` as for `Critic`."""
        if self.penalties:  # so that they can share the loss's run of D
            real, fake = real.detach().requires_grad_(), fake.requires_grad_()
        critic = turn.critic(self.net, augment=self.augment, learner=turn.nets[self.net], **known)
        terms = {"loss": self.loss.d(critic, real, fake)}
        logits = {"real": critic(real), "fake": critic(fake)}
        turn.kept["logits"] = map_leaves(Tensor.detach, logits)
        turn.note(**{side: mean(of_side) for side, of_side in logits.items()})
        with without_autocast(real):
            return terms | {name: timed(name, penalty, critic, real, fake) for name, penalty in self.penalties.items()}

    def after(self, turn: Turn) -> None:
        """Constrains the weights, and shows logits to all that adapt to them."""
        self.constraint(turn.nets[self.net])
        observers = [layer for layer in turn.nets[self.net].modules() if hasattr(layer, "observe_fakes")]
        if not observers and not hasattr(self.augment, "observe_reals"):
            return
        real, fake = (map_leaves(whole, turn.kept["logits"][side]) for side in ("real", "fake"))
        tell(self.augment, "observe_reals", centred(real, fake) if self.loss.relative else real)
        for layer in observers:
            tell(layer, "observe_fakes", fake)

    def fooled(self, turn: Turn, real: Tensor, fake: Tensor, **known: Any) -> Tensor:
        """The loss of a generator that made these fakes."""
        critic = turn.critic(self.net, augment=self.augment, **known)
        return self.loss.g(critic, real.detach(), fake)


def timed(name: str, penalty: Penalty, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """A penalty, which is work of a kind of its own."""
    with span(f"penalty {name}"):
        return penalty(critic, real, fake)


def tell(observer: object, method: str, logits: Logits) -> Any:
    """Hands logits to whatever adapts to them."""
    if observe := getattr(observer, method, None):
        observe(logits)
