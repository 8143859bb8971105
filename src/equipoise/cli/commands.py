"""The verbs: each is what its flags fill in, and `run` returns the exit status."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from tyro.conf import Positional

from .. import report, runs
from ..runs import pictures
from ..runs.references import Watch
from ..spec import listed
from . import display

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
class Sample(Command):
    """Write images from a trained generator: a grid, an .npz of arrays, or a folder of single files.

    equipoise sample runs/x --count 64 --out grid.png
    equipoise sample runs/x --count 1000 --out samples/ --seed 7 --truncation 0.7
    equipoise sample runs/x --labels dress bag --rows --out two-rows.png
    equipoise sample runs/x --interpolate spherical --out between.png
    equipoise sample runs/ring --count 10000 --out points.npz
    equipoise sample runs/horses --input photos/ --out zebras/ --direction a_to_b
    """

    run_folder: Annotated[Run, tyro.conf.arg(metavar="RUN")]
    count: Annotated[
        int | None,
        tyro.conf.arg(help="images, 64, or 2000 points; with --rows or --interpolate those of a row, 8"),
    ] = None
    out: Annotated[Path, tyro.conf.arg(help="a picture, an .npz or .npy file or, without a suffix, a folder")] = Path(
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
    input: Annotated[
        Path | None,
        tyro.conf.arg(help="runs that translate: an image, or a folder or zip of them, in any size; names are kept"),
    ] = None
    direction: Annotated[
        Literal["a_to_b", "b_to_a"] | None, tyro.conf.arg(help="with --input; default: the first that was learnt")
    ] = None
    tile: Annotated[
        int | None, tyro.conf.arg(help="with --input, where memory is short: translate in blended tiles of this side")
    ] = None
    raw: Raw = False
    checkpoint: Checkpoint = "latest"
    device: Device = "auto"

    def run(self) -> int:
        """Writes the images; refuses to overwrite."""
        self.check()
        if self.out.exists():
            raise ValueError(f"{self.out} exists and was not touched; choose another --out")
        sampler = runs.Sampler(self.run_folder, self.raw, self.checkpoint, chosen_device(self.device))
        if self.input is not None:
            print(runs.translate_files(sampler, self.input, self.out, self.direction, self.tile))
            return 0
        z, labels, columns = runs.sheet(
            sampler, self.count, self.labels, self.rows, self.interpolate, self.seed, self.truncation
        )
        images = torch.cat(list(sampler.draw(z, labels, self.seed)))
        names = sampler.meaning.names if sampler.meaning.kind == "classes" else ()
        print(pictures.write(images, labels, self.out, columns, names, sampler.range))
        return 0

    def check(self) -> None:
        """Raises ValueError for flags that have no use for each other."""
        of_latents = ("count", "truncation", "labels", "rows", "interpolate", "seed")
        useless = of_latents if self.input is not None else ("direction", "tile")
        if given := [name for name in useless if getattr(self, name)]:
            with_input = "images of one's own, --input, have" if self.input is not None else "without --input there is"
            raise ValueError(f"{with_input} no use for --{given[0]}")


@dataclass(kw_only=True)
class Evaluate(Command):
    """Score a run's generator, or any set of images: values with 95 per cent intervals and with their card.

    equipoise evaluate runs/x
    equipoise evaluate runs/x --metrics "fid,kid(subsets=50),precision_recall" --count 50000 --checkpoint best
    equipoise evaluate samples/ --against photos/ --features inception --json
    equipoise evaluate images.npz --against reference.npz --metrics fid

    The values of a run are added to its metrics.jsonl. What they are compared with is a set of images or a file of
    statistics: of `equipoise stats`, pytorch-fid, TTUR or StyleGAN.
    """

    images: Annotated[
        Positional[Path], tyro.conf.arg(metavar="RUN|IMAGES", help="folder of a run, or what train takes as data")
    ]
    against: Annotated[
        Path | None, tyro.conf.arg(help="real images or their statistics; default: what the run was trained on")
    ] = None
    metrics: Annotated[
        tuple[str, ...], tyro.conf.arg(help="equipoise list metrics; default: those of the run, or fd,kid")
    ] = ()
    features: Annotated[
        str | None, tyro.conf.arg(help="equipoise list features; default: those of the run, or what suits the images")
    ] = None
    count: Annotated[
        int | None, tyro.conf.arg(help="images to generate; default: as many as real ones, up to 10000")
    ] = None
    labels: Annotated[bool, tyro.conf.arg(help="sets of images: use their labels, for metrics of classes")] = False
    json: Annotated[bool, tyro.conf.arg(help="print one line of JSON")] = False
    raw: Raw = False
    checkpoint: Checkpoint = "latest"
    seed: Annotated[int, tyro.conf.arg(help="seed of the generated images")] = 0
    device: Device = "auto"

    def run(self) -> int:
        """Prints the values with their card, of each generator."""
        is_run = (self.images / "recipe.json").exists()
        for generator in runs.RunFolder(self.images).generators() if is_run else ("",):
            with display.passes() as watch:
                row = self.of_run(watch, generator) if is_run else self.of_images(watch)
            print(dumps(row)) if self.json else display.scores(row)
        return 0

    def of_run(self, watch: Watch, generator: str) -> dict[str, Any]:
        """Scores a generator."""
        return runs.evaluate(
            self.images,
            self.against,
            listed(self.metrics),
            self.count,
            self.features,
            self.raw,
            self.checkpoint,
            self.seed,
            chosen_device(self.device),
            watch,
            generator,
        )

    def of_images(self, watch: Watch) -> dict[str, Any]:
        """Scores a set of images."""
        if self.against is None:
            raise ValueError(f"{self.images} is no run folder; images are scored --against others or their statistics")
        given = {"count": self.count, "raw": self.raw, "seed": self.seed, "checkpoint": self.checkpoint != "latest"}
        if useless := [name for name, value in given.items() if value]:
            raise ValueError(f"--{useless[0]} is for a run's generator, and {self.images} is a set of images")
        device = chosen_device(self.device)
        return runs.evaluate_images(
            self.images, self.against, listed(self.metrics), self.features, self.labels, device, watch
        )


@dataclass(kw_only=True)
class Stats(Command):
    """Write the statistics of real images, mu and sigma of their features, for `evaluate --against`.

    equipoise stats photos/ --out photos.npz
    equipoise stats cifar-10-python.tar.gz --out cifar10.npz --features inception
    """

    data: Annotated[Positional[str], tyro.conf.arg(help="what train takes as data")]
    out: Annotated[Path, tyro.conf.arg(help="the .npz file to write")]
    features: Annotated[str | None, tyro.conf.arg(help="equipoise list features; default: what suits the images")] = (
        None
    )
    device: Device = "auto"

    def run(self) -> int:
        """Writes the file; refuses to overwrite."""
        with display.passes() as watch:
            print(runs.write_statistics(self.data, self.out, self.features, chosen_device(self.device), watch))
        return 0


@dataclass(kw_only=True)
class Report(Command):
    """Write report.html into the folder of a run or of a study: samples, curves, scores and every choice on one page.

    equipoise report runs/x
    equipoise report runs/study     # results.csv and table.tex too
    """

    folder: Annotated[Positional[Path], tyro.conf.arg(metavar="RUN|STUDY", help="folder of a run or of a study")]

    def run(self) -> int:
        """Prints where the page is."""
        print(report.write(self.folder))
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
