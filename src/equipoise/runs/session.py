"""Training as a run: from a recipe and a folder to checkpoints, statistics, pictures and scores in that folder."""

import time
from collections.abc import Callable, Iterator
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..data import DomainSources
from ..metrics.evaluation import versions
from ..recipe import Recipe, differences, known
from ..training import State, Stats
from .assemble import Assembled, assemble, rounds
from .choices import choose
from .folder import RunFolder, Unusable, append_row, load_checkpoint, read_rows, write_whole
from .forecast import Pace, measured
from .hardware import hardware, memory
from .levels import BESIDE, level_of
from .measuring import Bench
from .outputs import Output, drawn, outputs
from .pictures import grid
from .real_images import find, load_dataset, sets_in, training_batches
from .references import RealImages, identity
from .rehearsal import rehearse
from .scoring import Scorer

ROWS = 400  # lines of statistics in a run


class Progress(NamedTuple):
    """How far a run is: images seen, and what was newly written, if anything."""

    seen: int
    row: dict[str, Any] | None = None
    score: dict[str, Any] | None = None


class NotFinite(ValueError):
    """A loss or a gradient is no longer a number."""


def train(
    recipe: Recipe, out: str | Path, device: torch.device | str = "cpu", stop: Callable[[], bool] = lambda: False
) -> Iterator[Progress]:
    """Trains in folder `out` for as long as it is iterated, until `recipe.images` or `stop()`; resumes where it was.

    Yields after each round. When it has run to its end the last state is saved.
    """
    yield from Session(recipe, out, device).train(stop)


