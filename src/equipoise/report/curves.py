"""Which curves a run has, and what to look for in them."""

from collections.abc import Callable
from itertools import cycle
from typing import NamedTuple

import numpy as np

from . import numbers
from .plots import Line, Mark, Plot, spans
from .record import (
    Floor,
    Record,
    Row,
    Values,
    best,
    by_card,
    by_output,
    column,
    features_key,
    is_higher_better,
    number,
    real_floor,
    score_title,
    scores_in,
)

COLOURS = ("first", "second", "third")
SCORES = ("third", "first", "second")
PLAYERS = {"d": "discriminator", "g": "generator"}
"""How the players of the usual game are called; others have their own names."""


NOTED = {
    "change": "Mean difference of output and input. Near 0: the generator copies its input.",
    "colour": "Correlation of output and input. Near 1 with little change: a copy. Near -1: colours are inverted.",
    "cycle": "Weighted difference of an image and what comes back. Healthy: falls, and stays above 0.",
    "identity": "Weighted difference of an image of the target and what becomes of it. Healthy: falls.",
    "l1": "Weighted difference of output and true partner. Healthy: falls.",
}
"""What to look for in terms of translations, by the first word of their names."""


class Axis(NamedTuple):
    """What curves are drawn against: its name, words for choosing it, its unit, its value after so many images."""

    name: str
    switch: str
    label: str
    of: Callable[[Values], Values]


class Shared(NamedTuple):
    """A plot with a line for each of these terms of every player; a term without words goes by its player."""

    title: str
    terms: dict[str, str]
    caption: str
    log: bool = False


SHARED = (
    Shared(
        "Losses",
        {"loss": ""},
        "Healthy: all settle into a band. A discriminator loss that stays at its minimum: the generator cannot follow.",
    ),
    Shared(
        "Mean logits",
        {"real": "real images", "fake": "generated images"},
        "Healthy: real stays a little above generated. A growing gap: the discriminator overfits or is too strong.",
    ),
    Shared(
        "Gradient norms",
        {"gradient": ""},
        "Healthy: each within about an order of magnitude. Spikes or a steady climb come before a collapse.",
        log=True,
    ),
)


def axes(record: Record) -> list[Axis]:
    """What this run's curves can be drawn against."""
    by_images = Axis("images", "by images", "images seen", lambda seen: seen)
    if not record.seconds:
        return [by_images]
    unit, seconds = next((u, s) for u, s, most in TIMES if record.seconds < most)
    return [by_images, Axis("seconds", "by time", unit, lambda seen: record.seconds_at(seen) / seconds)]


TIMES = (("seconds", 1, 300), ("minutes", 60, 3 * 3600), ("hours", 3600, np.inf))


def plots(record: Record, axis: Axis) -> list[Plot]:
    """All curves that the run has data for, scores first."""
    outputs = by_output(record.training)
    scores = [_scores(record, axis, metric, rows) for metric in scores_in(record.training) for rows in outputs]
    shared = [_shared(record, axis, group) for group in SHARED]
    return [plot for plot in (*scores, *shared, *_single(record, axis)) if plot]


def statistics(rows: list[Row]) -> list[tuple[str, str]]:
    """The statistics that have a number somewhere: whose they are, and their own names."""
    keys = dict.fromkeys(key for row in rows for key in row if "." in key and number(row, key) is not None)
    return [(owner, term) for owner, _, term in (key.partition(".") for key in keys)]


def _shared(record: Record, axis: Axis, group: Shared) -> Plot | None:
    """A plot of all players."""
    known = set(statistics(record.stats))
    found = [(player, term) for player in record.players for term in group.terms if (player, term) in known]
    alone = len({player for player, _ in found}) == 1
    names = [_line_name(player, group.terms[term], alone) for player, term in found]
    lines = [
        _statistic(record, axis, f"{player}.{term}", name, colour)
        for (player, term), name, colour in zip(found, names, cycle(COLOURS), strict=False)
    ]
    positive = all(np.nanmin(line.y) > 0 for line in lines)
    return Plot(group.title, group.caption, axis.label, lines, group.log and positive) if lines else None


def _line_name(player: str, words: str, alone: bool) -> str:
    name = PLAYERS.get(player, player)
    return name if not words else words if alone else f"{name}: {words}"


def _single(record: Record, axis: Axis) -> list[Plot]:
    """A plot for each other term of a player, then for each number that a component adapts."""
    shared = {(player, term) for player in record.players for group in SHARED for term in group.terms}
    others = [statistic for statistic in statistics(record.stats) if statistic not in shared]
    return [_one(record, axis, *other) for other in sorted(others, key=lambda other: other[0] not in record.players)]


def _one(record: Record, axis: Axis, owner: str, term: str) -> Plot:
    """A plot with one line, of a player's term or of a component's number."""
    name, caption = PLAYERS.get(owner, owner), "Adapted while training."
    if owner in record.players:
        usual = f"Healthy: small beside the {name}'s loss, and steady." if owner in PLAYERS else f"A term of {name}."
        caption = NOTED.get(term.partition("_")[0], usual)
    line = _statistic(record, axis, f"{owner}.{term}", term, "third")
    return Plot(f"{name[:1].upper()}{name[1:]}: {term}", caption, axis.label, [line])


def _statistic(record: Record, axis: Axis, key: str, name: str, colour: str) -> Line:
    return Line(name, colour, axis.of(column(record.stats, "seen")), column(record.stats, key))


def _scores(record: Record, axis: Axis, metric: str, rows: list[Row]) -> Plot | None:
    known = [row for row in rows if number(row, metric) is not None]
    groups = [*by_card(known).values()]
    if not groups:
        return None
    lines = [_line(axis, metric, rows, at) for at, rows in enumerate(groups)]
    top = best(groups[-1], metric)
    floor = real_floor(record, known[-1], metric)
    mark = _best_mark(axis, top, metric) if top else None
    return Plot(
        score_title(metric, *known),
        _caption(floor, len(groups), is_higher_better(metric, known[-1])),
        axis.label,
        lines,
        spans(lines, 10, *([floor.score] if floor else [])),
        mark,
        floor.score if floor else None,
    )


def _line(axis: Axis, metric: str, rows: list[Row], at: int) -> Line:
    row = rows[0]
    name = f"{row.get('features', 'unnamed')} features {features_key(row)[:8]}, {row.get('n_fake')} images".strip()
    return Line(name, SCORES[at % len(SCORES)], axis.of(column(rows, "seen")), column(rows, metric))


def _best_mark(axis: Axis, top: Row, metric: str) -> Mark:
    x = float(axis.of(column([top], "seen"))[0])
    return Mark(x, top[metric], f"best {numbers.value(top[metric])}")


def _caption(floor: Floor | None, lines: int, higher: bool) -> str:
    course, better = ("rises", "higher") if higher else ("falls", "lower")
    parts = [f"Healthy: {course} fast, then slowly; {better} is better."]
    if floor:
        images, generated = numbers.count(floor.images), numbers.count(floor.generated)
        parts.append(f"Dashed: {numbers.value(floor.score)}, what {images} held-out real images score.")
        if images != generated:
            parts.append(f"The scores are of {generated} generated ones, and may depend on the number.")
    if lines > 1:
        parts.append("Measured differently: the lines cannot be compared with each other.")
    return " ".join(parts)
