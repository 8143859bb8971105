"""The results of a study for other programs: CSV, a line for each run or cell; LaTeX, a table for each score."""

import csv
import io
from math import isnan

from ..study import Cell
from ..study.plan import Trial
from . import numbers
from .record import card_key
from .study_results import Outcome, Results
from .study_tables import Matrix, Value, in_fields, matrix

RUN = ["row", "column", "seed", "trial", "setting", "state"]
RESULTS = [*RUN, "metric", "value", "low", "high", "survived", "images", "seconds", "card"]
CELLS = ["row", "column", "metric", "mean", "low", "high", "survivors", "runs", "p", "best"]
SPECIAL = str.maketrans({char: f"\\{char}" for char in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\^{}"})


def runs_csv(results: Results) -> str:
    """All runs, failed ones too, and the trials of a search."""
    lines = [line for outcome in results.outcomes for line in _lines(results, outcome)]
    lines += [_trial(results, cell, trial) for cell, trials in results.trials.items() for trial in trials]
    return _csv(RESULTS, lines)


def cells_csv(results: Results) -> str:
    """All cells: means over seeds with 95 per cent intervals, survivors of the runs that ended, and the corrected p
    against the baseline row."""
    lines: list[list[object]] = []
    for metric in results.metrics:
        scores = matrix(results, metric)
        for row, values in scores.rows:
            for column, value in zip(scores.columns, values, strict=True):
                found = value.found[:3] if value.found else ()
                ends = ["" if isnan(number) else number for number in found] or [""] * 3
                counts = results.survivors(Cell(row, column))
                lines.append([row, column, metric, *ends, *counts, "" if value.p is None else value.p, value.best])
    return _csv(CELLS, lines)


def _csv(head: list[str], lines: list[list[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([head, *lines])
    return out.getvalue()


def _trial(results: Results, cell: Cell, trial: Trial) -> list[object]:
    """A setting that was tried, with its last score."""
    run = [*cell, "", trial.number, in_fields(trial.drawn), "tried"]
    metric = results.metrics[0] if results.metrics and trial.score is not None else ""
    return [*run, metric, trial.score if metric else "", "", "", "", trial.images, "", ""]


def _lines(results: Results, outcome: Outcome) -> list[list[object]]:
    cell, record, row = outcome.cell, outcome.record, outcome.last
    run = [*cell, outcome.seed, "", in_fields(results.settings.get(cell, {})), state(outcome)]
    rest = [record.seen if record else 0, record.seconds if record else ""]
    if row is None:
        return [[*run, "", "", "", "", False if outcome.failure else "", *rest, ""]]
    known = [metric for metric in results.metrics if metric in row]
    ends = {metric: row["intervals"].get(metric, ["", ""]) for metric in known}
    survived = results.survived(outcome)
    return [[*run, metric, row[metric], *ends[metric], survived, *rest, card_key(row)] for metric in known]


def state(outcome: Outcome) -> str:
    """finished, open, or how it failed."""
    if outcome.failure:
        return str(outcome.failure.get("kind", "failed"))
    return "finished" if outcome.last else "open"


def latex(results: Results) -> str:
    """Tables for a paper, with the package booktabs: means with half of the 95 per cent interval, the best bold."""
    seeds, baseline = len(results.study.seeds), results.study.compared_with
    about = f"survivors of {seeds} seeds in brackets; * differs from {baseline} by more than chance"
    return "\n".join(_table(matrix(results, metric), about) for metric in results.metrics)


def _table(scores: Matrix, about: str) -> str:
    lines = [f"% {scores.title}; {about}"]
    lines += [rf"\begin{{tabular}}{{l{'r' * len(scores.columns)}}}", r"\toprule"]
    columns = scores.columns if len(scores.columns) > 1 else [scores.columns[0] or scores.title]
    lines += [" & ".join(["", *map(escaped, columns)]) + r" \\", r"\midrule"]
    lines += [" & ".join([escaped(row), *map(_cell, values)]) + r" \\" for row, values in scores.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _cell(value: Value) -> str:
    found = value.found
    if found is None:
        return f"-- ({value.survivors})"
    words = [found.mean] if isnan(found.half) else [found.mean, found.half]
    number = r" \pm ".join(numbers.value(word).replace(",", "{,}").replace("\u2212", "-") for word in words)
    shown = rf"\mathbf{{{number}}}" if value.best else number
    return f"${shown}{'^{*}' * value.significant}$ ({value.survivors})"


def escaped(text: str) -> str:
    r"""Text as LaTeX sets it.

    >>> escaped("WN & TPReLU_2")
    'WN \\& TPReLU\\_2'
    """
    return text.translate(SPECIAL)
