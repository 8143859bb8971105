"""The parts of the page, from top to bottom."""

import re
from collections.abc import Callable

from . import curves, numbers, tables, thumbnails
from .html import Markup, Node, element
from .next_steps import commands
from .plots import Plot, svg
from .record import METRICS, Record, best, number, real_floor, score_before
from .themes import THEMES
from .thumbnails import Shown, data_uri
from .verdict import verdict


def top(record: Record) -> Markup:
    """The name of the run, the verdict, how far it is."""
    state = "finished" if record.finished else f"unfinished, {numbers.part(record.seen, record.images)}"
    mark = element("span", state, class_="state done" if record.finished else "state")
    return element(
        "header",
        element("p", "equipoise run ", mark, class_="eyebrow"),
        element("h1", record.name),
        element("p", re.sub(r"(\d) (min|[dhs])\b", "\\1\u00a0\\2", verdict(record)), class_="verdict"),
    )


def samples(record: Record) -> Markup:
    """The newest samples, and the run in numbers beside them."""
    shown = thumbnails.latest(record)
    if not shown:
        return _section(
            "Samples", _missing("No samples yet." if not record.pictures else "No sample can be read."), facts(record)
        )
    alt = f"Grid of images by the averaged generator after {numbers.count(shown.seen)} images"
    caption = f"The averaged generator after {numbers.count(shown.seen)} images. {_score(record, shown.seen)}"
    figure = element("figure", _image(shown, alt), element("figcaption", caption.strip()), class_="large")
    return _section("Latest samples", element("div", figure, facts(record), class_="hero"))


def facts(record: Record) -> Markup:
    """The run in a few numbers."""
    metric, rows = record.scored()
    top_row = best(rows, metric)
    pairs = [
        ("Images seen", numbers.count(record.seen), f"of {numbers.count(record.images)}"),
        ("Time", numbers.duration(record.seconds) if record.seconds else "not known", "in training"),
        ("Speed", *_speed(record)),
    ]
    if top_row:
        at = f"at {numbers.count(top_row['seen'])} images"
        pairs.insert(0, (f"Best {METRICS[metric]}", numbers.value(top_row[metric]), at))
    return _cards(pairs)


def _speed(record: Record) -> tuple[str, str]:
    lately = tables.lately(record.stats) if record.stats else "not known"
    return lately.removesuffix(" images/s"), "images/s lately"


def over_time(record: Record) -> Markup | None:
    """The same samples, from the first picture to the last."""
    shown = thumbnails.over_time(record)
    if len(shown) < 2:
        return None
    items = [_moment(record, picture) for picture in shown]
    note = element("p", "The same latent points each time.", class_="note")
    return _section("Samples over time", note, element("ol", *items, class_="strip"))


def _moment(record: Record, shown: Shown) -> Markup:
    seen = numbers.count(shown.seen)
    lines = (element("b", seen), Markup(" "), element("span", _score(record, shown.seen)))
    return element(
        "li", element("figure", _image(shown, f"Samples after {seen} images"), element("figcaption", *lines))
    )


def _score(record: Record, seen: int) -> str:
    metric, rows = record.scored()
    row = score_before(rows, seen)
    if not row:
        return ""
    at = "" if row["seen"] == seen else f" at {numbers.count(row['seen'])}"
    return f"{METRICS[metric]}\u00a0{numbers.value(row[metric])}{at}"


def _image(shown: Shown, alt: str) -> Markup:
    return element("img", src=shown.uri, alt=alt, width=shown.width, height=shown.height)


def course(record: Record) -> Markup:
    """All curves, against images or against time."""
    axes = curves.axes(record)
    by_axis = [curves.plots(record, axis) for axis in axes]
    if not by_axis[0]:
        return _section("Curves", _missing("No statistics and no scores yet."))
    names = [axis.name for axis in axes]
    figures = [_figure(list(zip(names, same, strict=True))) for same in zip(*by_axis, strict=True)]
    return _section("Curves", _switch(names) if len(names) > 1 else None, element("div", *figures, class_="plots"))


def _switch(names: list[str]) -> Markup:
    choices: list[Node] = []
    for name in names:
        box = element("input", type="radio", name="axis", id=f"by-{name}", checked=name == names[0])
        choices += [box, element("label", f"by {name}" if name == "images" else "by time", for_=f"by-{name}")]
    return element("fieldset", element("legend", "Draw curves"), *choices, class_="switch")


def _figure(variants: list[tuple[str, Plot]]) -> Markup:
    plot = variants[0][1]
    keys = [element("span", line.name, class_=f"key {line.colour}") for line in plot.lines]
    legend = element("p", *keys, class_="legend")
    drawn = [_picture(plot, f"by-{name}") for name, plot in variants]
    return element(
        "figure", element("h3", plot.title), legend, *drawn, element("figcaption", plot.caption), class_="plot"
    )


def _picture(plot: Plot, axis: str) -> Markup:
    light, dark = (data_uri("svg+xml", svg(plot, THEMES[theme])) for theme in ("light", "dark"))
    source = element("source", srcset=dark, media="(prefers-color-scheme: dark)")
    return element("picture", source, element("img", src=light, alt=_in_words(plot)), class_=axis)


def _in_words(plot: Plot) -> str:
    parts = [f"{line.name} from {numbers.value(line.y[0])} to {numbers.value(line.y[-1])}" for line in plot.lines]
    return f"{plot.title} against {plot.x_label}: {'; '.join(parts)}"


def scores(record: Record) -> Markup:
    """First, best and last score of training, and all evaluations."""
    parts: list[Node] = []
    if record.training:
        parts += [_first_best_last(record), element("details", element("summary", "All scores"), tables.scores(record))]
    if record.evaluations:
        parts += [element("h3", "Evaluations"), tables.evaluations(record)]
    return _section("Scores", *(parts or [_missing("No score yet.")]))


def _first_best_last(record: Record) -> Markup | None:
    metric, rows = record.scored()
    if not rows:
        return None
    name, floor = METRICS[metric], real_floor(record, str(rows[-1].get("features_hash", "")), metric)
    chosen = (("First", rows[0]), ("Best", best(rows, metric) or rows[-1]), ("Last", rows[-1]))
    cards = [
        (f"{when} {name}", numbers.value(number(row, metric)), f"at {numbers.count(row['seen'])} images")
        for when, row in chosen
    ]
    return _cards(cards if floor is None else [*cards, (f"{name} of real images", numbers.value(floor), "held out")])


def recipe(record: Record) -> Markup:
    """Every choice that made the run."""
    return _section("Recipe", tables.recipe(record))


def machine(record: Record) -> Markup:
    """What the run ran on, and how fast."""
    return _section("Machine and speed", tables.machine(record))


def next_steps(record: Record) -> Markup:
    """The commands that go on from here."""
    items = [
        element("div", element("dt", what), element("dd", element("pre", element("code", line))))
        for what, line in commands(record)
    ]
    return _section("What next", element("dl", *items, class_="commands"))


def _cards(cards: list[tuple[str, str, str]]) -> Markup:
    items = [
        element("div", element("dt", name), element("dd", value), element("dd", note, class_="note"))
        for name, value, note in cards
    ]
    return element("dl", *items, class_="cards")


def _section(title: str, *parts: Node) -> Markup:
    return element("section", element("h2", title), *parts)


def _missing(text: str) -> Markup:
    return element("p", text, class_="missing")


ALL: tuple[Callable[[Record], Markup | None], ...] = (
    samples,
    over_time,
    course,
    scores,
    recipe,
    machine,
    next_steps,
)
