"""The verb `stats`: statistics of real images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from ... import runs
from ..command import Command, Device, chosen_device, flag
from ..passes import passes


@dataclass(kw_only=True)
class Stats(Command):
    """Write the statistics of real images, mu and sigma of their features, for `evaluate --against`.

    equipoise stats photos/ --out photos.npz
    equipoise stats cifar-10-python.tar.gz --out cifar10.npz --features inception
    """

    data: Annotated[Positional[str], flag(help="what train takes as data")]
    out: Annotated[Path, flag(help="the .npz file to write")]
    features: Annotated[str | None, flag(help="equipoise list features; default: what suits the images")] = None
    device: Device = "auto"

    def run(self) -> int:
        """Writes the file; refuses to overwrite."""
        with passes() as watch:
            print(runs.write_statistics(self.data, self.out, self.features, chosen_device(self.device), watch))
        return 0
