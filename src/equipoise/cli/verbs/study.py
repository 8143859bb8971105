"""The verb `study`: methods side by side."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from ... import report, study
from ...checks import check_range
from ...study import workers
from ...study.files import STUDY
from .. import study_display as display
from ..command import Command, Device, chosen_device, flag
from ..stopping import Stop

Workers = Annotated[int | None, flag(help="runs at the same time; default: one a core, one on a GPU")]


@dataclass(kw_only=True)
class Study(Command):
    """Train every row of a study in every column with several seeds; the same command again resumes it.

    equipoise study compare.toml --out runs/compare
    equipoise study sngan-robustness --scale small --out runs/robustness --workers 2
    equipoise study compare.toml --out runs/compare --dry-run
    equipoise study compare.toml --out /shared/compare --workers 16 --on slurm > compare.sh

    A study is a page of TOML: fields of a recipe in [base], [rows.NAME] and [columns.NAME], seeds = [0, 1, 2].
    """

    file: Annotated[
        Positional[str | None],
        flag(metavar="[FILE]", help="a TOML file, or a study that comes along; default: what --out holds"),
    ] = None
    out: Annotated[
        Path | None,
        flag(help="folder of the study, to make or to resume", help_behavior_hint="(required)"),
    ] = None
    scale: Annotated[str | None, flag(help="one of the scales of the file, such as small")] = None
    workers: Workers = None
    threads: Annotated[int | None, flag(help="threads of a run; default: the cores shared out")] = None
    on: Annotated[
        Literal["here", "ray", "slurm"],
        flag(help="processes of this machine, tasks of a Ray cluster, or a script for sbatch, printed"),
    ] = "here"
    dry_run: Annotated[
        bool, flag(help="print the grid with the time and the disk that it takes, and stop", aliases=["-n"])
    ] = False
    device: Device = "auto"

    def run(self) -> int:
        """Works until all runs have ended or a signal asks to stop; writes the page."""
        check_range(at_least=1, threads=1 if self.threads is None else self.threads)
        out, planned = self.planned()
        device = str(chosen_device(self.device))
        count = workers_on(device, self.workers)
        threads = threads_each(out, count, self.threads)
        if self.dry_run:
            return display.grid(planned, count, threads, device)
        if self.on == "slurm":
            study.begin(planned, out, threads)
            print(workers.slurm_script(out, count, threads, device), end="")
            return 0
        if self.on == "ray":
            workers.on_ray(planned, out, count, device, threads)
            return display.finished(report.write(out))
        with Stop() as stop, display.progress(planned, out) as show:
            for event in study.carry_out(planned, out, count, stop, device, threads):
                show(event)
        page = report.write(out)
        return stop.farewell() if stop() else display.finished(page)

    def planned(self) -> tuple[Path, study.Study]:
        """The folder and what is to be done in it."""
        if self.out is None:
            raise ValueError("study needs a folder: --out runs/NAME")
        planned = study.begun(self.out) if self.file is None else study.read(self.file, self.scale)
        study.check_folder(planned, self.out)
        study.check_data(planned)
        return self.out, planned


def workers_on(device: str, asked: int | None) -> int:
    """How many runs at the same time: small networks train faster side by side than with several threads."""
    check_range(at_least=1, workers=1 if asked is None else asked)
    return asked or (1 if device.startswith("cuda") else os.cpu_count() or 1)


def threads_each(out: Path, workers: int, asked: int | None = None) -> int:
    """The threads of a run: those that the study began with, else OMP_NUM_THREADS or the cores shared out.

    Raises ValueError where a study that is there has another number than is asked for.
    """
    if (out / STUDY).exists():
        held = study.threads(out)
        if asked not in (None, held):
            raise ValueError(f"{out} was begun with {held} threads a run, which all of its runs have, not with {asked}")
        return held
    stated = os.environ.get("OMP_NUM_THREADS", "")
    return asked or (int(stated) if stated.isdigit() and int(stated) else max(1, (os.cpu_count() or 1) // workers))
