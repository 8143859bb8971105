"""The run folder: its files, replaced whole or, the logs, added to line by line."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from ..data import Meaning
from ..problems import one_line
from ..processes import Parted
from ..recipe import Recipe
from ..writing import NotWritten, naming, write_whole
from .paths import check_own_files

LOCK = ".lock"


class Unusable(ValueError):
    """A run folder cannot be trained in as it is."""


class Busy(Unusable):
    """Another process trains in this folder."""


class RunFolder:
    """Where the files of a run are."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.recipe_file = self.path / "recipe.json"
        self.stats_file = self.path / "stats.jsonl"
        self.metrics_file = self.path / "metrics.jsonl"
        self.nearest_file = self.path / "nearest.png"
        self.report_file = self.path / "report.html"
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.levels = self.path / "levels"
        self.best_file = self.checkpoints / "best.pt"

    def context(self) -> dict[str, Any]:
        """What recipe.json holds: the recipe, what was chosen and why, the images' fingerprint, labels, versions..."""
        if not self.recipe_file.is_file():
            raise ValueError(
                f"{self.path} is not a run folder: it has no recipe.json (equipoise train --out {self.path})"
            )
        try:
            context: dict[str, Any] = json.loads(self.recipe_file.read_text())
        except ValueError as error:
            raise ValueError(f"{self.recipe_file} cannot be read: {error}") from None
        if not isinstance(context, dict) or not {"recipe", "labels", "chosen", "images"} <= context.keys():
            raise ValueError(f"{self.recipe_file} is not what training wrote")
        try:
            Meaning.from_json(context["labels"])
        except ValueError as error:
            raise ValueError(f"{self.recipe_file} is not what training wrote: {error}") from None
        return context

    def meaning(self) -> Meaning:
        """What the labels of the run mean."""
        return Meaning.from_json(self.context()["labels"])

    def recipe(self) -> Recipe:
        """The recipe of the run, complete; raises ValueError where it names code within the run folder."""
        recipe = Recipe.from_json(self.context()["recipe"])
        check_own_files(recipe, self.path)
        return recipe

    def generators(self) -> list[str]:
        """The networks that are sampled and scored, "G" or, of a translation, "G_ab" and "G_ba"."""
        generators: list[str] = self.context().get("generators", ["G"])
        return generators

    def seconds(self) -> float:
        """The seconds that training was to take when the run started."""
        return float(self.context()["forecast"]["seconds"])

    def set_length(self, recipe: Recipe, reason: str, seen: int) -> None:
        """Writes a recipe with another number of images, why, and after how many it was set."""
        context = self.context()
        del context["recipe"]
        context["chosen"]["images"] = reason
        context["lengths"] = {**context.get("lengths", {}), str(seen): recipe.images}
        write_whole(self.recipe_file, lambda beside: recipe.save(beside, **context))

    def checkpoint_files(self) -> list[Path]:
        """The checkpoints from old to new, without the best."""
        return sorted(self.checkpoints.glob("[0-9]*.pt"))

    def newest_checkpoint(self) -> Path:
        """The last checkpoint; raises ValueError where there is none."""
        files = self.checkpoint_files()
        if not files:
            raise ValueError(f"{self.path} has no checkpoint yet")
        return files[-1]

    def save_checkpoint(self, state: dict[str, Any], seen: int, keep: int) -> Path:
        """Writes a checkpoint and removes all but the newest `keep`."""
        path = self.checkpoints / f"{seen:010d}.pt"
        write_whole(path, lambda beside: _save(state, beside))
        for old in self.checkpoint_files()[:-keep]:
            old.unlink()
        return path

    def save_best(self, checkpoint: Path) -> None:
        """Keeps a checkpoint beyond the newest ones, as the best by score."""
        write_whole(self.best_file, lambda beside: beside.write_bytes(checkpoint.read_bytes()))

    def forget_after(self, seen: int) -> None:
        """Drops rows that training wrote after the checkpoint from which it resumes; evaluations stay."""
        for file in filter(Path.exists, (self.stats_file, self.metrics_file)):
            rows = [row for row in read_rows(file) if row["seen"] <= seen or row.get("when") == "evaluate"]
            _write_rows(file, rows)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second process from training in the same folder, until this one is done or killed."""
        try:
            held = FileLock(self.path / LOCK, blocking=False).acquire()
        except Timeout:
            raise Busy(f"{self.path} is being trained by another process") from None
        with held, self.naming_the_checkpoint():
            yield

    @contextmanager
    def naming_the_checkpoint(self) -> Iterator[None]:
        """Adds the newest checkpoint to what is said of a file that cannot be written and of a process that is gone."""
        try:
            yield
        except (NotWritten, Parted) as error:
            raise type(error)(f"{error}; {self.last_good()}") from error

    def last_good(self) -> str:
        """Says where the newest checkpoint is."""
        files = self.checkpoint_files()
        return f"the last good checkpoint is {files[-1]}" if files else "there was no checkpoint yet"


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """The state in a checkpoint: tensors and plain data, loaded without executing code."""
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"no such checkpoint: {path}") from None
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # torch raises many kinds for a damaged file
        problem = f"{path} cannot be read ({one_line(error)})"
        raise Unusable(f"{problem}; remove it to resume from an older checkpoint") from None
    return state


def append_row(file: Path, row: dict[str, Any]) -> None:
    """Adds one line of JSON, behind what a crash may have cut short; undone where it cannot be written whole."""
    length = file.stat().st_size if file.exists() else 0
    try:
        with naming(file), file.open("ab+") as log:
            log.seek(max(0, length - 1))
            torn = log.read() not in (b"", b"\n")
            log.write(("\n" * torn + to_line(row)).encode())
    except NotWritten:
        if file.exists():
            os.truncate(file, length)
        raise


def _save(state: dict[str, Any], path: Path) -> None:
    with path.open("wb") as file:  # given a path, torch does not say why it could not write
        torch.save(state, file)


def read_rows(file: Path) -> Iterable[dict[str, Any]]:
    """The rows of a .jsonl file, without lines that a crash cut short."""
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "seen" in row:
            yield row


def _write_rows(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    write_whole(file, lambda beside: beside.write_text("".join(map(to_line, rows))))


def to_line(row: dict[str, Any]) -> str:
    """One line of JSON."""
    return json.dumps(row) + "\n"
