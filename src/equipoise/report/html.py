"""HTML from nested calls. Text is escaped unless it is Markup, so that nothing in a run folder can become code."""

import html
from collections.abc import Iterable

VOID = ("img", "input", "meta", "source")


class Markup(str):
    """Text that is HTML already."""


Node = str | Markup | None


def element(name: str, /, *children: Node, **attributes: str | int | bool | None) -> Markup:
    """An element; attributes drop a last underscore, those that are None or False are left out.

    >>> element("p", "1 < 2", class_="sum")
    '<p class="sum">1 &lt; 2</p>'
    """
    start = f"<{name}{''.join(map(_attribute, attributes, attributes.values()))}>"
    return Markup(start if name in VOID else f"{start}{join(children)}</{name}>")


def join(children: Iterable[Node]) -> Markup:
    """Children one after the other."""
    texts = (child if isinstance(child, Markup) else html.escape(child) for child in children if child is not None)
    return Markup("".join(texts))


def table(head: Iterable[str], rows: Iterable[Iterable[Node]], caption: str) -> Markup:
    """A table in a box that scrolls; the first cell of a row is its name."""
    top = element("thead", element("tr", *(element("th", name, scope="col") for name in head)))
    return scrolling(element("caption", caption), top, element("tbody", *map(_row, rows)), label=caption)


def scrolling(*parts: Markup, label: str) -> Markup:
    """A table that scrolls in its box, also by keyboard."""
    return element("div", element("table", *parts), class_="scroll", tabindex=0, role="region", aria_label=label)


def _row(cells: Iterable[Node]) -> Markup:
    first, *rest = cells
    return element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in rest))


def _attribute(name: str, value: str | int | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'
