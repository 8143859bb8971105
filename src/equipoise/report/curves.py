"""Which curves a run has, and what to look for in them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from . import numbers
from .plots import Line, Mark, Plot
from .record import METRICS, Record, Row, Values, best, by_features, column, number, real_floor

COLOURS = ("third", "first", "second")


class Axis(NamedTuple):
    """What curves are drawn against: its name and unit, and its value when the run had seen so many images."""

    name: str
    label: str
    of: Callable[[Values], Values]


STATS = (
    (
        "Losses",
        {"loss_d": ("discriminator", "first"), "loss_g": ("generator", "second")},
        "Healthy: both settle into a band. When the discriminator's falls to its lowest and stays there, it has won.",
        False,
    ),
    (
        "Mean logits",
        {"real": ("real images", "first"), "fake": ("generated images", "second")},
        "Healthy: real stays a little above generated. A gap that keeps growing is a discriminator running away.",
        False,
    ),
    (
        "Penalty",
        {"penalty": ("discriminator", "first"), "penalty_g": ("generator", "second")},
        "Healthy: small beside the discriminator's loss, and steady.",
        False,
    ),
    (
        "Gradient norms",
        {"gradient_d": ("discriminator", "first"), "gradient_g": ("generator", "second")},
        "Healthy: each within about a power of ten. Spikes or a steady climb come before a collapse.",
        True,
    ),
)


def axes(record: Record) -> list[Axis]:
    """What this run's curves can be drawn against."""
    by_images = Axis("images", "images seen", lambda seen: seen)
    if not record.seconds:
        return [by_images]
    unit, seconds = next((u, s) for u, s, most in TIMES if record.seconds < most)
    return [by_images, Axis("seconds", unit, lambda seen: record.seconds_at(seen) / seconds)]


TIMES = (("seconds", 1, 300), ("minutes", 60, 3 * 3600), ("hours", 3600, np.inf))


def plots(record: Record, axis: Axis) -> list[Plot]:
    """All curves that the run has data for, scores first."""
    scores = [_scores(record, axis, metric) for metric in METRICS]
    stats = [_stats(record, axis, *entry) for entry in (*STATS, *adapted(record.stats))]
    return [plot for plot in scores + stats if plot]


def adapted(rows: Sequence[Row]) -> list[tuple[str, dict[str, tuple[str, str]], str, bool]]:
    """A plot for each number that a component adapts while training, such as "balance.k" of a boundary equilibrium."""
    names = [name for name in (rows[-1] if rows else {}) if "." in name]
    title = lambda name: name.replace(".", ": ")
    return [
        (title(name), {name: (name.partition(".")[2], "third")}, "Adapted while training.", False) for name in names
    ]


def _stats(
    record: Record, axis: Axis, title: str, keys: dict[str, tuple[str, str]], caption: str, log: bool
) -> Plot | None:
    x = axis.of(column(record.stats, "seen"))
    columns = {key: column(record.stats, key) for key in keys}
    shown = lambda y: np.any(y > -np.inf) and (title != "Penalty" or np.nansum(abs(y)))
    lines = [Line(name, colour, x, columns[key]) for key, (name, colour) in keys.items() if shown(columns[key])]
    if not lines:
        return None
    return Plot(title, caption, axis.label, lines, log and all(np.nanmin(line.y) > 0 for line in lines))


def _scores(record: Record, axis: Axis, metric: str) -> Plot | None:
    groups = by_features([row for row in record.training if number(row, metric) is not None])
    if not groups:
        return None
    lines = [_line(axis, metric, key, rows, at) for at, (key, rows) in enumerate(groups.items())]
    last, rows = list(groups.items())[-1]
    top = best(rows, metric)
    floor = real_floor(record, last, metric)
    heights = [*np.concatenate([line.y for line in lines]), *([] if floor is None else [floor])]
    log = min(heights) > 0 and max(heights) > 10 * min(heights)
    mark = _best_mark(axis, top, metric) if top else None
    return Plot(METRICS[metric], _caption(floor, len(groups)), axis.label, lines, log, mark, floor)


def _line(axis: Axis, metric: str, key: str, rows: list[Row], at: int) -> Line:
    name = f"{rows[0].get('features', 'unnamed')} features {key[:8]}".strip()
    return Line(name, COLOURS[at % len(COLOURS)], axis.of(column(rows, "seen")), column(rows, metric))


def _best_mark(axis: Axis, top: Row, metric: str) -> Mark:
    x = float(axis.of(column([top], "seen"))[0])
    return Mark(x, top[metric], f"best {numbers.value(top[metric])}")


def _caption(floor: float | None, lines: int) -> str:
    parts = ["Healthy: falls fast, then slowly; lower is better."]
    if floor is not None:
        parts.append(f"Dashed: {numbers.value(floor)}, what held-out real images score.")
    if lines > 1:
        parts.append("Different features: the lines cannot be compared with each other.")
    return " ".join(parts)
