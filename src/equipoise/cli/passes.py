"""How far a pass over images or the like is: a bar in a terminal, else lines on the standard error."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..watching import Watch, unwatched
from .terminal import console

PATIENCE = 20  # seconds without a line, where there is no terminal


@contextmanager
def passes(show: bool = True) -> Iterator[Watch]:
    """A function that shows how far each pass is: a bar while it lasts, or where there is no terminal seldom a line."""
    screen = console if console.is_terminal else Console(stderr=True)  # below the bar of a run, which is on stdout
    if not show:
        yield unwatched
    elif not screen.is_terminal:
        yield _seldom_said
    else:
        columns = [TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn()]
        bar = Progress(*columns, TimeRemainingColumn(), console=screen, transient=True)

        def watch(parts: Iterable[Any], name: str, count: int) -> Iterator[Any]:
            task = bar.add_task(name, total=count)
            bar.start()
            try:
                for part in parts:
                    yield part
                    bar.advance(task, _number(part))
            finally:
                bar.remove_task(task)
                if not bar.tasks:
                    bar.stop()

        try:
            yield watch
        finally:  # of a pass that nobody goes on with
            bar.stop()


def _seldom_said(parts: Iterable[Any], name: str, count: int) -> Iterator[Any]:
    """Says how far a pass is once in `PATIENCE` seconds."""
    said, done = monotonic(), 0
    for part in parts:
        if monotonic() - said > PATIENCE:
            said = monotonic()
            print(f"{name}: {done:,} of {count:,}", file=sys.stderr, flush=True)
        yield part
        done += _number(part)


def _number(part: Any) -> int:
    """How many things a part of a pass holds."""
    return len(part[0] if isinstance(part, tuple) else part)
