"""The verb `prepare`: images made ready once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from ... import runs
from ...report import numbers
from ..command import Command, flag
from ..passes import passes


@dataclass(kw_only=True)
class Prepare(Command):
    """Write images in the size of training into a .zip file, with their labels, so that every run begins at once.

    equipoise prepare photos/ --out photos-128.zip --size 128
    equipoise prepare hf://owner/name --out set.zip
    """

    data: Annotated[Positional[str], flag(help="what train takes as data")]
    out: Annotated[Path, flag(help="the .zip file to write")]
    size: Annotated[
        str | None, flag(help="height, or height x width, as 64 or 48x64; default: what train would choose")
    ] = None
    channels: Annotated[
        int | None, flag(help="1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; default: what train would choose")
    ] = None
    fit: Annotated[Literal["crop", "stretch"], flag(help="how images get their size: crop or stretch")] = "crop"
    strict: Annotated[bool, flag(help="refuse data with a broken image instead of leaving it out")] = False

    def run(self) -> int:
        """Writes the file; refuses to overwrite."""
        with passes() as watch:
            done = runs.prepare(
                self.data,
                self.out,
                size=self.size,
                channels=self.channels,
                fit=self.fit,
                strict=self.strict,
                watch=watch,
            )
        for problem in done.left_out:
            print(f"left out {problem}")
        shape, taken = " x ".join(map(str, done.format.shape)), numbers.size(done.path.stat().st_size)
        print(f"{done.images:,} images of {shape} in {done.path}, {taken}")
        print(f"pixels and labels have the hash {done.digest}")
        return 0
