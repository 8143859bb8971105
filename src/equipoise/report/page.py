"""The page: one HTML file that needs nothing beside it."""

from importlib.resources import files
from pathlib import Path

from ..runs.folder import RunFolder, write_whole
from . import sections
from .html import Markup, element
from .record import Record, read
from .themes import variables
from .verdict import verdict

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # a browser's word that nothing is fetched


def write(run: str | Path) -> Path:
    """Writes report.html into a run folder, from what is in that folder; raises ValueError where it is no run."""
    record = read(run)
    content = page(record).encode(errors="replace")
    file = RunFolder(run).report_file
    write_whole(file, lambda beside: beside.write_bytes(content))
    return file


def page(record: Record) -> str:
    """The whole page."""
    title = element("title", f"{record.name}: equipoise run")
    style = element("style", Markup(variables() + files(__package__).joinpath("style.css").read_text("utf-8")))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="description", content=verdict(record)),
        title,
        style,
    )
    main = element("main", *(make(record) for make in sections.ALL))
    return "<!doctype html>\n" + element("html", head, element("body", sections.top(record), main), lang="en") + "\n"
