"""A run in a sentence."""

from . import numbers
from .record import Record, Row, best, column, number, score_title, scores_in


def verdict(record: Record) -> str:
    """How the scores went, and whether the run is over."""
    return f"{_scores(record)}{_ending(record)}."


def _scores(record: Record) -> str:
    metric, rows = record.scored()
    if len(rows) > 1:
        return _course(record, metric, rows)
    if rows:
        return _moment(rows[-1], metric)
    for metric in scores_in(record.evaluations):
        known = [row for row in record.evaluations if number(row, metric) is not None]
        if known:
            return _moment(known[-1], metric) + ", by an evaluation"
    return "No score yet"


def _course(record: Record, metric: str, rows: list[Row]) -> str:
    first, last = rows[0][metric], rows[-1][metric]
    went = "fell" if last < first else "rose" if last > first else "went"
    took = f", {numbers.duration(float(record.seconds_at(column(rows, 'seen'))[-1]))}" if record.seconds else ""
    top = best(rows, metric) or rows[-1]
    peak = ", its best" if top is rows[-1] else f"; best {numbers.value(top[metric])} at {numbers.count(top['seen'])}"
    course = f"{score_title(metric, rows[-1])} {went} from {numbers.value(first)} to {numbers.value(last)}"
    return f"{course} in {numbers.count(rows[-1]['seen'])} images{took}{peak}"


def _moment(row: Row, metric: str) -> str:
    return f"{score_title(metric, row)} is {numbers.value(row[metric])} at {numbers.count(row['seen'])} images"


def _ending(record: Record) -> str:
    if record.finished:
        return ""
    return f". The run is unfinished: {numbers.count(record.seen)} of {numbers.count(record.images)} images"
