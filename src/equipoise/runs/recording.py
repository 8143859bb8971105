"""What `train --profile` writes: where the time went, and a trace of a few rounds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ..profiling import Profile, Share
from ..writing import write_whole

SUMMARY, TRACE = "profile.txt", "trace.json"
SKIPPED, TRACED = 5, 2  # rounds before the trace, and rounds of it


class Recording:
    """A profile of a run, and a trace of some of its rounds; `step` follows every round."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.folder, self.profile = folder, Profile(device)
        plan = torch.profiler.schedule(wait=SKIPPED, warmup=1, active=TRACED, repeat=1)
        self.tracer = torch.profiler.profile(schedule=plan, on_trace_ready=self.write_trace)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within, time is taken; afterwards the summary is written."""
        try:
            with self.tracer, self.profile.taken():
                yield
        finally:
            text = summary(self.profile.shares())
            write_whole(self.folder / SUMMARY, lambda beside: beside.write_text(text + "\n"))

    def step(self) -> None:
        """One round is over."""
        self.tracer.step()

    def write_trace(self, tracer: torch.profiler.profile) -> None:
        """For chrome://tracing or ui.perfetto.dev."""
        write_whole(self.folder / TRACE, lambda beside: tracer.export_chrome_trace(str(beside)))


def summary(shares: list[Share]) -> str:
    """A line for each kind of work, what took most first.

    >>> print(summary([Share("d: backward", 3.0, 0.75, 10), Share("data", 1.0, 0.25, 10)]))
    d: backward         75.0 %      3.00 s    10 times   300.00 ms each
    data                25.0 %      1.00 s    10 times   100.00 ms each
    """
    return "\n".join(map(_line, shares))


def _line(share: Share) -> str:
    each = f"{share.calls:6} times{1000 * share.seconds / share.calls:9.2f} ms each" if share.calls else ""
    return f"{share.name:18}{100 * share.part:6.1f} %{share.seconds:10.2f} s{each}"
