"""The page: one HTML file that needs nothing beside it."""

from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined

from ..runs.folder import RunFolder
from ..themes import variables
from ..writing import write_whole
from . import curves, sections, tables
from .next_steps import commands
from .record import Record, read
from .verdict import verdict

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # a browser's word that nothing is fetched


def write(run: str | Path) -> Path:
    """Writes report.html into a run folder, from what is in that folder; raises ValueError where it is no run."""
    record, folder = read(run), RunFolder(run)
    content = page(record).encode(errors="replace")
    with folder.naming_the_checkpoint():
        write_whole(folder.report_file, lambda beside: beside.write_bytes(content))
    return folder.report_file


def page(record: Record) -> str:
    """The whole page; all text is escaped, so that nothing in a run folder can become code."""
    axes, strip = curves.axes(record), sections.over_time(record)
    film = sections.film(len(strip) if record.of_points else 0)
    return HTML.get_template("page.html.jinja").render(
        policy=POLICY,
        style=variables() + text_of("style.css") + film,
        top=sections.top(record),
        summary=verdict(record),
        latest=sections.latest(record),
        pictures=len(record.pictures),
        facts=sections.facts(record),
        strip=strip,
        film=bool(film),
        wide=record.of_points,
        levels=sections.of_levels(record),
        strip_note=f"The same {'inputs' if record.translates else 'latent points'} each time.",
        axes=axes,
        figures=sections.figures(record, axes),
        instruments=sections.instruments(record),
        scores=sections.scores(record),
        nearest=sections.nearest(record),
        recipe=tables.recipe(record),
        machine=tables.machine(record),
        commands=commands(record),
    )


def text_of(name: str) -> str:
    """A template or a style sheet of this package."""
    return files(__package__).joinpath(name).read_text("utf-8")


HTML = Environment(
    loader=FunctionLoader(text_of), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