class Session:
    """One process's work on a run folder: it starts a run or resumes it, and trains.

    Making it completes the recipe and raises ValueError for what cannot work, and for a folder that holds another
    recipe, with the differences. Nothing is written before `train`.
    """

    def __init__(self, recipe: Recipe, out: str | Path, device: torch.device | str = "cpu") -> None:
        self.folder, self.device = RunFolder(out), torch.device(device)
        self.recipe, self.reasons = self.resolve(recipe)
        self.dataset = load_dataset(self.recipe)
        for part in sets_in(self.dataset):
            if len(part) < 2:
                raise ValueError(f"{part.name} has one image; at least 2 are needed to train and to score")
        self.identity = identity(self.dataset)
        labels = self.dataset.meaning.space
        if not self.folder.recipe_file.exists():
            rehearse(self.recipe, labels, self.device)
            if recipe.score_every is None or (recipe.images is None and recipe.minutes is not None):
                self.recipe, self.reasons = self.resolve(recipe, self.pace)
        self.assembled: Assembled = assemble(self.recipe, labels, self.device)
        self.state: State = self.assembled.state
        self.outputs = outputs(self.dataset, self.state.averages)
        self.scorers = [self.scorer_of(output) for output in self.outputs]
        self.bench = Bench(self.recipe.instruments, self.outputs, self.device)
        if not self.folder.recipe_file.exists():
            self.bench.check(self.state.nets)
        self.pending: list[tuple[int, Stats]] = []  # images seen before each round, and its statistics
        self.seconds = self.recorded_seconds = 0.0
        self.recorded_images = 0

    def scorer_of(self, output: Output) -> Scorer:
        """What compares an output with real images."""
        return Scorer(RealImages(output.real), str(self.recipe.features), self.device, known(self.recipe.score))

    @cached_property
    def pace(self) -> Pace:
        """How fast this machine trains and scores."""
        return measured(self.recipe, self.dataset.meaning.space, self.device)

    def forecast(self) -> float:
        """The seconds that the run will take from its start to its end."""
        measurements = 1 + known(self.recipe.images) // (self.recipe.instruments_every or known(self.recipe.images))
        unseen = sum(scorer.unseen for scorer in self.scorers)
        return self.pace.seconds(self.recipe, unseen) + measurements * self.bench.seconds

    def resolve(self, recipe: Recipe, pace: Pace | None = None) -> tuple[Recipe, dict[str, str]]:
        """The complete recipe, the one that the folder holds or a new one, with the reason of each choice."""
        folder = self.folder
        if folder.recipe_file.exists():
            held = folder.recipe()
            if differing := "; ".join(differences(recipe, held)):
                raise Unusable(f"{folder.path} holds another recipe; nothing was changed. It differs in {differing}")
            return held, folder.context()["chosen"]
        if folder.path.exists() and (not folder.path.is_dir() or any(f.name[0] != "." for f in folder.path.iterdir())):
            raise ValueError(f"{folder.path} exists and is no run folder; nothing in it was touched")
        found = find(recipe)
        source = found.together if isinstance(found, DomainSources) else found
        return choose(recipe, source, self.device, pace)

    def train(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Progress]:
        """Trains until the recipe's length or `stop()`; yields after each round."""
        self.folder.path.mkdir(parents=True, exist_ok=True)
        with self.folder.locked():
            self.restore()
            yield from self.advance(stop)

    def restore(self) -> None:
        """Writes the recipe into a new folder, or resumes from the newest checkpoint of an old one."""
        folder = self.folder
        if not folder.recipe_file.exists():
            context = {"chosen": self.reasons, "labels": self.dataset.meaning.to_json(), "images": self.identity}
            context["players"] = {name: list(player.nets) for name, player in self.assembled.players.items()}
            context["generators"] = [output.net for output in self.outputs]
            context |= {"hardware": hardware(self.device), "versions": versions()}
            write_whole(folder.recipe_file, lambda beside: self.recipe.save(beside, **context))
        if folder.recipe() != self.recipe or folder.context()["images"] != self.identity:
            raise Unusable(f"{folder.path} was started with other images or labels than {self.recipe.data} holds now")
        if folder.checkpoint_files():
            self.state.load_state_dict(load_checkpoint(folder.newest_checkpoint(), self.device))
        folder.forget_after(self.state.seen if folder.checkpoint_files() else -1)
        self.seconds = max((row["seconds"] for row in read_rows(folder.stats_file)), default=0.0)
        self.recorded_seconds, self.recorded_images = self.seconds, self.state.seen

    def advance(self, stop: Callable[[], bool]) -> Iterator[Progress]:
        """Trains, and does what is due after each round, and at the start what a killed process left undone."""
        self.measure_start()
        if not self.state.seen or self.unscored():
            yield self.after_round(self.state.begun)
        images = training_batches(self.dataset, self.recipe, self.assembled.batch, self.state.seen, self.device)
        stream = rounds(self.assembled, images, self.recipe)
        while self.state.seen < known(self.recipe.images) and not stop():
            before, mark = self.state.seen, time.perf_counter()
            self.pending.append((self.state.seen, next(stream)))
            self.seconds += time.perf_counter() - mark
            yield self.after_round(before)
        self.record()
        self.save()

    def after_round(self, before: int) -> Progress:
        """Statistics, checkpoint, picture and score, each when its time has come."""
        recipe, end = self.recipe, self.state.seen >= known(self.recipe.images)
        due = lambda every: end or self.state.seen // every > before // every
        saving, scoring = due(recipe.save_every), due(recipe.score_every) and self.state.seen > 0
        measuring = bool(self.bench.instruments) and due(known(recipe.instruments_every))
        recording = saving or scoring or measuring or due(max(1, known(recipe.images) // ROWS))
        row = self.record(measuring) if recording else None
        if saving or scoring:
            self.save()
        if due(recipe.sample_every):
            self.picture()
        if due(recipe.sample_every) or self.level_ends():
            self.picture_level()
        return Progress(self.state.seen, row, self.score() if scoring else None)

    def measure_start(self) -> None:
        """Writes what instruments say before the first round, unless that was written."""
        if self.bench.instruments and not self.state.seen and not any(read_rows(self.folder.stats_file)):
            row = {"seen": 0, "seconds": 0.0, "instruments": self.bench.measure(self.state.nets)}
            append_row(self.folder.stats_file, row)

    def record(self, measuring: bool = False) -> dict[str, Any] | None:
        """Writes the means of the statistics since the last row, if any; raises NotFinite at the first bad one.

        With what instruments say now, where they are due.
        """
        if not self.pending:
            return None
        mark = time.perf_counter()
        table = fetched([stats for _, stats in self.pending])
        self.seconds += time.perf_counter() - mark  # a GPU works until the numbers are here
        self.check(table)
        self.pending.clear()
        speed = (self.state.seen - self.recorded_images) / (self.seconds - self.recorded_seconds)
        self.recorded_seconds, self.recorded_images = self.seconds, self.state.seen
        means = {name: float(np.mean([row[name] for row in table if name in row])) for name in union(table)}
        timing = {"seconds": round(self.seconds, 3), "speed": round(speed, 1)}
        row: dict[str, Any] = {"seen": self.state.seen, **timing, **means, "memory": memory(self.device)}
        if measuring:
            row["instruments"] = self.bench.measure(self.state.nets)
        append_row(self.folder.stats_file, row)
        return row

    def check(self, table: list[dict[str, float]]) -> None:
        """Raises NotFinite with the round and its statistics, before anything is saved."""
        for (seen, _), row in zip(self.pending, table, strict=True):
            if not all(map(isfinite, row.values())):
                values = ", ".join(f"{name} {value:.4g}" for name, value in row.items())
                raise NotFinite(f"training broke after image {seen}: {values}; {self.folder.last_good()}")

    def save(self) -> None:
        """Writes a checkpoint of this moment unless there is one."""
        newest = self.folder.checkpoint_files()[-1:]
        if not newest or int(newest[0].stem) != self.state.seen:
            self.folder.save_checkpoint(self.state.state_dict(), self.state.seen, self.recipe.keep)

    def picture(self) -> None:
        """Writes a picture of what the EMA generators make of inputs that never change."""
        picture = drawn(self.outputs, self.state.averages, self.state.nets)
        file = self.folder.samples / f"{self.state.seen:010d}.png"
        write_whole(file, lambda beside: picture.save(beside, "png"))

    def level_ends(self) -> bool:
        """Whether the next round begins with larger images than the last one."""
        growth, sides = self.assembled.growth, self.assembled.sides
        return growth is not None and growth.side(self.state.seen, sides) != growth.side(self.state.begun, sides)

    def picture_level(self) -> None:
        """Writes generated beside real images of the level that a generator is at, where it grows."""
        first = self.outputs[0]
        if level := level_of(self.state.averages[first.net], first):
            file = self.folder.levels / f"{level.side:04d}.png"
            write_whole(file, lambda beside: grid(level.images, 2 * BESIDE).save(beside, "png"))

    def score(self) -> dict[str, Any] | None:
        """Scores all outputs that have no score of this moment; returns the first of them."""
        self.score_start()
        rows = [self.score_of(output, self.state) for output in self.unscored()]
        return rows[0] if rows else None

    def score_start(self) -> None:
        """Scores the untrained generators, made again, when the first score is due, so that training begins at once."""
        if missing := [output for output in self.outputs if not self.scores(output)]:
            untrained = assemble(self.recipe, self.dataset.meaning.space, self.device).state
            for output in missing:
                self.score_of(output, untrained)

    def score_of(self, output: Output, state: State) -> dict[str, Any]:
        """Scores an EMA generator; keeps the checkpoint if it is the best so far, by the first output."""
        G, seed = state.averages[output.net], 1
        scorer, count = self.scorers[self.outputs.index(output)], output.count(int(self.recipe.score_images or 0))
        values = scorer.score(output.generated(G, count, seed), count, output.subject(G, seed)).values()
        row: dict[str, Any] = {"seen": state.seen, "weights": "averaged", "seed": seed, "when": "training"}
        row |= output.about | values | scorer.card(count)
        if state.seen and output is self.outputs[0] and is_best(row, self.scores(output)):
            self.folder.save_best(self.folder.newest_checkpoint())
        append_row(self.folder.metrics_file, row)  # last: a process killed before this line scores again
        return row

    def scores(self, output: Output) -> list[dict[str, Any]]:
        """The scores of an output that training has written so far."""
        rows = [row for row in read_rows(self.folder.metrics_file) if row["when"] == "training"]
        return [row for row in rows if row.get("output") == output.about.get("output")]

    def unscored(self) -> list[Output]:
        """The outputs that have no score of this moment yet."""
        return [out for out in self.outputs if self.state.seen not in [row["seen"] for row in self.scores(out)]]


def fetched(rounds: list[Stats]) -> list[dict[str, float]]:
    """The statistics of rounds as numbers, in one transfer from the device."""
    flat = torch.stack([value.float() for stats in rounds for value in stats.values()]).tolist()
    numbers = iter(flat)
    return [{name: next(numbers) for name in stats} for stats in rounds]


def is_best(row: dict[str, Any], before: list[dict[str, Any]]) -> bool:
    """Whether the first score is at least as good as all before, that of the untrained generator apart."""
    first, about = next(iter(row["scores"].items()))
    sign = -1 if about["higher"] else 1
    return all(sign * row[first] <= sign * earlier[first] for earlier in before if earlier["seen"])


def union(table: list[dict[str, float]]) -> list[str]:
    """The names of all statistics; some may be missing from some rounds."""
    return [*dict.fromkeys(name for row in table for name in row)]
