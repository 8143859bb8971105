"""What came of a study, read from its folder."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ..runs.folder import RunFolder
from ..study import Cell, Study, begun
from ..study.comparison import Scores
from ..study.plan import Trial, best_setting, failure, tried
from .record import Record, Row, by_card, by_output, card_key, is_higher_better, number, read, scores_in


class Outcome(NamedTuple):
    """A run of a study: what it recorded, and why it failed where it did."""

    cell: Cell
    seed: int
    record: Record | None
    failure: dict[str, Any] | None

    @property
    def last(self) -> Row | None:
        """The scores of the end, None for a run that has not come there."""
        if self.record is None or self.failure or not self.record.finished or not self.record.training:
            return None
        row = by_output(self.record.training)[0][-1]
        return row if row["seen"] >= self.record.images else None

    @property
    def ended(self) -> bool:
        """Whether anything is left to do."""
        return self.last is not None or self.failure is not None


@dataclass(frozen=True)
class Results:
    """All runs of a study, those of its cells' seeds."""

    path: Path
    study: Study
    outcomes: list[Outcome]

    @property
    def name(self) -> str:
        """What the study is called."""
        return self.study.title or self.path.resolve().name

    @property
    def ended(self) -> int:
        """How many runs have ended."""
        return sum(outcome.ended for outcome in self.outcomes)

    @cached_property
    def metrics(self) -> list[str]:
        """The scores that runs have, the one that decides first."""
        return scores_in([outcome.last for outcome in self.outcomes if outcome.last], parts=True)

    def of(self, cell: Cell) -> list[Outcome]:
        """The runs of a cell."""
        return [outcome for outcome in self.outcomes if outcome.cell == cell]

    def higher(self, metric: str) -> bool:
        """Whether more of a score is better."""
        return any(is_higher_better(metric, outcome.last) for outcome in self.outcomes if outcome.last)

    def value(self, outcome: Outcome, metric: str) -> float | None:
        """The final score of a run that is measured as its column is; None for others."""
        row = outcome.last
        alike = row is not None and card_key(row) == self.card(outcome.cell.column)
        return number(row, metric) if row is not None and alike else None

    def card(self, column: str) -> str:
        """How most runs of a column are measured: their card."""
        rows = [outcome.last for outcome in self.outcomes if outcome.last and outcome.cell.column == column]
        groups = by_card(rows)
        return max(groups, key=lambda key: len(groups[key])) if groups else ""

    def measured_otherwise(self) -> list[Outcome]:
        """Finished runs whose scores cannot be compared with those of their column."""
        return [
            outcome
            for outcome in self.outcomes
            if outcome.last is not None and card_key(outcome.last) != self.card(outcome.cell.column)
        ]

    def scores(self, metric: str) -> Scores:
        """The final scores of each cell's runs that have one."""
        return {
            cell: [score for outcome in self.of(cell) if (score := self.value(outcome, metric)) is not None]
            for cell in self.study.cells
        }

    def survived(self, outcome: Outcome) -> bool:
        """Whether a run ended well: with the score that the study asks for, or a better one than untrained."""
        metric = self.metrics[0] if self.metrics else ""
        final = number(outcome.last, metric) if outcome.last else None
        if final is None or outcome.record is None:
            return False
        sign = -1 if self.higher(metric) else 1
        if self.study.survives is not None:
            return sign * final <= sign * self.study.survives
        first = number(by_output(outcome.record.training)[0][0], metric)
        return first is None or sign * final < sign * first

    def survivors(self, cell: Cell) -> tuple[int, int]:
        """How many of a cell's runs survived, of those that have ended."""
        ended = [outcome for outcome in self.of(cell) if outcome.ended]
        return sum(map(self.survived, ended)), len(ended)

    @cached_property
    def trials(self) -> dict[Cell, list[Trial]]:
        """What was tried in each cell that is searched."""
        return {cell: tried(self.study, self.path, cell) for cell in self.study.searched}

    @cached_property
    def settings(self) -> dict[Cell, dict[str, Any]]:
        """The best setting of each cell whose search has ended."""
        best = {cell: best_setting(self.study, self.path, cell) for cell in self.study.searched}
        return {cell: setting for cell, setting in best.items() if setting}

    def blocks(self, metric: str) -> list[dict[str, float | None]]:
        """The final scores of all rows, for each column and seed in which all have ended."""
        found, otherwise = [], {*map(id, self.measured_otherwise())}
        for column in self.study.columns:
            for seed in self.study.seeds:
                here = [o for o in self.outcomes if o.cell.column == column and o.seed == seed]
                if here and all(outcome.ended for outcome in here) and not {*map(id, here)} & otherwise:
                    found.append({outcome.cell.row: self.value(outcome, metric) for outcome in here})
        return found


def results(out: str | Path) -> Results:
    """Reads the folder of a study; raises ValueError for a folder that is none."""
    folder, study = Path(out), begun(out)
    pairs = [(cell, seed) for cell in study.cells for seed in study.seeds]
    return Results(folder, study, [outcome(folder / cell.slug / f"seed-{seed}", cell, seed) for cell, seed in pairs])


def outcome(folder: Path, cell: Cell, seed: int) -> Outcome:
    """What is in the folder of one run."""
    record = read(folder) if RunFolder(folder).recipe_file.is_file() else None
    return Outcome(cell, seed, record, failure(folder))
