"""What a study takes, before it begins: a few timed rounds of each cell."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from ..runs import Session
from ..runs.real_images import find
from .grid import Cell, Study
from .plan import setting


class Cost(NamedTuple):
    """The seconds and the bytes of one run of a cell, or why it cannot run."""

    cell: Cell
    seconds: float
    size: int
    problem: str = ""


def costs(study: Study, device: torch.device | str, threads: int) -> Iterator[Cost]:
    """The cost of a run of each cell, with so many threads."""
    for cell in study.cells:
        try:
            yield _cost(study, cell, device, threads)
        except (ValueError, torch.OutOfMemoryError) as error:
            yield Cost(cell, 0.0, 0, str(error))


def runs_of(study: Study, cell: Cell) -> float:
    """How many whole runs a cell has: its seeds, and the parts of runs of a search."""
    if study.search is None or cell not in study.searched:
        return float(len(study.seeds))
    return len(study.seeds) + sum(count * share for count, share in study.search.stretches)


def serial_runs(study: Study, workers: int) -> float:
    """How many whole runs come one after the other with so many workers: a rung waits for the one before."""
    confirmed = -(-len(study.cells) * len(study.seeds) // workers)
    if study.search is None:
        return float(confirmed)
    return confirmed + sum(
        -(-count * len(study.searched) // workers) * share for count, share in study.search.stretches
    )


def check_data(study: Study) -> None:
    """Raises ValueError for data that cannot be read, before anything is written."""
    seen = set()
    for cell in study.cells:
        drawn = setting(study, cell, 0) if cell in study.searched else {}
        recipe = study.recipe(cell, study.seeds[0], drawn)
        if recipe.data not in seen:
            try:
                find(recipe)
            except ValueError as error:
                raise ValueError(f"{cell.name}: {error}") from None
        seen.add(recipe.data)


def _cost(study: Study, cell: Cell, device: torch.device | str, threads: int) -> Cost:
    drawn = setting(study, cell, 0) if cell in study.searched else {}
    recipe = study.recipe(cell, study.seeds[0], drawn)
    timed, mark = recipe.minutes is not None and recipe.images is None, time.perf_counter()
    tried = recipe if not timed else replace(recipe, images=10_000)
    session = Session(tried, Path("unwritten") / cell.slug, device, threads=threads)
    starts = time.perf_counter() - mark
    seconds = 60 * float(recipe.minutes or 0) if timed else session.forecast()
    return Cost(cell, starts + seconds, session.plan.disk())
