"""Translation between two domains, a and b: without pairs there and back again, with pairs straight to the partner."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import l1_loss

from ..augment import Augmentation
from ..checks import check_range
from ..constraints import Constraint
from ..critic import Scalar
from ..losses import CriticLoss, Loss, least_squares, non_saturating
from ..networks.growing import shown
from ..numerics import wide
from ..penalties import Penalty
from ..schedules import Rate, at
from ..training import Batch, Player, Terms, Turn
from .buffer import ImageBuffer
from .judging import Judge

WAYS = {"ab": ("a", "b"), "ba": ("b", "a")}
"""Of each direction, the domain that it starts from and the one that it leads to."""


def cycle(
    loss: Loss | CriticLoss | None = None,
    penalties: Sequence[Penalty] = (),
    constraint: Constraint | None = None,
    augment: Augmentation | None = None,
    weight: Rate = 5.0,
    identity: Rate = 0.5,
    buffer: int = 50,
) -> dict[str, Player]:
    """L_ab + L_ba + w (|G_ba(G_ab(a)) - a| + |G_ab(G_ba(b)) - b|) (Zhu 2017, arXiv:1703.10593, Eq. 3).

    And `identity` w (|G_ab(b) - b| + |G_ba(a) - a|) (Sec. 5.2). Batches are {"a": images, "b": images}; networks "G_ab"
    and "G_ba", images to images, are one player, and "D_a" and "D_b" one each. The discriminators see fakes through a
    buffer of so many of each domain. Penalties are those of either discriminator, a copy for each. `loss` None is
    `least_squares()`, whose generator's part is half of what the authors' code minimises: their w = 10 is 5 here.

    Statistics tell what a translation does: `change_ab`, mean |G_ab(a) - a|, is 0 for a network that copies its input,
    and `colour_ab`, the correlation of input and output, near -1 where it inverts colours.
    """
    check_range(at_least=0, weight=weight, identity=identity)
    chosen = loss or least_squares()
    if chosen.state is not None:
        raise ValueError("cycle has two discriminators, and this loss keeps a state of one: choose one without")
    copies = {"a": list(penalties), "b": deepcopy(list(penalties))}
    judges = {d: Judge.of(f"D_{d}", chosen, copies[d], constraint, augment) for d in "ab"}
    buffers = {d: ImageBuffer(buffer) for d in "ab"}
    game = Cycle(judges, buffers, weight, identity)
    also = () if augment is None else (augment,)
    parts = {d: (chosen, *also, *copies[d], buffers[d]) for d in "ab"}
    return {
        "g": Player(("G_ab", "G_ba"), game.g, components=(chosen, *also)),
        "d_a": Player(("D_a",), game.d_a, fresh=False, after=judges["a"].after, components=parts["a"]),
        "d_b": Player(("D_b",), game.d_b, fresh=False, after=judges["b"].after, components=parts["b"]),
    }


def paired(
    loss: Loss | CriticLoss | None = None,
    penalties: Sequence[Penalty] = (),
    constraint: Constraint | None = None,
    augment: Augmentation | None = None,
    weight: Rate = 100.0,
) -> dict[str, Player]:
    """L_G + w |G(a) - b|, D sees (a, b) and (a, G(a)) (Isola 2017, arXiv:1611.07004, Eq. 4).

    Batches are pairs of images (a, b); the networks are "G", images to images, and "D", whose images have
    the channels of both, one after the other. `loss` None is `non_saturating()`.

    The statistics `change` and `colour` are as in `cycle`.
    """
    check_range(at_least=0, weight=weight)
    judge = Judge.of("D", loss or non_saturating(), penalties, constraint, augment)
    game = Paired(judge, weight)
    parts = (loss, *([] if augment is None else [augment]))
    return {
        "d": Player(("D",), game.d, after=judge.after, components=(*parts, *penalties)),
        "g": Player(("G",), game.g, fresh=False, components=parts),
    }


@dataclass(frozen=True)
class Cycle:
    """The objectives of both generators and of each discriminator."""

    judges: dict[str, Judge]
    buffers: dict[str, ImageBuffer]
    weight: Rate
    identity: Rate

    def g(self, turn: Turn) -> Terms:
        """The generators' terms: to fool both discriminators, to come back, to leave alone what is there already."""
        images, weight = as_shown(turn), at(self.weight, turn.seen)
        identity, terms, fooled = weight * at(self.identity, turn.seen), dict[str, Tensor](), []
        for way, (start, end) in WAYS.items():
            there, back = turn.nets[f"G_{way}"], turn.nets[f"G_{way[::-1]}"]
            fake = wide(there(images[start]))
            turn.kept[f"fake_{end}"] = fake.detach()
            fooled.append(self.judges[end].fooled(turn, images[end], fake, learner=there))
            terms[f"cycle_{start}"] = weight * l1_loss(wide(back(fake)), images[start])
            if identity:
                terms[f"identity_{end}"] = identity * l1_loss(wide(there(images[end])), images[end])
            turn.note(**{f"loss_{way}": fooled[-1]} | told(images[start], fake, f"_{way}"))
        return {"loss": torch.stack(fooled).sum(), **terms}

    def d_a(self, turn: Turn) -> Terms:
        """The terms of the discriminator of a."""
        return self._d(turn, "a")

    def d_b(self, turn: Turn) -> Terms:
        """The terms of the discriminator of b."""
        return self._d(turn, "b")

    def _d(self, turn: Turn, domain: str) -> Terms:
        fakes = self.buffers[domain](turn.kept[f"fake_{domain}"])
        return self.judges[domain].terms(turn, as_shown(turn)[domain], fakes)


