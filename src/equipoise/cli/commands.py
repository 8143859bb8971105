"""The verbs: each is what its flags fill in, and `run` returns the exit status."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from tyro.conf import Positional

from .. import report, runs
from ..recipe import Recipe
from ..runs import pictures
from . import display
from .stopping import Stop

COMPONENTS = (
    *("game", "network", "loss", "d_norm", "g_norm", "d_activation", "g_activation"),
    *("constraint", "augment", "optimizer", "features"),
)
TERMS = ("penalties", "g_penalties", "metrics")
OWN_FILE = re.compile(r"^(.*\.py):")

Run = Annotated[Positional[Path], tyro.conf.arg(help="folder of a run")]
Device = Annotated[str, tyro.conf.arg(help="auto, cpu, cuda or cuda:1")]
Checkpoint = Annotated[str, tyro.conf.arg(help="latest, best (by score), or a file")]
Raw = Annotated[bool, tyro.conf.arg(help="the generator that is trained instead of the EMA generator")]


class Command(ABC):
    """One verb with its flags filled in."""

    @abstractmethod
    def run(self) -> int:
        """Does it; the exit status."""


@dataclass(kw_only=True)
class Train(Command):
    """Train a GAN on images; the same command again resumes it.

    equipoise train photos/ --out runs/photos --size 64 --mirror
    equipoise train cifar-10-python.tar.gz --out runs/cifar --preset sngan
    equipoise train --out runs/mine --penalties "r1(weight=5)" --loss "mine.py:my_loss(beta=4)" --dry-run
    """

    out: Annotated[Path | None, tyro.conf.arg(help="run folder to make or to resume (required)")] = None
    preset: Annotated[str, tyro.conf.arg(help="where the defaults come from: equipoise list presets")] = "default"
    dry_run: Annotated[bool, tyro.conf.arg(help="print the complete recipe and stop", aliases=["-n"])] = False
    device: Device = "auto"
    recipe: Recipe = field(default_factory=Recipe)

    def run(self) -> int:
        """Trains until the recipe's length is reached or a signal asks to stop."""
        if self.out is None:
            raise ValueError("train needs a folder for the run: --out runs/NAME")
        run = runs.Session(located(self.recipe), self.out, chosen_device(self.device))
        if self.dry_run:
            display.plan(run)
            return 0
        if not run.folder.recipe_file.exists():
            display.chosen(run)
        try:
            with Stop() as stop, display.progress(run.recipe) as show:
                for progress in run.train(stop):
                    show(progress)
        finally:  # a run that broke has a page too
            page = report.write(self.out) if run.folder.recipe_file.exists() else self.out
        return stop.farewell() or display.finished(self.out, page)


@dataclass(kw_only=True)
class Sample(Command):
    """Write images from a trained generator: a grid, an .npz of arrays, or a folder of single files.

    equipoise sample runs/x --count 64 --out grid.png
    equipoise sample runs/x --count 1000 --out samples/ --seed 7 --truncation 0.7
    equipoise sample runs/x --labels dress bag --rows --out two-rows.png
    equipoise sample runs/x --interpolate spherical --out between.png
    """

    run_folder: Annotated[Run, tyro.conf.arg(metavar="RUN")]
    count: Annotated[
        int | None, tyro.conf.arg(help="images, 64; with --rows or --interpolate the images of a row, 8")
    ] = None
    out: Annotated[Path, tyro.conf.arg(help="a picture, an .npz file or, without a suffix, a folder")] = Path(
        "samples.png"
    )
    seed: Annotated[int, tyro.conf.arg(help="the same seed, the same images")] = 0
    truncation: Annotated[
        float | None, tyro.conf.arg(help="draw latent values beyond this again: less varied, better")
    ] = None
    labels: Annotated[
        tuple[str, ...],
        tyro.conf.arg(
            help="in turn: classes by name or number; attributes as smile,glasses, none or 1,1; vectors as 0.5,2; "
            "default: all classes, or examples of the data"
        ),
    ] = ()
    rows: Annotated[bool, tyro.conf.arg(help="a row per label (all classes or 8 examples), the same latents")] = False
    interpolate: Annotated[
        Literal["spherical", "linear"] | None,
        tyro.conf.arg(
            help="each row goes from one latent point to the next; or, where two or more --labels are named, from one "
            "label to the next, linearly, at a latent point of its own; with --rows a row per label, all between the "
            "same two points"
        ),
    ] = None
    raw: Raw = False
    checkpoint: Checkpoint = "latest"
    device: Device = "auto"

    def run(self) -> int:
        """Writes the images; refuses to overwrite."""
        if self.out.exists():
            raise ValueError(f"{self.out} exists and was not touched; choose another --out")
        sampler = runs.Sampler(self.run_folder, self.raw, self.checkpoint, chosen_device(self.device))
        z, labels, columns = runs.sheet(
            sampler, self.count, self.labels, self.rows, self.interpolate, self.seed, self.truncation
        )
        images = torch.cat(list(sampler.draw(z, labels, self.seed)))
        names = sampler.meaning.names if sampler.meaning.kind == "classes" else ()
        print(pictures.write(images, labels, self.out, columns, names))
        return 0


