"""The verb `train`: its flags are the groups of a recipe."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

from ... import presets, report, runs
from ...processes import joined
from ...recipe import AutoCount, Execution, Game, Networks, Optimisation, Reading, Recipe, Scores, Usual, known
from ...runs.recording import Recording, summary
from .. import display
from ..command import Command, Device, chosen_device, flag
from ..passes import passes
from ..stopping import Stop, Stopped

OPEN = [field.name for field in fields(Recipe) if field.default is None]
"""What of a recipe is chosen where nothing is said."""


@dataclass(kw_only=True)
class Machine:
    """What this command runs on; no part of the recipe."""

    device: Device = "auto"
    threads: AutoCount = None
    """Threads of a CPU: what OMP_NUM_THREADS says, or as many as train fastest."""
    profile: bool = False
    """Write where the time goes, profile.txt, and a trace of two rounds, trace.json."""


@dataclass(kw_only=True)
class Train(Command):
    """Train a GAN on images; the same command again resumes it.

    equipoise train photos/ --out runs/photos --size 64 --mirror
    equipoise train cifar-10-python.tar.gz --out runs/cifar --preset sngan
    equipoise train --out runs/mine --penalties "r1(weight=5)" --loss "mine.py:my_loss(beta=4)" --dry-run

    A CALL is a name of `equipoise list` or FILE.py:NAME of your own, with what differs from its usual arguments in
    brackets. What is chosen automatically may be given as auto: --preset sngan --batch auto. Put DATA before flags that
    take several values.
    """

    out: Annotated[Path | None, flag(help="run folder to make or to resume", help_behavior_hint="(required)")] = None
    preset: Annotated[
        str,
        flag(help="a published system, at its width and length, in place of the default: equipoise list presets"),
    ] = "default"
    dry_run: Annotated[
        bool, flag(help="print the complete recipe, and how long it takes, and stop", aliases=["-n"])
    ] = False
    usual: Usual = field(default_factory=Usual)
    data: Reading = field(default_factory=Reading)
    networks: Networks = field(default_factory=Networks)
    game: Game = field(default_factory=Game)
    optimisation: Optimisation = field(default_factory=Optimisation)
    machine: Machine = field(default_factory=Machine)
    execution: Execution = field(default_factory=Execution)
    scores: Scores = field(default_factory=Scores)

    @classmethod
    def like(cls, preset: str) -> "Train":
        """The flags that say what a preset does."""
        recipe = presets.named(preset)
        groups: dict[str, Any] = {part.name: part.type for part in fields(cls) if _of_recipe(part.type)}
        return cls(preset=preset, **{name: recipe.part(group) for name, group in groups.items()})

    @property
    def recipe(self) -> Recipe:
        """What the flags say."""
        groups = (part for part in vars(self).values() if _of_recipe(type(part)))
        said: dict[str, Any] = {name: value for group in groups for name, value in vars(group).items()}
        left_open = [name for name, value in said.items() if value in ("auto", ("auto",)) and name in OPEN]
        return Recipe(**said | dict.fromkeys(left_open))

    def run(self) -> int:
        """Trains until the recipe's length is reached or a signal asks to stop."""
        if self.out is None:
            raise ValueError("train needs a folder for the run: --out runs/NAME")
        self.check_data()
        with joined() as world:
            recipe, device = self.length(), chosen_device(self.machine.device)
            with passes(show=world.leads) as watch:
                run = runs.Session(recipe, self.out, device, world, watch, self.machine.threads)
                return self.lead(run) if world.leads else self.follow(run)

    def lead(self, run: runs.Session) -> int:
        """Trains, and says what happens."""
        if self.dry_run:
            display.plan(run)
            return 0
        if run.folder.recipe_file.exists():
            display.resumed(run)
        else:
            display.chosen(run)
        with Stop(interruptible=lambda: run.in_score and run.world.size == 1) as stop:
            try:
                with suppress(Stopped), display.progress() as show, self.recorded(run) as step:
                    for progress in run.train(stop):
                        show(progress)
                        step()
            finally:  # a run that broke has a page too
                page = report.write(run.folder.path) if run.folder.recipe_file.exists() else run.folder.path
        stopped = stop() or run.state.seen < known(run.recipe.images)  # here, or in another process
        return stop.farewell() if stopped else display.finished(run, page)

    @contextmanager
    def recorded(self, run: runs.Session) -> Iterator[Callable[[], None]]:
        """Takes a profile where one is asked for; what is to be called after each round."""
        if not self.machine.profile:
            yield lambda: None
            return
        recording = Recording(run.folder.path, run.device)
        with recording.running():
            yield recording.step
        print(f"\n{summary(recording.profile.shares())}")

    def follow(self, run: runs.Session) -> int:
        """Trains beside the process that leads."""
        with Stop(quiet=True) as stop:
            for _ in run.train(stop) if not self.dry_run else ():
                pass
        return stop.status

    def check_data(self) -> None:
        """Raises ValueError for data that stand behind a flag of several values, which took them for one."""
        recipe = self.recipe
        for name, values in vars(recipe).items() if recipe.data == Recipe.data else ():
            for value in values if isinstance(values, tuple) else ():
                if Path(str(value)).exists():
                    flag = f"--{name.replace('_', '-')}"
                    raise ValueError(f"{flag} takes several values, and {value} for one: put the data first")

    def length(self) -> Recipe:
        """The recipe with one length: in images, that of its preset too, or in minutes."""
        recipe = self.recipe
        if recipe.minutes is None:
            return recipe
        if recipe.images != presets.named(self.preset).images:
            raise ValueError("--images and --minutes are both the length of training; choose one")
        return replace(recipe, images=None)


def _of_recipe(group: object) -> bool:
    """Whether the flags of a group are what a recipe says."""
    return group in Recipe.__mro__
