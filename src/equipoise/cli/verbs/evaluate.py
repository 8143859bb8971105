"""The verb `evaluate`: scores of a generator, or of any set of images."""

from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional

from ... import runs
from ...processes import World, joined
from ...spec import listed
from ...watching import Watch
from .. import display
from ..command import Checkpoint, Command, Device, Raw, chosen_device, flag
from ..passes import passes


@dataclass(kw_only=True)
class Evaluate(Command):
    """Score a run's generator, or any set of images: values with their card, and 95 per cent intervals of most.

    equipoise evaluate runs/x
    equipoise evaluate runs/x --metrics "fid,kid(subsets=50),precision_recall" --count 50000 --checkpoint best
    equipoise evaluate samples/ --against photos/ --features inception --json
    equipoise evaluate images.npz --against reference.npz --metrics fid

    Under `torchrun` the processes share the work. The values of a run are added to its metrics.jsonl. What they are
    compared with is a set of images or a file of statistics: of `equipoise stats`, pytorch-fid, TTUR or StyleGAN.
    """

    images: Annotated[Positional[str], flag(metavar="RUN|IMAGES", help="folder of a run, or what train takes as data")]
    against: Annotated[
        str | None,
        flag(metavar="DATA", help="real images or their statistics; default: what the run was trained on"),
    ] = None
    metrics: Annotated[tuple[str, ...], flag(help="equipoise list metrics; default: those of the run, or fd,kid")] = ()
    features: Annotated[
        str | None, flag(help="equipoise list features; default: those of the run, or what suits the images")
    ] = None
    count: Annotated[int | None, flag(help="images to generate; default: as many as real ones, up to 10000")] = None
    labels: Annotated[bool, flag(help="sets of images: use their labels, for metrics of classes")] = False
    json: Annotated[bool, flag(help="print one line of JSON")] = False
    raw: Raw = False
    checkpoint: Checkpoint = "latest"
    seed: Annotated[int, flag(help="seed of the generated images")] = 0
    device: Device = "auto"

    def run(self) -> int:
        """Prints the values with their card, of each generator."""
        folder = Path(self.images)
        is_run = (folder / "recipe.json").exists()
        with joined() as world:
            for generator in runs.RunFolder(folder).generators() if is_run else ("",):
                with passes(show=world.leads) as watch:
                    row = self.of_run(watch, world, generator) if is_run else self.of_images(watch, world)
                if world.leads:
                    print(dumps(row)) if self.json else display.scores(row)
        return 0

    def of_run(self, watch: Watch, world: World, generator: str) -> dict[str, Any]:
        """Scores a generator."""
        if self.labels:
            raise ValueError(
                f"--labels is for a set of images; {self.images} is a run, whose labels are those of training"
            )
        return runs.evaluate(
            self.images,
            self.against,
            metrics=listed(self.metrics),
            count=self.count,
            features=self.features,
            raw=self.raw,
            checkpoint=self.checkpoint,
            seed=self.seed,
            device=chosen_device(self.device),
            watch=watch,
            generator=generator,
            world=world,
        )

    def of_images(self, watch: Watch, world: World) -> dict[str, Any]:
        """Scores a set of images."""
        if self.against is None:
            raise ValueError(f"{self.images} is no run folder; images are scored --against others or their statistics")
        given = {"count": self.count, "raw": self.raw, "seed": self.seed, "checkpoint": self.checkpoint != "latest"}
        if useless := [name for name, value in given.items() if value]:
            raise ValueError(f"--{useless[0]} is for a run's generator, and {self.images} is a set of images")
        return runs.evaluate_images(
            self.images,
            self.against,
            listed(self.metrics),
            self.features,
            labels=self.labels,
            device=chosen_device(self.device),
            watch=watch,
            world=world,
        )
