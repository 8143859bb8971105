"""The page of a study: one HTML file that needs nothing beside it; beside it its results for other programs."""

from pathlib import Path
from typing import NamedTuple

from ..study import Cell
from ..themes import variables
from ..writing import write_whole
from . import study_curves, study_spectra, study_tables, thumbnails
from .curves import Axis
from .exports import cells_csv, latex, runs_csv
from .next_steps import typed
from .page import HTML, POLICY, text_of
from .sections import Figure, figure
from .study_results import Outcome, Results, results
from .tables import plain
from .thumbnails import Shown

FILES = ("report.html", "results.csv", "table.csv", "table.tex")


class Sheet(NamedTuple):
    """Samples of each cell, of its first seed that has some."""

    columns: list[str]
    rows: list[tuple[str, list[Shown | None]]]


class CellRecipe(NamedTuple):
    """How one cell was trained: what the study says of it, the whole recipe, and the command."""

    name: str
    differs: str
    fields: list[tuple[str, str]]
    command: str


def write(out: str | Path) -> Path:
    """Writes the page and its tables into the folder of a study; raises ValueError where it is none."""
    found = results(out)
    contents = (page(found), runs_csv(found), cells_csv(found), latex(found))
    paths = [Path(out) / name for name in FILES]
    for path, content in zip(paths, contents, strict=True):
        encoded = content.encode(errors="replace")
        write_whole(path, lambda beside, encoded=encoded: beside.write_bytes(encoded))  # type: ignore[misc]
    return paths[0]


def page(found: Results) -> str:
    """The whole page."""
    ranks = study_tables.rank_table(found) if found.metrics else None
    axes = study_curves.axes()
    return HTML.get_template("study.html.jinja").render(
        policy=POLICY,
        style=variables() + text_of("style.css"),
        name=found.name,
        state=state(found),
        done=found.ended == len(found.outcomes),
        about=found.study.about,
        verdict=verdict(found),
        matrices=[study_tables.matrix(found, metric) for metric in found.metrics],
        baseline=found.study.compared_with,
        seeds=len(found.study.seeds),
        survival=survival(found),
        otherwise=[f"{o.cell.name}, seed {o.seed}" for o in found.measured_otherwise()],
        ranks=ranks,
        axes=axes,
        figures=figures(found, axes),
        spectra=[figure([Axis("", "", "", lambda seen: seen)], [plot]) for plot in study_spectra.plots(found)],
        sheet=sheet(found),
        search=study_tables.search(found),
        costs=study_tables.costs(found),
        failures=study_tables.failures(found),
        settings=settings(found),
        recipes=[cell_recipe(found, cell) for cell in found.study.cells],
    )


def state(found: Results) -> str:
    """How far the study is."""
    return f"{found.ended} of {len(found.outcomes)} runs have ended"


def verdict(found: Results) -> str:
    """The result in a sentence or two: who is best where, who survives."""
    if not found.metrics:
        return "No run has come to its end yet."
    metric = found.metrics[0]
    table = study_tables.matrix(found, metric)
    winners: dict[str, list[str]] = {}
    for at, column in enumerate(table.columns):
        for row, values in table.rows:
            if values[at].best:
                winners.setdefault(row, []).append(f"{column} ({values[at].text})" if column else values[at].text)
    best = "; ".join(f"{row}: {', '.join(where)}" for row, where in winners.items())
    return f"Best mean {table.title}: {best}. {chance(found, table)}{alive(found)}"


def chance(found: Results, table: study_tables.Matrix) -> str:
    """Which of the best may be so by chance, in a sentence: those that do not differ from the baseline."""
    baseline = found.study.compared_with
    unsure = [
        f"{row} in {column}" if column else row
        for at, column in enumerate(table.columns)
        for row, values in table.rows
        if values[at].best and row != baseline and not values[at].significant
    ]
    return f"That may be chance, against {baseline}, of {', '.join(unsure)}. " if unsure else ""


def alive(found: Results) -> str:
    """Which rows survive everywhere, which never fully."""
    rows = {row: [found.survivors(cell) for cell in found.study.cells if cell.row == row] for row in found.study.rows}
    whole = [row for row, counts in rows.items() if all(a == n for a, n in counts) and any(n for _, n in counts)]
    lost = [f"{row} ({n - a} of {n} lost)" for row, counts in rows.items() for a, n in [_sums(counts)] if a < n]
    so_far = "" if found.ended == len(found.outcomes) else " so far"
    parts = [f"All runs survive{so_far}{' of ' + ', '.join(whole) if lost else ''}."] * bool(whole)
    return " ".join([*parts, *([f"Not of {', '.join(lost)}."] if lost else [])])


def _sums(counts: list[tuple[int, int]]) -> tuple[int, int]:
    return sum(a for a, _ in counts), sum(n for _, n in counts)


def survival(found: Results) -> str:
    """When a run counts as a survivor."""
    least = found.study.survives
    if least is None:
        return "A run survives when it comes to its end with a better score than before training."
    sign = "at least" if found.metrics and found.higher(found.metrics[0]) else "at most"
    return f"A run survives when it comes to its end with a score of {sign} {least:g}."


def figures(found: Results, axes: list[Axis]) -> list[Figure]:
    """The curves of all scores, against images and against time."""
    by_axis = [[plot for metric in found.metrics for plot in study_curves.plots(found, axis, metric)] for axis in axes]
    return [figure(axes, list(variants)) for variants in zip(*by_axis, strict=True)]


def sheet(found: Results) -> Sheet | None:
    """Samples of every cell beside each other."""
    columns = [*found.study.columns]
    rows = [(row, [samples(found.of(Cell(row, column))) for column in columns]) for row in found.study.rows]
    return Sheet(columns, rows) if any(shown for _, line in rows for shown in line) else None


def samples(outcomes: list[Outcome]) -> Shown | None:
    """The newest samples of the first seed that has some."""
    records = [outcome.record for outcome in outcomes if outcome.record and outcome.record.pictures]
    return thumbnails.corner(records[0]) if records else None


def settings(found: Results) -> list[tuple[str, str]]:
    """What all cells share."""
    shared = [(name, plain(value)) for name, value in found.study.base.items()]
    return [*shared, ("seeds", ", ".join(map(str, found.study.seeds)))]


def cell_recipe(found: Results, cell: Cell) -> CellRecipe:
    """The complete recipe of a cell's first run that has begun; of one that never could what the study says."""
    records = [outcome.record for outcome in found.of(cell) if outcome.record]
    own = {**found.study.columns[cell.column], **found.study.rows[cell.row]}
    differs = "; ".join(f"{name} {plain(value)}" for name, value in own.items()) or "as the base says"
    recipe = records[0].recipe if records else found.study.choices(cell)
    fields = [(name, plain(value)) for name, value in recipe.items()]
    command = f"equipoise train {typed(records[0])}--out runs/again" if records else ""
    return CellRecipe(cell.name, differs, fields, command)
