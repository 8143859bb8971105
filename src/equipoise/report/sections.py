"""What the parts of the page say, as plain data."""

import re
from typing import NamedTuple

from ..themes import THEMES
from . import curves, heat, numbers, readings, tables, thumbnails
from .plots import Line, Plot, svg
from .record import Floor, Record, best, number, real_floor, score_before, score_title
from .thumbnails import Shown, data_uri
from .verdict import verdict

ROWS = " In rows: inputs, what becomes of them, and the way back or, of pairs, the true partners."
"""What a picture of a translation shows."""


OF_POINTS = " Its points lie on real ones."
OF_PLANE = (
    " Left: its points on real ones. Right: the discriminator's logit, in the plane bright where it is high, with its "
    "gradient as arrows, along which generated points are pushed."
)
"""What a picture of points shows, of at most two dimensions the discriminator too."""
HELD, FRAME_SECONDS = 4, 0.35
"""For how many frames more the last one is held, and how long each is shown."""


class Top(NamedTuple):
    """The name of the run, the verdict, how far it is."""

    name: str
    verdict: str
    state: str
    finished: bool


class Card(NamedTuple):
    """A number with what it is."""

    name: str
    value: str
    note: str


class Picture(NamedTuple):
    """An image inside the page, with words for those who do not see it."""

    shown: Shown
    alt: str
    caption: str
    score: str


class Drawing(NamedTuple):
    """A plot against one axis, for light and for dark surroundings."""

    axis: str
    light: str
    dark: str
    alt: str


class Figure(NamedTuple):
    """A plot, drawn against every axis."""

    title: str
    caption: str
    lines: list[Line]
    drawings: list[Drawing]


class Scores(NamedTuple):
    """What was measured while training and by evaluations."""

    cards: list[Card]
    training: list[tables.Table]
    evaluations: list[tables.Table]


def top(record: Record) -> Top:
    """The words above everything else; a number and its unit stay on one line."""
    state = "finished" if record.finished else f"unfinished, {numbers.part(record.seen, record.images)}"
    together = re.sub(r"(\d) (min|[dhs])\b", "\\1\u00a0\\2", verdict(record))
    return Top(record.name, together, state, record.finished)


def latest(record: Record) -> Picture | None:
    """The newest samples that can be read."""
    shown = thumbnails.latest(record)
    if not shown:
        return None
    seen = numbers.count(shown.seen)
    alt = f"{'Scatter of points' if record.of_points else 'Grid of images'} by the EMA generator after {seen} images"
    points = OF_PLANE if int(record.recipe.get("channels") or 0) <= 2 else OF_POINTS
    caption = f"The EMA generator after {seen} images." + points * record.of_points
    return Picture(shown, alt, caption + ROWS * record.translates, _score(record, shown.seen))


def facts(record: Record) -> list[Card]:
    """The run in a few numbers."""
    metric, rows = record.scored()
    top_row = best(rows, metric)
    cards = [
        Card("Images seen", numbers.count(record.seen), f"of {numbers.count(record.images)}"),
        Card("Time", numbers.duration(record.seconds) if record.seconds else "not known", "in training"),
        Card("Speed", *_speed(record)),
    ]
    if top_row:
        at = f"at {numbers.count(top_row['seen'])} images"
        cards.insert(0, Card(f"Best {score_title(metric, top_row)}", numbers.value(top_row[metric]), at))
    return cards


def _speed(record: Record) -> tuple[str, str]:
    lately = tables.lately(record.stats) if record.stats else "not known"
    return lately.removesuffix(" images/s"), "images/s lately"


def over_time(record: Record) -> list[Picture]:
    """The same samples, from the first picture to the last, where there are two."""
    shown = thumbnails.over_time(record)
    return [_moment(record, picture) for picture in shown] if len(shown) > 1 else []


def film(frames: int) -> str:
    """Keyframes that show so many pictures one after the other, the last one longer; "" of a single one."""
    if frames < 2:
        return ""
    shares = frames + HELD
    keys = "@keyframes {}{{0%{{visibility:visible}}{:.3f}%,100%{{visibility:hidden}}}}\n"
    lasts = f".film{{--lasts:{shares * FRAME_SECONDS:.2f}s;--each:{FRAME_SECONDS}s}}\n"
    return lasts + keys.format("frame", 100 / shares) + keys.format("last-frame", 100 * (HELD + 1) / shares)


