"""What is to be run next, from what is in the folder of a study."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..randomness import mixed
from ..recipe import Recipe, known
from ..runs.folder import RunFolder, read_rows
from .grid import Cell, Choices, Study
from .spaces import drawn

FAILURE = "failure.json"
TRIALS = 10_000  # the first seed of trials, apart from those that confirm


class Job(NamedTuple):
    """A run of a cell, until it has seen so many images, or to its end."""

    cell: Cell
    name: str
    recipe: Recipe
    until: int | None = None

    @property
    def key(self) -> str:
        """Its folder within the study's."""
        return f"{self.cell.slug}/{self.name}"


class Trial(NamedTuple):
    """A setting of a search, and its score after so many images, None before and for one that broke."""

    number: int
    drawn: dict[str, Any]
    images: int = 0
    score: float | None = None


def jobs(study: Study, out: Path) -> Iterator[list[Job]]:
    """Groups of jobs that can be done in any order; a group is known when those before it have ended.

    Without a search there is one, all seeds of all cells, seed by seed: a first look at everything comes early.
    """
    if study.search is None:
        yield [Job(cell, f"seed-{seed}", study.recipe(cell, seed)) for seed in study.seeds for cell in study.cells]
        return
    for rung in range(len(study.search.counts)):
        yield [job for cell in study.searched for job in trials(study, out, cell, rung)]
    yield [job for seed in study.seeds for cell in study.cells for job in _confirmed(study, out, cell, seed)]


def trials(study: Study, out: Path, cell: Cell, rung: int) -> list[Job]:
    """The settings of a cell that train on this rung of its search."""
    search = study.search
    assert search is not None
    recipe = lambda trial: _searched(study, cell, trial.drawn)
    chosen = [Trial(number, setting(study, cell, number)) for number in range(search.trials)]
    count, until = search.rungs(known(recipe(chosen[0]).images))[rung]
    if rung:
        chosen = ranked(study, out, cell, rung - 1)[:count]
    return [Job(cell, f"trial-{trial.number}", recipe(trial), until) for trial in chosen]


def ranked(study: Study, out: Path, cell: Cell, rung: int) -> list[Trial]:
    """The settings of a rung with their scores, the best first; those that broke last."""
    found = []
    for job in trials(study, out, cell, rung):
        number = int(job.name.partition("-")[2])
        score = score_at(out / job.key, job.until)
        found.append(Trial(number, setting(study, cell, number), job.until or 0, score))
    sign = -1 if higher_is_better(out) else 1
    return sorted(found, key=lambda trial: (trial.score is None, sign * (trial.score or 0)))


def tried(study: Study, out: Path, cell: Cell) -> list[Trial]:
    """All settings of a cell's search with their last scores: those that went furthest first, then the better."""
    assert study.search is not None
    found = {number: Trial(number, setting(study, cell, number)) for number in range(study.search.trials)}
    for rung in range(len(study.search.counts)):
        scored = {trial.number: trial for trial in ranked(study, out, cell, rung) if trial.score is not None}
        found = scored | {number: trial for number, trial in found.items() if number not in scored}
        if not rung_ended(study, out, cell, rung):
            break
    return [*found.values()]


def rung_ended(study: Study, out: Path, cell: Cell, rung: int) -> bool:
    """Whether all settings of a rung have come to its end or broken, so that the next one is known."""
    return all(has_ended(out, job) for job in trials(study, out, cell, rung))


def setting(study: Study, cell: Cell, number: int) -> dict[str, Any]:
    """What a search tries in a cell: a function of its seed, the ranges and the number alone."""
    assert study.search is not None
    return drawn(study.choices(cell), np.random.default_rng(mixed(study.search.seed, number)))


def best_setting(study: Study, out: Path, cell: Cell) -> dict[str, Any] | None:
    """The setting that won a cell's search, None before its end and where all broke."""
    assert study.search is not None
    final = len(study.search.counts) - 1
    if not all(rung_ended(study, out, cell, rung) for rung in range(final + 1)):
        return None
    last = ranked(study, out, cell, final)
    return last[0].drawn if last and last[0].score is not None else None


def score_at(folder: Path, until: int | None) -> float | None:
    """The first score of a run when it had seen so many images, None for one that broke before."""
    rows = [row for row in read_rows(RunFolder(folder).metrics_file) if row.get("when") == "training"]
    at = [row[first_score(row)] for row in rows if row["seen"] >= (until or 0) and row.get("scores")]
    return float(at[0]) if at else None


def first_score(row: dict[str, Any]) -> str:
    """The score that decides: the first that a row has."""
    return str(next(iter(row["scores"])))


def higher_is_better(out: Path) -> bool:
    """Whether more of the first score is better, as the rows of any run say."""
    rows = (row for file in out.glob("*/*/metrics.jsonl") for row in read_rows(file) if row.get("scores"))
    row = next(rows, None)
    return bool(row and row["scores"][first_score(row)].get("higher", False))


def has_ended(out: Path, job: Job) -> bool:
    """Whether a job is done, or has failed."""
    folder = RunFolder(out / job.key)
    failed = failure(folder.path)
    if failed is not None and not (job.until and failed["seen"] >= job.until):
        return True
    files = folder.checkpoint_files()
    if not files or not folder.recipe_file.exists():
        return False
    until = known(folder.recipe().images) if job.until is None else job.until
    return int(files[-1].stem) >= until and score_at(folder.path, until) is not None


def failure(folder: Path) -> dict[str, Any] | None:
    """Why a run failed, None for one that did not."""
    file = folder / FAILURE
    if not file.exists():
        return None
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def _confirmed(study: Study, out: Path, cell: Cell, seed: int) -> list[Job]:
    best = best_setting(study, out, cell) if cell in study.searched else {}
    return [] if best is None else [Job(cell, f"seed-{seed}", study.recipe(cell, seed, best))]


def _searched(study: Study, cell: Cell, choices: Choices) -> Recipe:
    """A trial's recipe: scores come at the end of every rung."""
    search = study.search
    assert search is not None
    seed = search.seed + TRIALS
    every = search.rungs(known(study.recipe(cell, seed, choices).images))[0][1]
    return study.recipe(cell, seed, {**choices, "score_every": every})
