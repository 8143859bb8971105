"""The usual game of two: a discriminator tells real from generated, a generator makes them alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ..augment import Augmentation
from ..calls import ask, generate
from ..constraints import Constraint
from ..labels import in_turn
from ..losses import CriticLoss, Loss, hinge
from ..networks.growing import shown
from ..numerics import wide, without_autocast
from ..penalties import Penalty
from ..processes import whole
from ..schedules import Rate
from ..spec import named
from ..training import Batch, Player, Terms, Turn
from ..trees import size
from .judging import TAKEN, Judge


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
    judge = Judge.of("D", hinge() if loss is None else loss, penalties, constraint, augment)
    game = Adversarial(judge, named(g_penalties, TAKEN), g_batch)
    of_both = (loss, *([] if augment is None else [augment]))
    return {
        "d": Player(("D",), game.d, d_steps, after=judge.after, components=(*of_both, *penalties)),
        "g": Player(("G",), game.g, fresh=False, components=(*of_both, *g_penalties)),
    }


@dataclass(frozen=True)
class Adversarial:
    """The objectives of both players."""

    judge: Judge
    g_penalties: dict[str, Penalty]
    g_batch: int | None

    def as_shown(self, turn: Turn) -> tuple[Tensor, Tensor | None]:
        """Real images as D is to see them now, and their labels."""
        real, labels = images_and_labels(turn.batch)
        return shown(turn.nets["D"], real), labels

    def d(self, turn: Turn) -> Terms:
        """The discriminator's terms."""
        G = turn.nets["G"]
        real, labels = self.as_shown(turn)
        z = turn.latents(len(real), z_dim(G))
        with torch.no_grad():
            fake = wide(ask(G, z, labels))
        return self.judge.terms(turn, real, fake, labels=labels, generator=G, latents=z)

    def g(self, turn: Turn) -> Terms:
        """The generator's terms. Each fake has a label taken from the real batch, in turn."""
        G = turn.nets["G"]
        real, labels = self.as_shown(turn)
        count = len(real) if self.g_batch is None else turn.count_of(self.g_batch)
        if labels is not None and count != len(real):
            if turn.piece[1] > 1:
                raise ValueError("fakes take their labels from the whole batch: in pieces, g_batch must be batch")
            labels = turn.world.share(in_turn(whole(labels), count * turn.world.size))
        z = turn.latents(count, z_dim(G)).requires_grad_(bool(self.g_penalties))
        fake, latents = generate(G, z, labels)
        known = {"labels": labels, "generator": G, "latents": latents}
        critic = turn.critic("D", augment=self.judge.augment, learner=G, **known)
        terms = {"loss": self.judge.loss.g(critic, real.detach(), fake)}
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
