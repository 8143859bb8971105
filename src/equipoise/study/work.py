"""One worker on a study: it claims a run, trains it, records what came of it, and takes the next."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import FileLock, Timeout

from ..recipe import Recipe
from ..runs import Session
from ..runs.folder import Busy, Unusable
from ..runs.forecast import measure_pace
from ..runs.hardware import forget_peak, working
from ..runs.session import NotFinite
from ..writing import write_whole
from .costs import check_data
from .files import begun, threads
from .grid import scored_alike
from .plan import FAILURE, Job, failure, has_ended, jobs

CLAIMS, WAIT = ".claims", 1.0
FOREVER = 1_000_000  # images


class Event(NamedTuple):
    """What a worker does: a run's key, the images that it has seen, of how many; "done" or "failed" at its end.

    Or a `note` on the data, such as which images are broken.
    """

    run: str
    seen: int = 0
    images: int = 0
    ended: str = ""
    note: str = ""

    @property
    def share(self) -> float:
        """How much of the run is done."""
        return self.seen / self.images if self.images else 0.0


def work(
    out: str | Path, stop: Callable[[], bool] = lambda: False, device: torch.device | str = "cpu"
) -> Iterator[Event]:
    """Does what is left of the study in a folder, beside other workers, until nothing is left or `stop()`.

    Who works on a run holds a lock on it, which the system takes back when a process ends, however it ends.
    """
    out = Path(out)
    study = begun(out)
    check_data(study)
    for group in jobs(study, out):
        while left := [job for job in group if not has_ended(out, job)]:
            for job in left:
                yield from attempt(out, job, stop, device)
                if stop():
                    return
            if any(not has_ended(out, job) for job in left):  # others are at it
                time.sleep(WAIT)


def attempt(out: Path, job: Job, stop: Callable[[], bool], device: torch.device | str) -> Iterator[Event]:
    """Trains a run unless another worker has it or it has ended."""
    with claimed(out, job.key) as mine:
        if not mine or has_ended(out, job):
            return
        progress = Progress(0)
        yield Event(job.key)
        try:
            for progress in advance(out, job, stop, device):
                yield Event(job.key, progress.seen, progress.images)
        except Busy:  # somebody trains it by hand
            time.sleep(WAIT)
        except (OSError, Unusable):  # a full disk or changed images are no result
            raise
        except Exception as error:  # whatever a user's own part may raise
            record_failure(out / job.key, *reason(error, progress.seen), progress.seen)
        if has_ended(out, job):
            yield Event(job.key, *progress[:2], "failed" if failure(out / job.key) else "done")


def reason(error: Exception, seen: int) -> tuple[str, str]:
    """How a run failed, and why: refused before it began, or broken later."""
    if isinstance(error, NotFinite | torch.OutOfMemoryError) or seen:
        return "broke", str(error)
    return ("refused", str(error)) if isinstance(error, ValueError) else ("broke", f"{type(error).__name__}: {error}")


class Progress(NamedTuple):
    """The images seen of a run, and how many it is to see."""

    seen: int
    images: int = 0


def advance(out: Path, job: Job, stop: Callable[[], bool], device: torch.device | str) -> Iterator[Progress]:
    """Trains a run; how far it is after each round."""
    folder = out / job.key
    forget_peak(torch.device(device))
    session = Session(timed(out, job, torch.device(device)), folder, device, threads=threads(out))
    until = job.until or session.recipe.images or 0
    for progress in session.train(lambda: stop() or session.state.seen >= until):
        yield Progress(progress.seen, until)


def timed(out: Path, job: Job, device: torch.device) -> Recipe:
    """The recipe with a length in images: those that this machine manages in its minutes, measured once for a cell.

    With one thread on a CPU they are minutes of processor time, which other work hardly changes; else of the clock. All
    seeds of a cell have the same length.
    """
    recipe = job.recipe
    if recipe.minutes is None or recipe.images is not None:
        return recipe
    file = out / job.cell.slug / "images.json"
    with FileLock(out / CLAIMS / f"{job.cell.slug}.time"):
        if not file.exists():
            images = images_in(recipe, out / job.cell.slug / "timed", device, threads(out))
            write_whole(file, lambda beside: beside.write_text(json.dumps(images)))
    return scored_alike(replace(recipe, images=json.loads(file.read_text())))


def images_in(recipe: Recipe, unwritten: Path, device: torch.device, threads: int) -> int:
    """How many real images fit into the recipe's minutes, training alone."""
    long = Session(replace(recipe, images=FOREVER, score_every=FOREVER), unwritten, device, threads=threads)
    clock = time.process_time if device.type == "cpu" and threads == 1 else time.perf_counter
    with working(threads):
        pace = measure_pace(long.recipe, long.dataset.meaning.space, device, clock=clock)
    return max(1, round(60 * float(recipe.minutes or 0) / pace.image))


def record_failure(folder: Path, kind: str, reason: str, seen: int) -> None:
    """Writes down why a run failed: a result like others."""
    row: dict[str, Any] = {"kind": kind, "reason": reason, "seen": seen}
    write_whole(folder / FAILURE, lambda beside: beside.write_text(json.dumps(row) + "\n"))


@contextmanager
def claimed(out: Path, key: str) -> Iterator[bool]:
    """Whether the run is this process's to train, until it is done or killed."""
    lock = out / CLAIMS / f"{key.replace('/', '--')}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(lock, blocking=False).acquire()
    except Timeout:
        yield False
        return
    with held:
        yield True
