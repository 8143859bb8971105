"""Where the time of a run goes: named spans, which cost nothing unless a profile is taken."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

import torch


class Share(NamedTuple):
    """What one kind of work took."""

    name: str
    seconds: float
    part: float
    """Of the whole time, from 0 to 1."""
    calls: int


class Profile:
    """The seconds of each span without those of spans within it. On a GPU every span waits for its work to be done.

    >>> profile = Profile()
    >>> with profile.taken(), span("outer"):
    ...     with span("inner"):
    ...         time.sleep(0.02)
    >>> profile.shares()[0].name
    'inner'
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self.open: list[str] = ["other"]
        self.mark = 0.0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Within, spans are timed."""
        _profiles.append(self)
        self.mark = self.now()
        try:
            yield
        finally:
            self.charge()
            _profiles.pop()

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Work of one kind."""
        self.charge()
        self.open.append(name)
        self.calls[name] += 1
        try:
            yield
        finally:
            self.charge()
            self.open.pop()

    def charge(self) -> None:
        """Adds the time since the last look to the innermost span."""
        now = self.now()
        self.seconds[self.open[-1]] += now - self.mark
        self.mark = now

    def now(self) -> float:
        """The time, when the device has done its work."""
        if self.device is not None and self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def shares(self) -> list[Share]:
        """What took most first; the time outside of all spans is "other"."""
        whole = sum(self.seconds.values()) or 1.0
        found = [Share(name, taken, taken / whole, self.calls.get(name, 0)) for name, taken in self.seconds.items()]
        return sorted(found, key=lambda share: -share.seconds)


_profiles: list[Profile] = []  # the active ones, innermost last; backward on a GPU has a thread of its own


def span(name: str) -> AbstractContextManager[None]:
    """Work of one kind, timed where a profile is taken."""
    return _profiles[-1].span(name) if _profiles else nullcontext()
