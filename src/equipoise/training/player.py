"""Who plays: networks with an objective of their own, and what they see when it is their turn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..checks import check_pieces
from ..critic import Critic
from ..processes import ALONE, World
from ..randomness import LATENTS, mixed, normal
from ..schedules import Rate
from ..trees import first, join, split

Batch = Any
"""A tree of tensors [batch, ...]: images, (images, labels), {"a": photos, "b": paintings}, audio [batch, 1, time]..."""
Terms = Mapping[str, Tensor]
"""The named parts of an objective, whose sum is minimised."""


@dataclass
class Turn:
    """What a player sees when it is to move: a batch, or a piece of one."""

    nets: nn.ModuleDict
    batch: Batch
    seen: int
    """Images that were seen when the round began, for whatever changes over time."""
    kept: dict[str, Any] = field(default_factory=dict)
    """What earlier turns of the round have left for later ones, such as fakes: trees of tensors [batch, ...]."""
    notes: dict[str, Tensor] = field(default_factory=dict)
    """Statistics that are reported and not minimised."""
    seed: int = 0
    piece: tuple[int, int] = (0, 1)
    """Which of how many pieces of the batch this is."""
    world: World = ALONE
    dtype: torch.dtype | None = None
    """Of critics, for losses and penalties alike: see `Critic`."""

    def __post_init__(self) -> None:
        self._draws = count()

    def latents(self, count: int, size: int) -> Tensor:
        """z ~ N(0, I), [count, size]: the share of this piece and this process in what is drawn for the whole batch.

        The same global batch so has the same latents on one process, on several, and in pieces.
        """
        (index, pieces), (rank, processes) = self.piece, self.world
        seed = mixed(self.seed, LATENTS, next(self._draws))
        whole = normal(seed, count * pieces * processes, size, self.device)
        return whole.chunk(processes)[rank].chunk(pieces)[index]

    def critic(self, net: str = "D", **known: Any) -> Critic:
        """The network as losses and penalties see it, at this time and in this piece; `known` as for `Critic`."""
        return Critic(self.nets[net], seen=self.seen, piece=self.piece, dtype=self.dtype, **known)

    def note(self, **statistics: Tensor) -> None:
        """Reports statistics beside the terms of the objective."""
        self.notes |= {name: value.detach() for name, value in statistics.items()}

    def count_of(self, samples: int) -> int:
        """How many of so many samples of a whole step are this piece's and this process's."""
        parts = self.piece[1] * self.world.size
        check_pieces(samples, parts)
        return samples // parts

    @property
    def device(self) -> torch.device:
        """Where the batch is."""
        return first(self.batch).device

    def in_pieces(self, kept: Sequence[dict[str, Any]]) -> list["Turn"]:
        """A turn for each piece of the batch, with what was kept of that piece."""
        parts = enumerate(zip(split(self.batch, len(kept)), kept, strict=True))
        return [
            replace(self, batch=batch, kept=own, piece=(number, len(kept)), notes={}) for number, (batch, own) in parts
        ]

    def as_whole(self, kept: Sequence[dict[str, Any]]) -> "Turn":
        """The turn with what was kept of all pieces, one after the other."""
        return replace(self, kept=cast(dict[str, Any], join(kept)))


@dataclass(frozen=True)
class Player:
    """Moves the weights of `nets` down `objective`, `updates` times a round.

    `objective(turn)` gives named terms, whose sum is minimised by a gradient with respect to the player's own weights
    alone. A term for which there is nothing to learn may be left out; a player without a gradient is not updated.
    """

    nets: tuple[str, ...]
    objective: Callable[[Turn], Terms]
    updates: Rate = 1
    fresh: bool = True
    """Whether each update takes a fresh batch; else it is that of the player before."""
    after: Callable[[Turn], None] = lambda turn: None
    """What is done after each update: a constraint on weights, an augmentation that adapts..."""
    components: tuple[object, ...] = ()
    """Losses, penalties and whatever else the objective is made of; those with a state go into checkpoints."""


Players = Mapping[str, Player]
