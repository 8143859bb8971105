"""The verb `tune`: better settings for one's own data, and how sure they are better."""

import shlex
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from ... import presets, report, study
from ...checks import check_range
from ...report.next_steps import as_flags
from ...report.numbers import value
from ...report.study_results import results
from ...runs.paths import located
from ...spec import listed
from ...study.comparison import SIGNIFICANT
from ...study.files import STUDY
from ...study.plan import best_setting
from ...study.tuning import KNOBS, MEASURED, TUNED, USUAL, Answer, answer, tuning
from .. import study_display as display
from ..command import Command, Device, chosen_device, flag
from ..stopping import Stop
from .study import Workers, threads_each, workers_on


@dataclass(kw_only=True)
class Tune(Command):
    """Search for better settings on images of one's own, within a time; the same command again resumes it.

    equipoise tune photos/ --out runs/tuning --fields "penalty weight, lr" --minutes 60
    equipoise tune photos/ --out runs/tuning --fields "lr_d=log(1e-5, 1e-2)" --preset sngan --size 64
    """

    data: Annotated[Positional[str], flag(metavar="[DATA]", help="what train takes as data")] = "builtin"
    out: Annotated[
        Path | None, flag(help="folder of the search, to make or to resume", help_behavior_hint="(required)")
    ] = None
    fields: Annotated[
        tuple[str, ...],
        flag(help=f"what to tune: {', '.join(KNOBS)}, or a field with a range, lr_d=log(1e-5, 1e-2)"),
    ] = ("penalty weight", "lr")
    minutes: Annotated[float, flag(help="how long the search may take on this machine")] = 60.0
    preset: Annotated[str, flag(help="what is tuned: equipoise list presets")] = "default"
    size: Annotated[str | None, flag(help="height and width of the images")] = None
    trials: Annotated[int, flag(help="settings to try")] = 9
    workers: Workers = None
    device: Device = "auto"

    def run(self) -> int:
        """Searches, writes the page, prints the answer."""
        check_range(above=0, minutes=self.minutes)
        if self.out is None:
            raise ValueError("tune needs a folder: --out runs/NAME")
        device = str(chosen_device(self.device))
        count = workers_on(device, self.workers)
        threads = threads_each(self.out, count)
        planned = self.planned(self.out, device, count, threads)
        study.check_folder(planned, self.out)
        with Stop() as stop, display.progress(planned, self.out) as show:
            for event in study.carry_out(planned, self.out, count, stop, device, threads):
                show(event)
        page = report.write(self.out)
        if stop():
            return stop.farewell()
        print(in_words(self.found(self.out)))
        return display.finished(page)

    def planned(self, out: Path, device: str, workers: int, threads: int) -> study.Study:
        """The study of the search: the one that the folder holds, or a new one."""
        recipe = located(replace(presets.named(self.preset), data=self.data, size=self.size))
        held = study.begun(out).base if (out / STUDY).exists() else None
        lengths = None if held is None else {name: held.get(name) for name in MEASURED}
        return tuning(recipe, listed(self.fields), self.minutes, out, device, workers, threads, self.trials, lengths)

    def found(self, out: Path) -> Answer | None:
        """What the search has found."""
        read = results(out)
        if not read.metrics:
            return None
        scores = {cell.row: [*read.scores(read.metrics[0])[cell]] for cell in read.study.cells}
        tuned = next(cell for cell in read.study.cells if cell.row == TUNED)
        setting = best_setting(read.study, out, tuned)
        return answer(read.metrics[0], scores, setting or {}, read.higher(read.metrics[0]))


def in_words(found: Answer | None) -> str:
    """The answer as text."""
    if found is None:
        return "no setting came to its end: see the page for what failed"
    flags = shlex.join(as_flags(found.setting))
    chance = ", which may be chance" if found.sure < 1 - SIGNIFICANT / 2 else ""
    sure = "one seed says nothing of that" if isnan(found.sure) else f"{found.sure:.0%} sure that it is better{chance}"
    lines = (
        f"{row}: {found.metric} {value(s.mean)} ({value(s.low)} to {value(s.high)}), {s.runs} seeds"
        for row, s in ((TUNED, found.tuned), (USUAL, found.usual))
    )
    return "\n".join([*lines, f"the best setting: {flags}", sure])
