"""The usual game of two: a discriminator tells real from generated, a generator makes them alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..augment import Augmentation
from ..constraints import Constraint
from ..constraints import none as unconstrained
from ..critic import Logits, ask, centred, generate, mean
from ..labels import in_turn
from ..losses import CriticLoss, Loss, hinge, of_critic
from ..networks.growing import shown
from ..numerics import wide, without_autocast
from ..penalties import Penalty
from ..schedules import Rate
from ..spec import named
from ..training import Batch, Player, Terms, Turn
from ..trees import map_leaves, size

TAKEN = ("loss", "real", "fake", "gradient")  # names of statistics that no penalty may have


def adversarial(
    loss: Loss | CriticLoss | None = None,
    penalties: Sequence[Penalty] = (),
    g_penalties: Sequence[Penalty] = (),
    constraint: Constraint | None = None,
    augment: Augmentation | None = None,
    d_steps: Rate = 1,
    g_batch: int | None = None,
) -> dict[str, Player]:
    """min_G max_D, the networks "G" and "D" in turns (Goodfellow 2014, arXiv:1406.2661).

    Batches are images, or pairs of images and labels; G(z), or G(z, labels) where there are labels, has an attribute
    `z_dim`; D(images) or D(images, labels) returns what `equipoise.critic.Critic` describes. A round is `d_steps`
    updates of D on fresh batches, each followed by the `constraint` on its weights, then one of G on `g_batch` samples,
    as many as a batch has where that is None, each with a label taken from the real batch.

    D sees all images through `augment`. An augmentation with a method `observe_reals` is given the logits of reals
    after each update of D, and layers of D with a method `observe_fakes` those of fakes. `loss` None is `hinge()`.
    """
    game = Adversarial(
        of_critic(hinge() if loss is None else loss),
        named(penalties, TAKEN),
        named(g_penalties, TAKEN),
        constraint or unconstrained(),
        augment,
        g_batch,
    )
    of_both = (loss, *([] if augment is None else [augment]))
    return {
        "d": Player(("D",), game.d, d_steps, after=game.after_d, components=(*of_both, *penalties)),
        "g": Player(("G",), game.g, fresh=False, components=(*of_both, *g_penalties)),
    }


@dataclass(frozen=True)
class Adversarial:
    """The objectives of both players."""

    loss: CriticLoss
    penalties: dict[str, Penalty]
    g_penalties: dict[str, Penalty]
    constraint: Constraint
    augment: Augmentation | None
    g_batch: int | None

    def seen(self, turn: Turn) -> tuple[Tensor, Tensor | None]:
        """Real images as D is to see them now, and their labels."""
        real, labels = images_and_labels(turn.batch)
        return shown(turn.nets["D"], real), labels

    def d(self, turn: Turn) -> Terms:
        """The discriminator's terms."""
        G = turn.nets["G"]
        real, labels = self.seen(turn)
        z = turn.latents(len(real), z_dim(G))
        with torch.no_grad():
            fake = wide(ask(G, z, labels))
        if self.penalties and not torch.is_autocast_enabled(real.device.type):  # they can share the loss's run of D
            real, fake = real.detach().requires_grad_(), fake.requires_grad_()
        critic = turn.critic("D", labels=labels, augment=self.augment, generator=G, latents=z, learner=turn.nets["D"])
        terms = {"loss": self.loss.d(critic, real, fake)}
        logits = {"real": critic(real), "fake": critic(fake)}
        turn.kept["logits"] = map_leaves(Tensor.detach, logits)
        turn.note(**{side: mean(of_side) for side, of_side in logits.items()})
        with without_autocast(real):
            return terms | {name: penalty(critic, real, fake) for name, penalty in self.penalties.items()}

    def after_d(self, turn: Turn) -> None:
        """Constrains D's weights, and shows logits to all that adapt to them."""
        self.constraint(turn.nets["D"])
        real, fake = turn.kept["logits"]["real"], turn.kept["logits"]["fake"]
        tell(self.augment, "observe_reals", centred(real, fake) if self.loss.relative else real)
        for layer in turn.nets["D"].modules():
            tell(layer, "observe_fakes", fake)

    def g(self, turn: Turn) -> Terms:
        """The generator's terms. Each fake has a label taken from the real batch, in turn."""
        G = turn.nets["G"]
        real, labels = self.seen(turn)
        count = len(real) if self.g_batch is None else turn.share(self.g_batch)
        if labels is not None and count != len(real) and turn.piece[1] > 1:
            raise ValueError("fakes take their labels from the whole batch: in pieces, g_batch must be batch")
        labels = None if labels is None else in_turn(labels, count)
        z = turn.latents(count, z_dim(G)).requires_grad_(bool(self.g_penalties))
        fake, latents = generate(G, z, labels)
        critic = turn.critic("D", labels=labels, augment=self.augment, generator=G, latents=latents, learner=G)
        terms = {"loss": self.loss.g(critic, real.detach(), fake)}
        # A generator that is not updated has no penalties either.
        asked = self.g_penalties if terms["loss"].requires_grad else {}
        with without_autocast(real):
            return terms | {name: penalty(critic, real.detach(), fake) for name, penalty in asked.items()}


def images_and_labels(batch: Batch) -> tuple[Tensor, Tensor | None]:
    """The parts of a batch: images alone, or a pair of images and labels or None."""
    if isinstance(batch, Tensor):
        return batch, None
    if isinstance(batch, list | tuple) and len(batch) == 2 and isinstance(batch[0], Tensor):
        return batch[0], cast(Tensor | None, batch[1])
    raise ValueError(
        f"a batch of the adversarial game is a tensor of images or a pair of images and labels, "
        f"not a {type(batch).__name__} of {size(batch)} samples"
    )


def z_dim(G: nn.Module) -> int:
    """The dimension of the generator's latent vectors."""
    if not hasattr(G, "z_dim"):
        raise ValueError(f"{type(G).__name__} needs an attribute z_dim, the dimension of its latent vectors")
    return cast(int, G.z_dim)


def tell(observer: object, method: str, logits: Logits) -> Any:
    """Hands logits to whatever adapts to them."""
    if observe := getattr(observer, method, None):
        observe(logits)