def of_levels(record: Record) -> list[Picture]:
    """What a network that grew made at each level, beside real images."""
    made = "in each row five generated images, then five real ones"
    return [
        Picture(shown, f"At {shown.seen} pixels, {made}", f"{shown.seen} pixels", "")
        for shown in thumbnails.of_levels(record)
    ]


def _moment(record: Record, shown: Shown) -> Picture:
    seen = numbers.count(shown.seen)
    return Picture(shown, f"Samples after {seen} images", seen, _score(record, shown.seen))


def _score(record: Record, seen: int) -> str:
    metric, rows = record.scored()
    row = score_before(rows, seen)
    if not row or row["seen"] == 0 < seen:  # that of the untrained generator says nothing of a trained one
        return ""
    at = "" if row["seen"] == seen else f" at {numbers.count(row['seen'])}"
    return f"{score_title(metric, row)}\u00a0{numbers.value(row[metric])}{at}"


def nearest(record: Record) -> Picture | None:
    """Generated images beside the training images nearest to them, as the last evaluation found them."""
    shown = thumbnails.nearest(record)
    row = next((row for row in reversed(record.evaluations) if number(row, "memorization") is not None), None)
    if not (shown and row):
        return None
    alt = "In each row a generated image, then the training images nearest to it"
    caption = f"{alt}, by {row.get('features')} features. Copies would be seen."
    return Picture(shown, alt, caption, f"{score_title('memorization', row)} {numbers.value(row['memorization'])}")


def figures(record: Record, axes: list[curves.Axis]) -> list[Figure]:
    """All curves, against images and, where it is known, against time."""
    by_axis = [curves.plots(record, axis) for axis in axes]
    return [figure(axes, list(variants)) for variants in zip(*by_axis, strict=True)]


def instruments(record: Record) -> list[Figure]:
    """What instruments have said, against images."""
    return [_of_instruments(picture) for picture in readings.pictures(record)]


def _of_instruments(picture: Plot | heat.Heat | heat.Spectra) -> Figure:
    if isinstance(picture, Plot):
        return Figure(picture.title, picture.caption, picture.lines, [drawing("images", picture)])
    light, dark = (data_uri("svg+xml", heat.svg(picture, THEMES[theme])) for theme in ("light", "dark"))
    return Figure(picture.title, picture.caption, [], [Drawing("images", light, dark, heat.in_words(picture))])


def figure(axes: list[curves.Axis], variants: list[Plot]) -> Figure:
    """A plot, drawn against each axis."""
    plot = variants[0]
    drawings = [drawing(axis.name, variant) for axis, variant in zip(axes, variants, strict=True)]
    return Figure(plot.title, plot.caption, plot.lines, drawings)


def drawing(axis: str, plot: Plot) -> Drawing:
    """A plot in both themes, with words for those who do not see it."""
    light, dark = (data_uri("svg+xml", svg(plot, THEMES[theme])) for theme in ("light", "dark"))
    return Drawing(axis, light, dark, _in_words(plot))


def _in_words(plot: Plot) -> str:
    parts = [f"{line.name} from {numbers.value(line.y[0])} to {numbers.value(line.y[-1])}" for line in plot.lines]
    return f"{plot.title} against {plot.x_label}: {'; '.join(parts)}"


def scores(record: Record) -> Scores:
    """First, best and last score of training, and all evaluations."""
    found = [*tables.evaluations(record), tables.of_classes(record)]
    return Scores(_first_best_last(record), tables.scores(record), [table for table in found if table])


def _first_best_last(record: Record) -> list[Card]:
    metric, rows = record.scored()
    if not rows:
        return []
    name, floor = score_title(metric, rows[-1]), real_floor(record, rows[-1], metric)
    chosen = (("First", rows[0]), ("Best", best(rows, metric) or rows[-1]), ("Last", rows[-1]))
    cards = [
        Card(f"{when} {name}", numbers.value(number(row, metric)), f"at {numbers.count(row['seen'])} images")
        for when, row in chosen
    ]
    return [*cards, _floor(name, floor)] if floor else cards


def _floor(name: str, floor: Floor) -> Card:
    images, generated = numbers.count(floor.images), numbers.count(floor.generated)
    note = "as many as were generated" if images == generated else f"the scores are of {generated} generated ones"
    return Card(f"{name} of {images} held-out real images", numbers.value(floor.score), note)
