"""What a run was made of, as tables: recipe, evaluations, scores, machine."""

from typing import Any

from . import numbers
from .html import Markup, Node, element, join, scrolling, table
from .next_steps import given
from .record import METRICS, Record, Row, column, number

CLASSES = 30  # names that are shown


def recipe(record: Record) -> Markup:
    """Every field: those that were set, those that were chosen and why, and the defaults."""
    chosen, own = record.context.get("chosen", {}), given(record)
    rest = [name for name in record.recipe if name not in chosen and name not in own]
    groups = (
        ("Set for this run", own, "set"),
        ("Chosen for this data and machine", [name for name in record.recipe if name in chosen], "chosen"),
        ("Left as usual", rest, "default"),
    )
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in ("Field", "Value", "Why"))))
    bodies = [_group(record, title, list(names), why) for title, names, why in groups if names]
    return scrolling(element("caption", "Recipe"), head, *bodies, label="Recipe")


def _group(record: Record, title: str, names: list[str], why: str) -> Markup:
    head = element("tr", element("th", title, colspan=3, scope="rowgroup", class_="group"))
    reasons = record.context.get("chosen", {})
    rows = [
        element(
            "tr",
            element("th", name, scope="row"),
            element("td", element("code", plain(record.recipe[name]))),
            element("td", f"chosen: {reasons[name]}" if name in reasons else why, class_="why"),
        )
        for name in names
    ]
    return element("tbody", head, *rows)


def plain(value: Any) -> str:
    """A value of the recipe as people write it."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, list):
        return ", ".join(map(plain, value)) or "none"
    return numbers.count(value) if isinstance(value, int) and value >= 1_000 else str(value)


def evaluations(record: Record) -> Markup:
    """A row for each evaluation, with what has to be known before two are compared."""
    metrics = _metrics(record.evaluations)
    names = [name for metric in metrics for name in (METRICS[metric], f"{METRICS[metric]} of real images")]
    rows = [
        (numbers.count(row["seen"]), str(row.get("weights", "")), *_values(row, metrics), _card(row))
        for row in record.evaluations
    ]
    return join((table(("Images seen", "Weights", *names, "Measured with"), rows, "Evaluations"), _of_classes(record)))


def _of_classes(record: Record) -> Markup | None:
    """The FID of each class, as it was measured last."""
    row = next((row for row in reversed(record.evaluations) if number(row, "intra_fid") is not None), None)
    if row is None:
        return None
    groups = zip(row.get("per_class", []), row.get("class_fid", []), strict=False)
    count = lambda group: (numbers.count(group["n_real"]), numbers.count(group["n_fake"]))
    rows = [(str(group["class"]), numbers.value(fid), *count(group)) for group, fid in groups]
    rows.append(("all, their mean (intra-FID)", numbers.value(number(row, "intra_fid")), "", ""))
    caption = f"FID of each class at {numbers.count(row['seen'])} images"
    return table(("Class", "FID", "Real images", "Generated"), rows, caption)


def _metrics(rows: list[Row]) -> list[str]:
    return [metric for metric in METRICS if any(metric in row for row in rows)]


def _values(row: Row, metrics: list[str]) -> list[Node]:
    scores = [element("strong", numbers.value(number(row, metric))) for metric in metrics]
    floors = [number(row, f"real_{metric}") for metric in metrics]
    shown = ["none held out" if floor is None else numbers.value(floor) for floor in floors]
    return [cell for pair in zip(scores, shown, strict=True) for cell in pair]


def _card(row: Row) -> Markup:
    generated, real = (numbers.count(number(row, key)) for key in ("n_fake", "n_real"))
    name, digest, resizer = (str(row.get(key, "not known")) for key in ("features", "features_hash", "resizer"))
    against = f"{generated} generated against {real} real images of {row.get('reference', 'unnamed data')}; "
    rest = f"; {resizer}; {row.get('precision', 'precision not known')}; seed {row.get('seed', 'not known')}"
    return element("div", against, f"{name} features ", element("code", digest), rest, class_="card")


def scores(record: Record) -> Markup:
    """All scores of training, as numbers; how they were measured once where that never changed."""
    metrics, cards = _metrics(record.training), [_card(row) for row in record.training]
    same = len(set(cards)) == 1
    rows = [
        (
            numbers.count(row["seen"]),
            *(numbers.value(number(row, metric)) for metric in metrics),
            *([] if same else [card]),
        )
        for row, card in zip(record.training, cards, strict=True)
    ]
    head = ("Images seen", *(METRICS[metric] for metric in metrics), *([] if same else ["Measured with"]))
    return join((cards[0] if same else None, table(head, rows, "Scores during training")))


def machine(record: Record) -> Markup:
    """Hardware, versions, speed, memory and labels."""
    hardware = [(f"Hardware: {name}", str(value)) for name, value in record.context.get("hardware", {}).items()]
    versions = [(f"Version: {name}", str(value)) for name, value in record.context.get("versions", {}).items()]
    return table(("What", "Value"), [*_speed(record), *hardware, *versions, *_labels(record)], "Machine and speed")


def _speed(record: Record) -> list[tuple[str, str]]:
    if not record.stats:
        return [("Speed", "no statistics yet")]
    memory = column(record.stats, "memory")
    peak = numbers.size(max(memory[memory > 0])) if (memory > 0).any() else "not known"
    return [
        ("Time in training", numbers.duration(record.seconds or 0)),
        ("Speed overall", numbers.speed(record.stats[-1]["seen"], record.seconds or 0)),
        ("Speed lately", lately(record.stats)),
        ("Most memory", peak),
    ]


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
