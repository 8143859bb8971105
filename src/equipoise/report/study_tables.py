"""The tables of a study."""

from collections.abc import Iterable
from math import isnan
from typing import Any, NamedTuple

from ..study import Cell
from ..study.comparison import SIGNIFICANT, Agreement, Summary, agreement, ranks, significance, standings, summary
from . import numbers
from .record import card_key, number, score_title
from .study_results import Outcome, Results
from .tables import Entry, Table, Way, most_memory, plain, way_of


class Value(NamedTuple):
    """A cell of the table of scores, with its marks."""

    found: Summary | None
    survivors: str
    best: bool
    p: float | None

    @property
    def text(self) -> str:
        """The mean and half of the interval."""
        return in_words(self.found)

    @property
    def significant(self) -> bool:
        """Whether it differs from the baseline by more than chance."""
        return self.p is not None and self.p < SIGNIFICANT


class Matrix(NamedTuple):
    """Rows x columns of one score."""

    metric: str
    title: str
    columns: list[str]
    rows: list[tuple[str, list[Value]]]
    how: str


def matrix(results: Results, metric: str) -> Matrix:
    """The mean of each cell with half of its 95 per cent interval, survivors, and significance."""
    scores, study = results.scores(metric), results.study
    found = {cell: summary(scores[cell]) for cell in study.cells}
    p = significance(scores, study.compared_with)
    best = {name: best_rows(results, metric, found, name) for name in study.columns}
    value = lambda cell: Value(found[cell], survivors(results, cell), cell.row in best[cell.column], p.get(cell))
    rows = [(row, [value(Cell(row, column)) for column in study.columns]) for row in study.rows]
    return Matrix(metric, title(results, metric), [*study.columns], rows, how(results))


def best_rows(results: Results, metric: str, found: dict[Cell, Summary | None], column: str) -> list[str]:
    """The row with the best mean of those that have most survivors, or the rows that share this place."""
    sign = -1 if results.higher(metric) else 1
    place = lambda cell, part: (-results.survivors(cell)[0], sign * part.mean)
    places = {cell.row: place(cell, part) for cell, part in found.items() if part and cell.column == column}
    return [row for row, own in places.items() if own == min(places.values())]


def title(results: Results, metric: str) -> str:
    """What a score is called."""
    rows = (outcome.last for outcome in results.outcomes if outcome.last and metric in outcome.last)
    return score_title(metric, *rows)


def in_words(found: Summary | None) -> str:
    """The mean and half of the interval."""
    if found is None:
        return "none"
    return numbers.value(found.mean) + ("" if isnan(found.half) else f" ± {numbers.value(found.half)}")


def survivors(results: Results, cell: Cell) -> str:
    """3/3, or what is still to come."""
    alive, ended = results.survivors(cell)
    return f"{alive}/{ended}" if ended else "not run"


def how(results: Results) -> str:
    """How the scores were measured, for each way there is."""
    rows = {
        o.cell.column: o.last for o in results.outcomes if o.last and card_key(o.last) == results.card(o.cell.column)
    }
    ways: dict[str, list[str]] = {}
    for name, row in rows.items():
        ways.setdefault(_in_a_line(way_of(row)), []).append(name)
    return "; ".join(way if len(ways) == 1 else f"{', '.join(names)}: {way}" for way, names in ways.items())


def _in_a_line(way: Way) -> str:
    return f"{way.sides}, {way.features} features {way.digest[:8]}, {way.rest}"


def rank_table(results: Results) -> tuple[Table, str] | None:
    """Mean ranks by the first score, and how far columns and seeds agree, in words."""
    metric = results.metrics[0]
    blocks = results.blocks(metric)
    if len(results.study.rows) < 2 or not blocks:
        return None
    ranked = ranks(blocks, results.higher(metric))
    entries = [Entry(s.row, [f"{s.mean:.2f}", f"{s.deviation:.2f}", f"{s.first:.0%}"]) for s in standings(ranked)]
    head = ["Row", "Mean rank", "Deviation", "Ranked first"]
    return Table("Ranks", head, entries, (1,)), _agreed(agreement(ranked), len(blocks))


def _agreed(found: Agreement | None, blocks: int) -> str:
    over = f"Over {blocks} {'pair' if blocks == 1 else 'pairs'} of column and seed"
    if found is None:
        return f"{over}: too few to say how far ranks hold."
    return f"{over}: Kendall's W {found.w:.2f} (1: all rank alike), Friedman's p {found.p:.2g}."


def search(results: Results) -> Table | None:
    """The settings that were tried in each cell with their scores."""
    if not results.trials:
        return None
    entries = []
    for cell, trials in results.trials.items():
        for trial in trials:
            score = "none" if trial.score is None else numbers.value(trial.score)
            entries.append(Entry(cell.name, [in_fields(trial.drawn), numbers.count(trial.images), score]))
    score = title(results, results.metrics[0]) if results.metrics else "Score"
    return Table("Settings", ["Cell", "Setting", "Images", score], entries, (1,))


def in_fields(setting: dict[str, Any]) -> str:
    """Fields of a recipe with their values, in a line."""
    return "; ".join(f"{name} {plain(value)}" for name, value in setting.items())


def costs(results: Results) -> Table:
    """What a run of each cell takes: time with half of its 95 per cent interval, speed, memory."""
    entries = []
    for cell in results.study.cells:
        records = [outcome.record for outcome in results.of(cell) if outcome.last and outcome.record]
        if records:
            mean = lambda values: sum(values) / len(values)
            images, took = mean([r.seen for r in records]), summary([r.seconds or 0 for r in records])
            assert took is not None
            spread = "" if isnan(took.half) else f" ± {numbers.duration(took.half)}"
            cells = [
                numbers.count(images),
                numbers.duration(took.mean) + spread,
                numbers.speed(images, took.mean),
                most_memory(records),
            ]
            entries.append(Entry(cell.name, cells))
    return Table("Cost of a run", ["Cell", "Images", "Time in training", "Speed", "Most memory"], entries)


def failures(results: Results) -> Table | None:
    """The runs that failed, and those that ended no better than they began."""
    entries = [Entry(f"{o.cell.name}, seed {o.seed}", list(_failed(o))) for o in results.outcomes if o.failure]
    entries += [
        Entry(
            f"{o.cell.name}, seed {o.seed}",
            ["ended badly", f"{results.metrics[0]} {numbers.value(number(o.last, results.metrics[0]))}"],
        )
        for o in results.outcomes
        if o.last and not results.survived(o)
    ]
    return Table("Runs that failed", ["Run", "How", "Why"], entries) if entries else None


def _failed(outcome: Outcome) -> Iterable[str]:
    found = outcome.failure or {}
    return str(found.get("kind", "failed")), str(found.get("reason", "not known"))
