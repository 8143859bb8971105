"""The verb `sample`: images from a trained generator."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch

from ... import runs
from ...processes import joined
from ...runs import pictures
from ..command import Checkpoint, Command, Device, Raw, Run, chosen_device, flag

NAMED = 20  # classes


@dataclass(kw_only=True)
class Sample(Command):
    """Write images from a trained generator: a grid, an .npz of arrays, or a folder of single files.

    equipoise sample runs/x --count 64 --out grid.png
    equipoise sample runs/x --count 1000 --out samples/ --seed 7 --truncation 0.7
    equipoise sample runs/x --labels dress bag --rows --out two-rows.png
    equipoise sample runs/x --interpolate spherical --out between.png
    equipoise sample runs/ring --count 10000 --out points.npz
    equipoise sample runs/horses --input photos/ --out zebras/ --direction a_to_b

    Under `torchrun` the processes share the work.
    """

    run_folder: Annotated[Run, flag(metavar="RUN")]
    count: Annotated[
        int | None,
        flag(help="images, 64, or 2000 points; with --rows or --interpolate those of a row, 8"),
    ] = None
    out: Annotated[Path, flag(help="a picture, an .npz or .npy file or, without a suffix, a folder")] = Path(
        "samples.png"
    )
    seed: Annotated[int, flag(help="the same seed, the same images")] = 0
    truncation: Annotated[float | None, flag(help="draw latent values beyond this again: less varied, better")] = None
    labels: Annotated[
        tuple[str, ...],
        flag(
            help="in turn: classes by name or number; attributes as smile,glasses, none or 1,1; vectors as 0.5,2; "
            "default: all classes, or examples of the data"
        ),
    ] = ()
    rows: Annotated[bool, flag(help="a row per label (all classes or 8 examples), the same latents")] = False
    interpolate: Annotated[
        Literal["spherical", "linear"] | None,
        flag(
            help="each row goes from one latent point to the next; or, where two or more --labels are named, from one "
            "label to the next, linearly, at a latent point of its own; with --rows a row per label, all between the "
            "same two points"
        ),
    ] = None
    input: Annotated[
        Path | None,
        flag(help="runs that translate: an image, or a folder or zip of them, in any size; names are kept"),
    ] = None
    direction: Annotated[
        Literal["a_to_b", "b_to_a"] | None, flag(help="with --input; default: the first that was learnt")
    ] = None
    tile: Annotated[
        int | None, flag(help="with --input, where memory is short: translate in blended tiles of this side")
    ] = None
    level: Annotated[int | None, flag(help="generators that grow: the shorter side of a level, shown in full size")] = (
        None
    )
    raw: Raw = False
    checkpoint: Checkpoint = "latest"
    device: Device = "auto"

    def run(self) -> int:
        """Writes the images; refuses to overwrite."""
        self.check()
        pictures.check_new(self.out)
        with joined() as world:
            device = chosen_device(self.device)
            of_run = self.run_folder, self.raw, self.checkpoint, device, self.level, world
            sampler = world.together(lambda: runs.Sampler(*of_run))
            said = self.drawn(sampler) if self.input is None else self.translated(sampler, self.input)
        if world.leads:
            print(said)
        return 0

    def translated(self, sampler: runs.Sampler, images: Path) -> str:
        """Translates images of one's own; says what it wrote."""
        return runs.translate_files(sampler, images, self.out, self.direction, self.tile)

    def drawn(self, sampler: runs.Sampler) -> str:
        """Writes images of latent points; says where."""
        z, labels, columns = runs.sheet(
            sampler, self.count, self.labels, self.rows, self.interpolate, self.seed, self.truncation
        )
        images = list(sampler.draw(z, labels, self.seed))
        if not sampler.world.leads:
            return ""
        names = sampler.meaning.names if sampler.meaning.kind == "classes" else ()
        said = pictures.write(torch.cat(images), labels, self.out, columns, names, sampler.range)
        if not names or labels is None or labels.ndim > 1:
            return said
        shown = [*dict.fromkeys(names[label] for label in labels[:: columns or 1].tolist())]
        rest = ", ..." if len(shown) > NAMED else ""
        return f"{said}; {'rows' if columns else 'classes in turn'}: {', '.join(shown[:NAMED])}{rest}"

    def check(self) -> None:
        """Raises ValueError for flags that have no use for each other."""
        of_latents = ("count", "truncation", "labels", "rows", "interpolate", "seed")
        useless = of_latents if self.input is not None else ("direction", "tile")
        if given := [name for name in useless if getattr(self, name)]:
            with_input = "images of one's own, --input, have" if self.input is not None else "without --input there is"
            raise ValueError(f"{with_input} no use for --{given[0]}")
