"""Training as a run: from a recipe and a folder to checkpoints, statistics, pictures and scores in that folder."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..checks import check_range
from ..metrics.evaluation import versions
from ..processes import ALONE, World, reached
from ..profiling import span
from ..recipe import Recipe, known
from ..training import State, Stats
from ..training.statistics import fetched
from ..watching import Watch, unwatched
from ..writing import write_whole
from .assemble import Assembled, assemble, check_shares, rounds
from .choices import at_pace
from .clock import Clock
from .folder import RunFolder, Unusable, append_row, load_checkpoint, read_rows
from .forecast import images_left
from .hardware import hardware, keep_freed_memory, memory, working
from .levels import BESIDE, level_of
from .measuring import Bench
from .outputs import drawn, outputs
from .pictures import grid
from .planning import Plan
from .real_images import training_batches
from .scoreboard import Scoreboard
from .shortage import explained
from .warm_start import start_from

ROWS = 400  # lines of statistics in a run


class Progress(NamedTuple):
    """How far a run is: images seen, of how many, and what was newly written, if anything."""

    seen: int
    images: int
    row: dict[str, Any] | None = None
    score: dict[str, Any] | None = None


class NotFinite(ValueError):
    """A loss or a gradient is no longer a number."""


def train(
    recipe: Recipe,
    out: str | Path,
    device: torch.device | str = "cpu",
    stop: Callable[[], bool] = lambda: False,
    world: World = ALONE,
    threads: int | None = None,
) -> Iterator[Progress]:
    """Trains in folder `out` for as long as it is iterated, until `recipe.images` or `stop()`; resumes where it was.

    Yields after each round. When it has run to its end the last state is saved. The processes of a `world`, which see
    the same folder, all call this; a resumed run may have another number of them. `threads` are those of the CPU, as
    in `Session`.
    """
    yield from Session(recipe, out, device, world, threads=threads).train(stop)


class Session:
    """One process's work on a run folder: it starts a run or resumes it, and trains.

    Making it plans the run, which raises ValueError for what cannot work, and for a folder that holds another recipe.
    Nothing is written before `train`. Of several processes the first one writes. Without a number of `threads` a run
    on a CPU has as many as the environment says (OMP_NUM_THREADS), or as it was begun with, which is what makes it the
    same bit by bit; a new one as many as torch has, or fewer where they are faster on the machine as it is now.
    """

    def __init__(
        self,
        recipe: Recipe,
        out: str | Path,
        device: torch.device | str = "cpu",
        world: World = ALONE,
        watch: Watch = unwatched,
        threads: int | None = None,
    ) -> None:
        check_range(at_least=1, threads=1 if threads is None else threads)
        self.folder, self.device, self.world = RunFolder(out), torch.device(device), world
        keep_freed_memory(self.device)
        self.plan = Plan(recipe, self.folder, self.device, world, watch, threads)
        self.recipe, self.dataset = self.plan.recipe, self.plan.dataset
        world.together(self.build)

    def build(self) -> None:
        """Makes the networks and all that measures them."""
        self.assembled = self.beginning(again=bool(self.folder.checkpoint_files()))
        check_shares(self.recipe, self.assembled.growth, self.world)
        self.state: State = self.assembled.state
        self.outputs = outputs(self.dataset, self.state.averages)
        self.scores = Scoreboard(self.folder, self.recipe, self.outputs, self.device, self.world, self.plan.watch)
        self.bench = Bench(self.recipe.instruments, self.outputs, self.device)
        if not self.folder.recipe_file.exists():
            self.bench.check(self.state.nets)
        self.pending: list[tuple[int, Stats]] = []  # images seen before each round, and its statistics
        self.in_score = False
        self.clock = Clock()

    def forecast(self) -> float:
        """The seconds that the run will take from its start to its end."""
        measurements = 1 + known(self.recipe.images) // (self.recipe.instruments_every or known(self.recipe.images))
        return self.plan.pace.seconds(self.recipe, self.scores.unseen) + measurements * self.bench.seconds

    def train(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Progress]:
        """Trains until the recipe's length or `stop()`, of any process; yields after each round."""
        with ExitStack() as held:
            held.enter_context(working(self.plan.threads))
            self.world.together(lambda: self.begin(held))
            if saved := self.world.together(self.restore):
                self.state.load_state_dict(saved)
            with reached():
                yield from self.advance(stop)

    def begin(self, held: ExitStack) -> None:
        """Takes the folder for as long as `held` is open; writes the recipe into a new one."""
        folder = self.folder
        if not self.world.leads:
            held.enter_context(folder.naming_the_checkpoint())
            return
        folder.path.mkdir(parents=True, exist_ok=True)
        held.enter_context(folder.locked())
        if not folder.recipe_file.exists():
            context: dict[str, Any] = {"chosen": self.plan.reasons, "labels": self.dataset.meaning.to_json()}
            context["images"] = self.plan.identity
            context["players"] = {name: list(player.nets) for name, player in self.assembled.players.items()}
            context["generators"] = [output.net for output in self.outputs]
            context |= {"hardware": hardware(self.device), "processes": self.world.size, "versions": versions()}
            context |= self.plan.to_json()
            write_whole(folder.recipe_file, lambda beside: self.recipe.save(beside, **context))

    def restore(self) -> dict[str, Any] | None:
        """The newest checkpoint of the folder, None where it has none; what was logged after it is dropped."""
        folder = self.folder
        if folder.recipe() != self.recipe or folder.context()["images"] != self.plan.identity:
            raise Unusable(f"{folder.path} was started with other images or labels than {self.recipe.data} holds now")
        saved, device = None, torch.device("cpu") if self.state.sharded else self.device
        if folder.checkpoint_files():
            saved = load_checkpoint(folder.newest_checkpoint(), device)
        if self.world.leads:
            folder.forget_after(saved["seen"] if saved else -1)
        seconds = max((row["seconds"] for row in read_rows(folder.stats_file)), default=0.0)
        self.clock = Clock(seconds, saved["seen"] if saved else 0)
        return saved

    def advance(self, stop: Callable[[], bool]) -> Iterator[Progress]:
        """Trains, and does what is due after each round, and at the start what a killed process left undone."""
        self.measure_start()
        if not self.state.seen or self.scores.missing(self.state.seen):
            yield self.after_round(self.state.begun)
        self.clock.start()
        batch, world = self.assembled.batch, self.world
        images = training_batches(self.dataset, self.recipe, batch, self.state.seen, self.device, world)
        stream = rounds(self.assembled, images, self.recipe, world)
        while self.state.seen < known(self.recipe.images) and not world.any(bool(stop())):
            before = self.state.seen
            with explained(self.recipe, self.folder.last_good), self.clock.training():
                self.pending.append((self.state.seen, next(stream)))
            yield self.after_round(before)
        self.record()
        self.save()

    def keep_time(self) -> None:
        """Sets the number of images anew by the pace so far, where the length is in minutes and they were chosen."""
        recipe, growth, seen, images = self.recipe, self.assembled.growth, self.state.seen, known(self.recipe.images)
        chosen, share = recipe.minutes is not None and "images" in self.plan.reasons, self.clock.training_share
        if not chosen or not share or seen >= images:
            return
        if self.world.leads:
            seconds = self.folder.seconds() * share
            images = seen + images_left(seconds, images, [*read_rows(self.folder.stats_file)])
        images = self.world.from_first(images)
        if images == recipe.images or (growth and not growth.can_last(images, seen, self.assembled.sides)):
            return
        self.recipe, reason = at_pace(recipe, images)
        self.assembled.length.images = images
        if self.world.leads:
            self.folder.set_length(self.recipe, reason, seen)

    def after_round(self, before: int) -> Progress:
        """Statistics, checkpoint, picture and score, each when its time has come."""
        recipe, end = self.recipe, self.state.seen >= known(self.recipe.images)
        due = lambda every: end or self.state.seen // every > before // every
        saving, scoring = due(recipe.save_every), due(recipe.score_every) and self.state.seen > 0
        measuring = bool(self.bench.instruments) and due(known(recipe.instruments_every))
        recording = saving or scoring or measuring or due(max(1, known(recipe.images) // ROWS))
        with span("statistics"):
            row = self.record(measuring) if recording else None
        with self.clock.beside():
            with span("checkpoints"):
                if saving or scoring:
                    self.save()
            with span("pictures"):
                if due(recipe.sample_every):
                    self.picture()
                if self.world.leads and (due(recipe.sample_every) or self.level_ends()):
                    self.picture_level()
        with span("scores"):
            score = self.score() if scoring else None
        if saving:
            self.keep_time()
        return Progress(self.state.seen, known(self.recipe.images), row, score)

    def score(self) -> dict[str, Any] | None:
        """Scores the generators of this moment, which is saved: whoever breaks it off loses nothing."""
        self.in_score = True
        try:
            return self.scores.add(self.state, lambda: self.beginning().state)
        finally:
            self.in_score = False

    def measure_start(self) -> None:
        """Writes what instruments say before the first round, unless that was written."""
        untouched = self.world.leads and not self.state.seen and not any(read_rows(self.folder.stats_file))
        if self.bench.instruments and untouched:
            row = {"seen": 0, "seconds": 0.0, "instruments": self.bench.measure(self.state.nets)}
            append_row(self.folder.stats_file, row)

    def record(self, measuring: bool = False) -> dict[str, Any] | None:
        """Writes the means of the statistics since the last row, if any; raises NotFinite at the first bad one.

        With what instruments say now, where they are due. Statistics are the means over all processes.
        """
        if not self.pending:
            return None
        with self.clock.training():  # a GPU works until the numbers are here
            table = fetched([stats for _, stats in self.pending], self.world)
        self.world.together(lambda: self.check(table))
        self.pending.clear()
        timing = {"seconds": round(self.clock.seconds, 3), "speed": round(self.clock.speed(self.state.seen), 1)}
        names = dict.fromkeys(name for row in table for name in row)  # some may be missing from some rounds
        means = {name: float(np.mean([row[name] for row in table if name in row])) for name in names}
        row: dict[str, Any] = {"seen": self.state.seen, **timing, **means, "memory": memory(self.device)}
        if not self.world.leads:
            return None
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
        """Writes a checkpoint of this moment unless there is one; all processes come to it, and the first writes."""
        state, newest = self.state.state_dict(), self.folder.checkpoint_files()[-1:]
        if self.world.leads and (not newest or int(newest[0].stem) != self.state.seen):
            self.folder.save_checkpoint(state, self.state.seen, self.recipe.keep)

    def picture(self) -> None:
        """Writes a picture of what the EMA generators make of inputs that never change; all draw, the first writes."""
        picture = drawn(self.outputs, self.state.averages, self.state.nets)
        file = self.folder.samples / f"{self.state.seen:010d}.png"
        if self.world.leads:
            write_whole(file, lambda beside: picture.save(beside, "png"))

    def beginning(self, again: bool = False) -> Assembled:
        """What there is before the first round; where a checkpoint is loaded `again`, without the weights of another
        run that it started from."""
        assembled = assemble(self.recipe, self.dataset.meaning.space, self.device, self.world)
        if self.recipe.start != "none" and not again:
            start_from(self.recipe.start, assembled.state)
        return assembled

    def level_ends(self) -> bool:
        """Whether the next round begins with larger images than the last one."""
        growth, sides = self.assembled.growth, self.assembled.sides
        return growth is not None and growth.side(self.state.seen, sides) != growth.side(self.state.begun, sides)

    def picture_level(self) -> None:
        """Writes generated beside real images of the level that generators are at, where they grow."""
        found = [level_of(self.state.averages[output.net], output) for output in self.outputs]
        if levels := [level for level in found if level]:
            images = torch.cat([level.images for level in levels])
            file = self.folder.levels / f"{levels[0].side:04d}.png"
            write_whole(file, lambda beside: grid(images, 2 * BESIDE).save(beside, "png"))
