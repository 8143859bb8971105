"""What is printed looks alike."""

from rich.console import Console
from rich.table import Table

console = Console(highlight=False, soft_wrap=True, markup=False)


def plain_table(*headers: str) -> Table:
    """A table as all commands print it."""
    table = Table(box=None, show_header=any(headers), header_style="dim", pad_edge=False)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table
