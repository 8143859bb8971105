"""Several workers on one study: processes of this machine, tasks of a Ray cluster, a SLURM array."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

from .files import begin
from .files import threads as threads_of
from .grid import Study
from .plan import FAILURE, has_ended, jobs
from .work import Event, record_failure, work

DEATHS = 2  # of a run's process, until the run counts as failed
PROBLEM = 3  # the exit status of a worker where nothing can be trained
LOOK = 0.5  # seconds between two looks at `stop`


class Child:
    """A worker in a process of its own, and the run that it is at."""

    def __init__(self, out: Path, device: str, events: "Queue[tuple[Child, Event | None]]") -> None:
        command = [sys.executable, "-P", "-m", "equipoise.study", str(out), device]  # not what lies about here
        variables = os.environ | {"OMP_NUM_THREADS": str(threads_of(out))}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables
        )
        self.run, self.seen, self.events, self.last_words = "", 0, events, ""
        self.threads = [Thread(target=part, daemon=True) for part in (self._listen, self._keep)]
        for thread in self.threads:
            thread.start()

    def ask_to_stop(self) -> None:
        """Lets it save and end."""
        if self.process.poll() is None:
            self.process.terminate()

    def wait(self) -> None:
        """Until it has ended and all that it said is read."""
        for thread in self.threads:
            thread.join()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        try:
            with self.process.stdout as lines:
                for line in lines:
                    event = Event(*json.loads(line))
                    if not event.note:
                        self.run, self.seen = "" if event.ended else event.run, event.seen
                    self.events.put((self, event))
        finally:  # nobody waits for one that cannot be understood
            self.process.wait()
            self.events.put((self, None))

    def _keep(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self.last_words = line.strip() or self.last_words


def carry_out(
    study: Study,
    out: str | Path,
    workers: int = 1,
    stop: Callable[[], bool] = lambda: False,
    device: str = "cpu",
    threads: int | None = None,
) -> Iterator[Event]:
    """Does what is left of a study with so many processes of this machine; yields what they say.

    A worker that dies, of a lack of memory or of a fault, is followed by another one; a run whose worker has died twice
    has failed. The same study in the same folder is resumed; other workers may be at it too.

    Raises ValueError for a folder that holds another study, OSError where a worker cannot work at all.
    """
    out = Path(out)
    begin(study, out, threads or max(1, (os.cpu_count() or 1) // workers))
    events: Queue[tuple[Child, Event | None]] = Queue()
    deaths: dict[str, int] = {}
    noted: set[str] = set()
    left = any(not has_ended(out, job) for group in jobs(study, out) for job in group)
    children = [Child(out, device, events) for _ in range(workers if left else 0)]
    try:
        while children:
            if stop():
                for child in children:
                    child.ask_to_stop()
            try:
                child, event = events.get(timeout=LOOK)
            except Empty:
                continue
            if event is not None:
                if event.note not in noted:  # runs of the same data have the same to say
                    yield event
                noted |= {event.note} - {""}
                continue
            children.remove(child)
            if child.process.returncode == PROBLEM:
                raise OSError(_death(child))
            if (dead := _death(child)) and not stop():
                yield from mourn(out, child, dead, deaths)
                children.append(Child(out, device, events))
    finally:
        for child in children:
            child.ask_to_stop()
        for child in children:
            child.wait()


def mourn(out: Path, child: Child, reason: str, deaths: dict[str, int]) -> Iterator[Event]:
    """Counts the death of a run's worker, and records it as the run's failure when it was not the first.

    Raises OSError where one died again between two runs.
    """
    deaths[child.run] = deaths.get(child.run, 0) + 1
    if deaths[child.run] < DEATHS:
        return
    if not child.run:
        raise OSError(f"a worker ended: {reason}")
    if not (out / child.run / FAILURE).exists():
        record_failure(out / child.run, "died", reason, child.seen)
        yield Event(child.run, ended="failed")


def _death(child: Child) -> str:
    """Why a worker ended before its time, "" for one that did not."""
    code = child.process.returncode
    child.threads[1].join(timeout=5)
    if code < 0:
        return f"its process was ended by signal {-code}" + (" (too little memory?)" if code == -9 else "")
    return (child.last_words or f"its process ended with status {code}") if code else ""


def on_ray(study: Study, out: str | Path, workers: int, device: str = "cpu", threads: int = 1) -> None:
    """Carries a study out on a Ray cluster, the one that is there or one of this machine; needs the extra `ray`.

    All machines see the folder under the same path.
    """
    try:
        import ray
    except ImportError:
        raise ValueError("Ray is not installed: pip install 'equipoise[ray]'") from None
    folder = Path(out).resolve()
    begin(study, folder, threads)
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    gpus = int(device.startswith("cuda"))
    task = ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=3)(_on_a_machine)
    ray.get([task.remote(str(folder), device) for _ in range(workers)])


def _on_a_machine(out: str, device: str) -> None:
    for _ in work(out, device=device):
        pass


def slurm_script(out: str | Path, workers: int, threads: int, device: str = "cpu") -> str:
    """A script for `sbatch`: an array of workers on one study, each with these processors.

    >>> print(slurm_script("runs/s", 4, 2).splitlines()[1])
    #SBATCH --array=1-4
    """
    folder = shlex.quote(str(Path(out)))
    lines = [
        "#!/bin/sh",
        f"#SBATCH --array=1-{workers}",
        f"#SBATCH --cpus-per-task={threads}",
        f"#SBATCH --job-name={shlex.quote(Path(out).name)}",
        "#SBATCH --signal=B:TERM@60",
        *["#SBATCH --gpus-per-task=1"] * device.startswith("cuda"),
        "# the folder has to be seen by all machines; submitted again, the study is resumed",
        f"OMP_NUM_THREADS={threads} exec {shlex.quote(sys.executable)} -P -m equipoise.study {folder} {device}",
    ]
    return "\n".join(lines) + "\n"
