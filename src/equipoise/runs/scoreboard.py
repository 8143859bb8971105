"""The scores of a run: written when they are due, beside the checkpoint that is the best so far."""

from collections.abc import Callable
from typing import Any

import torch

from ..processes import ALONE, World
from ..recipe import Recipe, known
from ..training import State
from ..watching import Watch, unwatched
from .folder import RunFolder, append_row, read_rows
from .outputs import Output
from .references import RealImages
from .scoring import Scorer


class Scoreboard:
    """What compares the outputs of a run with real images, and the rows that training has written of them.

    The processes of a `world` score together, and the first one writes.
    """

    def __init__(
        self,
        folder: RunFolder,
        recipe: Recipe,
        outputs: list[Output],
        device: torch.device,
        world: World = ALONE,
        watch: Watch = unwatched,
    ) -> None:
        self.folder, self.recipe, self.outputs, self.world = folder, recipe, outputs, world
        calls = known(recipe.score)
        self.scorers = [
            Scorer(RealImages(output.real), str(recipe.features), device, calls, watch, world) for output in outputs
        ]

    @property
    def unseen(self) -> int:
        """How many real images are still to be looked at."""
        return sum(scorer.unseen for scorer in self.scorers)

    def rows(self, output: Output) -> list[dict[str, Any]]:
        """The scores of an output that training has written so far."""
        rows = [row for row in read_rows(self.folder.metrics_file) if row["when"] == "training"]
        return [row for row in rows if row.get("output") == output.about.get("output")]

    def missing(self, seen: int) -> list[Output]:
        """The outputs that have no score of this moment yet, as the process that writes sees it."""
        without = lambda output: seen not in [row["seen"] for row in self.rows(output)]
        found = self.world.from_first([without(output) for output in self.outputs])
        return [output for output, lacks in zip(self.outputs, found, strict=True) if lacks]

    def add(self, state: State, untrained: Callable[[], State]) -> dict[str, Any] | None:
        """Scores all outputs that have no score of this moment; the first process gets the row of the first of them.

        When the first score is due the generators are scored as they were before training too, which so begins at once.
        """
        if before := self.missing(0):
            start = untrained()
            for output in before:
                self.add_one(output, start)
        rows = [self.add_one(output, state) for output in self.missing(state.seen)]
        return rows[0] if rows else None

    def add_one(self, output: Output, state: State) -> dict[str, Any] | None:
        """Scores an EMA generator; keeps the checkpoint if it is the best so far, by the first output."""
        G, seed = state.averages[output.net], 1
        scorer, count = self.scorers[self.outputs.index(output)], output.count(int(self.recipe.score_images or 0))
        evaluation = scorer.score(output.generated(G, count, seed), count, output.subject(G, seed))
        if not self.world.leads:
            return None
        values = evaluation.values()
        row: dict[str, Any] = {"seen": state.seen, "weights": "averaged", "seed": seed, "when": "training"}
        row |= output.about | values | scorer.card(count)
        if state.seen and output is self.outputs[0] and is_best(row, self.rows(output)):
            self.folder.save_best(self.folder.newest_checkpoint())
        append_row(self.folder.metrics_file, row)  # last: a process killed before this line scores again
        return row


def is_best(row: dict[str, Any], before: list[dict[str, Any]]) -> bool:
    """Whether the first score is at least as good as all before, that of the untrained generator apart."""
    first, about = next(iter(row["scores"].items()))
    sign = -1 if about["higher"] else 1
    return all(sign * row[first] <= sign * earlier[first] for earlier in before if earlier["seen"])
