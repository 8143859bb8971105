"""What a run has taken so far, of which training is one part."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal


class Clock:
    """The seconds of training, over all parts of a run that was resumed, and of what is done beside it.

    >>> clock = Clock(seconds=10.0, seen=100)
    >>> with clock.training():
    ...     time.sleep(0.01)
    >>> clock.seconds > 10.01, round(clock.training_share, 1)
    (True, 1.0)
    """

    def __init__(self, seconds: float = 0.0, seen: int = 0) -> None:
        self.seconds, self._lap = seconds, (seconds, seen)
        self.start()

    def start(self) -> None:
        """From now on rounds are played, and their share is counted."""
        self._before, self._beside = self.seconds, 0.0

    def training(self) -> AbstractContextManager[None]:
        """Within, the network is trained."""
        return self._adding_to("seconds")

    def beside(self) -> AbstractContextManager[None]:
        """Within, something else is done that belongs to the length of a run, such as checkpoints and pictures."""
        return self._adding_to("_beside")

    @contextmanager
    def _adding_to(self, kind: Literal["seconds", "_beside"]) -> Iterator[None]:
        mark = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, kind, getattr(self, kind) + time.perf_counter() - mark)

    def speed(self, seen: int) -> float:
        """The images a second of training since the last time that it was asked, where so many have been seen now."""
        before, self._lap = self._lap, (self.seconds, seen)
        return (seen - before[1]) / (self.seconds - before[0])

    @property
    def training_share(self) -> float:
        """The share of training in the time since the start that belongs to the length; 0 before there is any."""
        trained = self.seconds - self._before
        return trained / (trained + self._beside) if trained else 0.0