@dataclass(kw_only=True)
class Evaluate(Command):
    """Score a run's generator (Frechet and kernel distance) and add the values with their card to metrics.jsonl.

    equipoise evaluate runs/x
    equipoise evaluate runs/x --features inception --count 50000 --checkpoint best
    equipoise evaluate runs/x --per-class
    """

    run_folder: Annotated[Run, tyro.conf.arg(metavar="RUN")]
    count: Annotated[
        int | None,
        tyro.conf.arg(
            help="generated images, with --per-class those of each class; default: as many as real ones, up to 10000, "
            "of each class up to 5000"
        ),
    ] = None
    per_class: Annotated[bool, tyro.conf.arg(help="the Frechet distance of each class besides, and their mean")] = False
    features: Annotated[str | None, tyro.conf.arg(help="equipoise list features; default: the run's")] = None
    raw: Raw = False
    checkpoint: Checkpoint = "latest"
    seed: Annotated[int, tyro.conf.arg(help="seed of the generated images")] = 0
    device: Device = "auto"

    def run(self) -> int:
        """Prints the values with their card."""
        device = chosen_device(self.device)
        row = runs.evaluate(
            self.run_folder, self.count, self.features, self.raw, self.checkpoint, self.seed, device, self.per_class
        )
        display.card(row)
        return 0


@dataclass(kw_only=True)
class Report(Command):
    """Write report.html into a run folder: samples over time, curves, scores and every choice on one page.

    equipoise report runs/x
    """

    run_folder: Annotated[Run, tyro.conf.arg(metavar="RUN")]

    def run(self) -> int:
        """Prints where the page is."""
        print(report.write(self.run_folder))
        return 0


@dataclass(kw_only=True)
class List(Command):
    """List the components that a recipe can name, with their hyper-parameters.

    equipoise list
    equipoise list losses
    """

    kind: Annotated[Positional[str | None], tyro.conf.arg(help="losses, penalties, norms, networks, presets...")] = None

    def run(self) -> int:
        """Prints one kind or all."""
        display.components(self.kind)
        return 0


def chosen_device(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.partition(":")[0] not in ("cpu", "cuda") or (name != "cpu" and not torch.cuda.is_available()):
        raise ValueError(f"no device {name!r} here; possible: auto, cpu" + ", cuda" * torch.cuda.is_available())
    return torch.device(name)


def located(recipe: Recipe) -> Recipe:
    """The recipe with all paths absolute, of data and of the user's own files: a run finds them from everywhere."""
    absolute = lambda path: str(Path(path).expanduser().resolve())
    own = lambda spec: OWN_FILE.sub(lambda match: absolute(match[1]) + ":", spec)
    changes: dict[str, Any] = {name: own(getattr(recipe, name)) for name in COMPONENTS if getattr(recipe, name)}
    changes |= {name: tuple(map(own, getattr(recipe, name) or ())) for name in TERMS if getattr(recipe, name)}
    changes["data"] = recipe.data if recipe.data == "builtin" else absolute(recipe.data)
    return replace(recipe, **changes)