@dataclass(frozen=True)
class Paired:
    """The objectives of both players."""

    judge: Judge
    weight: Rate

    def d(self, turn: Turn) -> Terms:
        """The discriminator's terms, of pairs."""
        (a, b), G = partners_in(turn.batch), turn.nets["G"]
        with torch.no_grad():
            fake = wide(G(a))
        return self.judge.terms(turn, together(a, b), together(a, fake))

    def g(self, turn: Turn) -> Terms:
        """The generator's terms."""
        (a, b), G = partners_in(turn.batch), turn.nets["G"]
        fake = wide(G(a))
        turn.note(**told(a, fake))
        loss = self.judge.fooled(turn, together(a, b), together(a, fake), learner=G)
        return {"loss": loss, "l1": at(self.weight, turn.seen) * l1_loss(fake, b)}


def together(a: Tensor, b: Tensor) -> Tensor:
    """The channels of both, one after the other."""
    return torch.cat([a, b], dim=1)


def told(images: Tensor, fakes: Tensor, of: str = "") -> dict[str, Scalar]:
    """What a translation does to images: how much it changes them, and the correlation of their values.

    >>> x = torch.tensor([-1.0, 0.0, 1.0])
    >>> [round(value.item(), 2) for value in told(x, x).values()], [round(v.item(), 2) for v in told(x, -x).values()]
    ([0.0, 1.0], [1.33, -1.0])
    """
    x, y = images.detach().flatten(), fakes.detach().flatten()
    x, y = x - x.mean(), y - y.mean()
    colour = (x * y).sum() / (x.norm() * y.norm()).clamp(min=1e-12)
    return {f"change{of}": l1_loss(fakes.detach(), images), f"colour{of}": colour}


def as_shown(turn: Turn) -> dict[str, Tensor]:
    """The images of both domains as their discriminators are to see them now."""
    return {domain: shown(turn.nets[f"D_{domain}"], x) for domain, x in domains_of(turn.batch).items()}


def domains_of(batch: Batch) -> dict[str, Tensor]:
    """The images of both domains; raises ValueError for a batch of anything else."""
    if not (isinstance(batch, dict) and {*batch} == {"a", "b"}):
        raise ValueError(
            f"cycle learns without pairs: its batches are dictionaries of images a and b, --domains unpaired, and this "
            f"is a {type(batch).__name__}"
        )
    return batch


def partners_in(batch: Batch) -> tuple[Tensor, Tensor]:
    """Inputs and their partners; raises ValueError for a batch of anything else."""
    if not (isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch)):
        raise ValueError(
            f"paired learns from pairs: its batches are pairs of images (a, b), --domains a_to_b or b_to_a, and this "
            f"is a {type(batch).__name__}"
        )
    return batch[0], batch[1]
