"""What a run was made of, as tables: recipe, evaluations, scores, machine."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..metrics.titles import title
from . import numbers
from .next_steps import given
from .record import Record, Row, by_card, column, number, score_title, scores_in

CLASSES = 30  # names that are shown


class Way(NamedTuple):
    """What has to be known before two scores are compared."""

    sides: str
    features: str
    digest: str
    rest: str


class Entry(NamedTuple):
    """A row of a table: its name and its other cells."""

    name: str
    cells: list[str]


class Table(NamedTuple):
    """A table, its most important columns, and how its values were measured where they were."""

    caption: str
    head: list[str]
    entries: list[Entry]
    strong: tuple[int, ...] = ()
    way: Way | None = None


class Choices(NamedTuple):
    """Fields of the recipe that have the same reason to be what they are: name, value, why."""

    title: str
    fields: list[tuple[str, str, str]]


def recipe(record: Record) -> list[Choices]:
    """Every field: those that were set, those that were chosen and why, and the defaults."""
    reasons, own = record.context.get("chosen", {}), given(record)
    chosen = [name for name in record.recipe if name in reasons]
    rest = [name for name in record.recipe if name not in reasons and name not in own]
    groups = (
        ("Set for this run", list(own), "set"),
        ("Chosen for this data and machine", chosen, "chosen"),
        ("Left as usual", rest, "default"),
    )
    why = lambda name, usual: f"chosen: {reasons[name]}" if name in reasons else usual
    return [
        Choices(title, [(name, plain(record.recipe[name]), why(name, usual)) for name in names])
        for title, names, usual in groups
        if names
    ]


def plain(value: Any) -> str:
    """A value of the recipe as people write it."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "none"
    return numbers.count(value) if isinstance(value, int) and value >= 1_000 else str(value)


def evaluations(record: Record) -> list[Table]:
    """A table for each way of measuring, since values of different ways are not to be compared."""
    return [_evaluations(rows) for rows in by_card(record.evaluations).values()]


def _evaluations(rows: list[Row]) -> Table:
    """Values with their intervals, and those of held-out real images, as the last evaluation found them, below."""
    metrics = scores_in(rows)
    entries = [Entry(numbers.count(row["seen"]), [*_which(row), *_values(row, metrics)]) for row in rows]
    known = [row for row in rows if number(row, "real_n") is not None]
    if known:
        floors = [numbers.value(number(known[-1], f"real_{metric}")) for metric in metrics]
        entries.append(Entry(f"{numbers.count(known[-1]['real_n'])} held-out real images", ["", "", *floors]))
    head = ["Images seen", "Weights", "Seed", *(_title(metric, rows) for metric in metrics)]
    return Table("Evaluations, with 95 % intervals", head, entries, tuple(range(3, len(head))), way_of(rows[0]))


def _which(row: Row) -> list[str]:
    return [str(row.get(name, "")) for name in ("weights", "seed")]


def of_classes(record: Record) -> Table | None:
    """The Frechet distance of each class, as it was measured last."""
    row = next((row for row in reversed(record.evaluations) if number(row, "intra_fd") is not None), None)
    if row is None:
        return None
    parts = [key for key in row if key.startswith("intra_fd.")]
    entries = [Entry(title(key, row), [numbers.value(number(row, key))]) for key in parts]
    entries.append(Entry("mean", [numbers.value(number(row, "intra_fd"))]))
    return Table(f"Each class at {numbers.count(row['seen'])} images", ["Class", title("intra_fd", row)], entries)


def _title(metric: str, rows: list[Row]) -> str:
    return score_title(metric, *(row for row in rows if metric in row))


def _values(row: Row, metrics: list[str]) -> list[str]:
    intervals = [row["intervals"].get(metric) for metric in metrics]
    scores = [numbers.value(number(row, metric)) for metric in metrics]
    return [f"{score} ({numbers.interval(i)})" if i else score for score, i in zip(scores, intervals, strict=True)]


def way_of(row: Row) -> Way:
    """How the values of a row were measured."""
    generated, real = (numbers.count(number(row, key)) for key in ("n_fake", "n_real"))
    name, digest, resizer = (str(row.get(key, "not known")) for key in ("features", "features_hash", "resizer"))
    sides = f"{generated} generated against {real} real images of {row.get('reference', 'unnamed data')}"
    calls = plain(row.get("metrics", []))
    rest = f"{calls}; {resizer}; {row.get('dtype', 'dtype not known')}"
    return Way(sides, name, digest, rest)


def scores(record: Record) -> list[Table]:
    """All scores of training as numbers, a table for each way of measuring."""
    return [_scores(rows) for rows in by_card(record.training).values()]


def _scores(rows: list[Row]) -> Table:
    metrics = scores_in(rows)
    head = ["Images seen", *(_title(metric, rows) for metric in metrics)]
    values = lambda row: [numbers.value(number(row, metric)) for metric in metrics]
    entries = [Entry(numbers.count(row["seen"]), values(row)) for row in rows]
    return Table("Scores during training", head, entries, way=way_of(rows[0]))


def machine(record: Record) -> Table:
    """Hardware, versions, speed, memory and labels."""
    hardware = [(f"Hardware: {name}", str(value)) for name, value in record.context.get("hardware", {}).items()]
    versions = [(f"Version: {name}", str(value)) for name, value in record.context.get("versions", {}).items()]
    pairs = [*_speed(record), *hardware, *versions, *_labels(record)]
    return Table("Machine and speed", ["What", "Value"], [Entry(name, [value]) for name, value in pairs])


def _speed(record: Record) -> list[tuple[str, str]]:
    if not record.stats:
        return [("Speed", "no statistics yet")]
    told = record.context.get("forecast", {})
    lengths = [f"{images:,} at {int(seen):,}" for seen, images in record.context.get("lengths", {}).items()]
    of = lambda key, words: f"; forecast {words(told[key])}" if key in told else ""
    return [
        ("Time in training", numbers.duration(record.seconds or 0) + of("seconds", numbers.duration)),
        ("Speed overall", numbers.speed(record.stats[-1]["seen"], record.seconds or 0)),
        ("Speed lately", lately(record.stats)),
        ("Most memory", most_memory([record]) + of("memory", numbers.size)),
        *[("Images set anew, to keep time", ", ".join(lengths))] * bool(lengths),
    ]


def most_memory(records: Sequence[Record]) -> str:
    """The most that a run has held, of several runs, as words."""
    memory = [bytes for record in records for bytes in column(record.stats, "memory") if bytes > 0]
    return numbers.size(max(memory)) if memory else "not known"


def lately(stats: list[Row]) -> str:
    """Speed over the last tenth of the rows."""
    recent = stats[-max(2, len(stats) // 10) :]
    images, seconds = (column(recent, key) for key in ("seen", "seconds"))
    return numbers.speed(images[-1] - images[0], seconds[-1] - seconds[0])


def _labels(record: Record) -> list[tuple[str, str]]:
    labels = record.context.get("labels", {})
    names = [str(name) for name in labels.get("names", [])]
    if not names:
        return []
    more = f" and {numbers.count(len(names) - CLASSES)} more" if len(names) > CLASSES else ""
    return [(str(labels["kind"]).capitalize(), f"{len(names)}: {', '.join(names[:CLASSES])}{more}")]
