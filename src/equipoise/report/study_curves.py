"""Curves of a study: a line for each row with a band over its seeds, a plot for each column."""

from collections.abc import Callable

import numpy as np

from ..themes import LINES
from . import numbers
from .curves import Axis
from .plots import Line, Plot, spans
from .record import Record, Row, Values, by_output, column, number
from .study_results import Results
from .study_tables import title


def axes() -> list[Axis]:
    """Curves of a study are drawn against images, and against the seconds that these took."""
    whole = lambda seen: seen
    return [Axis("images", "by images", "images seen", whole), Axis("seconds", "by time", "seconds in training", whole)]


def plots(results: Results, axis: Axis, metric: str) -> list[Plot]:
    """A plot of a score for each column in which there is something to draw."""
    found = [plot(results, axis, metric, name) for name in results.study.columns]
    return [one for one in found if one]


def plot(results: Results, axis: Axis, metric: str, name: str) -> Plot | None:
    """All rows in one column; rows beyond the eighth are dashed."""
    lines = []
    for at, row in enumerate(results.study.rows):
        here = [o.record for o in results.outcomes if (o.cell.row, o.cell.column) == (row, name) and o.record]
        records = [record for record in here if scored(record, metric)]
        if records:
            lines.append(line(records, axis, metric, row, at))
    if not lines:
        return None
    what = title(results, metric)
    seeds = f"Means over seeds, bands from the least to the most of {numbers.count(len(results.study.seeds))}."
    return Plot(f"{what}, {name}" if name else what, seeds, axis.label, lines, spans(lines))


def scored(record: Record, metric: str) -> list[Row]:
    """The scores of a run over time, of its first output."""
    return [row for row in next(iter(by_output(record.training)), []) if number(row, metric) is not None]


def line(records: list[Record], axis: Axis, metric: str, name: str, at: int) -> Line:
    """The mean of several runs at the times at which the longest was scored; runs that broke off end there."""
    seen = max((column(scored(record, metric), "seen") for record in records), key=len)
    table = np.array([_at(record, metric, seen) for record in records])
    mean, low, high = (_over(of, table) for of in (np.nanmean, np.nanmin, np.nanmax))
    clock = np.array([np.where(seen <= record.seen, record.seconds_at(seen), np.nan) for record in records])
    x = seen if axis.name == "images" else _over(np.nanmean, clock)
    known = np.isfinite(mean)
    band = (low[known], high[known]) if len(records) > 1 else None
    return Line(name, LINES[at % len(LINES)], x[known], mean[known], band, dashed=at >= len(LINES))


def _at(record: Record, metric: str, seen: Values) -> Values:
    own, values = (column(scored(record, metric), key) for key in ("seen", metric))
    return np.asarray(np.interp(seen, own, values, left=np.nan, right=np.nan), dtype=np.float64)


def _over(of: Callable[..., Values], table: Values) -> Values:
    """A statistic of each column that has a number."""
    found = np.full(table.shape[1], np.nan)
    some = np.isfinite(table).any(axis=0)
    found[some] = of(table[:, some], axis=0)
    return found
