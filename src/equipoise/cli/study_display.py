"""What `study` shows: the grid with its cost, progress over all runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..report.numbers import duration, size, value
from ..report.study_results import Outcome, Results, outcome
from ..study import Event, Study, costs, runs_of, serial_runs
from ..study.plan import has_ended, jobs
from .terminal import console, plain_table

Show = Callable[[Event], None]


def grid(study: Study, workers: int, threads: int, device: str) -> int:
    """Every cell with what a run takes, and what the whole study takes; the exit status, 1 where none can run."""
    shown = plain_table("row", "column", "a run takes about", "on disk", "")
    seconds = disk = longest = 0.0
    possible = 0
    for cost in costs(study, device, threads):
        took = "" if cost.problem else duration(cost.seconds)
        shown.add_row(cost.cell.row, cost.cell.column, took, "" if cost.problem else size(cost.size), cost.problem)
        runs, possible = runs_of(study, cost.cell), possible + (not cost.problem)
        seconds, disk, longest = seconds + runs * cost.seconds, disk + runs * cost.size, max(longest, cost.seconds)
    console.print(shown)
    seeds = f"{len(study.cells)} cells x {len(study.seeds)} seeds"
    search = f", after a search of {study.search.trials} settings each" if study.search else ""
    print(f"{seeds}{search}; {workers} at a time, {threads} thread{'s' * (threads > 1)} each")
    mean = seconds / max(sum(runs_of(study, cell) for cell in study.cells), 1)
    takes = max(seconds / workers, serial_runs(study, workers) * mean, longest)
    print(f"the study takes about {duration(takes)} and {size(disk)}; nothing was written")
    return 0 if possible else 1


@contextmanager
def progress(study: Study, out: Path) -> Iterator[Show]:
    """A function that shows what workers say: a bar over all runs in a terminal, else a line for each that ended."""
    with _bar(study, out) if console.is_terminal else _lines(study, out) as show:
        yield show


@contextmanager
def _bar(study: Study, out: Path) -> Iterator[Show]:
    columns = [
        BarColumn(bar_width=20),
        TextColumn("{task.completed:.1f}/{task.total} runs"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.description}"),
    ]
    done, total = counted(study, out)
    running: dict[str, float] = {}
    with Progress(*columns, console=console, speed_estimate_period=600) as bar:
        task = bar.add_task("", total=total, completed=done)

        def show(event: Event) -> None:
            nonlocal done
            if event.note:
                bar.console.print(event.note)
                return
            running[event.run] = event.share
            if event.ended:
                del running[event.run]
                done, _ = counted(study, out)  # others may be at it too
                bar.console.print(in_words(study, out, event))
            bar.update(task, completed=done + sum(running.values()), description=event.run)

        yield show


@contextmanager
def _lines(study: Study, out: Path) -> Iterator[Show]:
    def show(event: Event) -> None:
        if event.note:
            print(event.note, flush=True)
        if event.ended:
            done, total = counted(study, out)
            print(f"{done} of {total} runs  {in_words(study, out, event)}", flush=True)

    yield show


def counted(study: Study, out: Path) -> tuple[int, int]:
    """How many runs have ended, of how many; in a search a setting counts once on every rung that it comes to."""
    search, done = study.search, 0
    tried = 0 if search is None else sum(search.counts) * len(study.searched)
    for group in jobs(study, out):
        ended = [job for job in group if has_ended(out, job)]
        done += len(ended)
        if len(ended) < len(group):  # what comes after is not known yet
            break
    return done, tried + len(study.cells) * len(study.seeds)


def in_words(study: Study, out: Path, event: Event) -> str:
    """What came of a run, in a line."""
    cell = next(cell for cell in study.cells if cell.slug == event.run.partition("/")[0])
    found = outcome(out / event.run, cell, 0)
    name = f"{cell.name}, {event.run.partition('/')[2].replace('-', ' ')}"
    if found.failure:
        return f"{name}: {found.failure['kind']}: {found.failure['reason']}"
    return f"{name}: {_scores(study, found)}"


def _scores(study: Study, found: Outcome) -> str:
    results = Results(Path(), study, [found])
    row = found.last or (found.record.training[-1] if found.record and found.record.training else None)
    if row is None:
        return "no score"
    first = next(iter(row["scores"]))
    took = duration(found.record.seconds or 0) if found.record else ""
    return f"{first if not results.metrics else results.metrics[0]} {value(row[first])} in {took}"


def finished(page: Path) -> int:
    """Says where everything is."""
    print(f"report: {page}\ntable: {page.with_name('table.csv')}, {page.with_name('table.tex')}")
    return 0
