"""Ctrl-C, SIGTERM, a closed terminal: the first asks to save and stop, the second ends all at once."""

import shlex
import signal
import sys
from collections.abc import Callable
from types import FrameType, TracebackType

from ..processes import processes

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stopped(BaseException):
    """What was going on is left for later, since a signal has asked to stop and nothing would be lost."""


class Stop:
    """Within the context, becomes true when a signal has asked to stop.

    Where it is `interruptible()` at that moment, since nothing would be lost, the signal raises Stopped.
    """

    def __init__(self, quiet: bool = False, interruptible: Callable[[], bool] = lambda: False) -> None:
        self.signal: int | None = None
        self.quiet, self.interruptible = quiet, interruptible

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return self.signal is not None

    def __enter__(self) -> "Stop":
        self.before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        signal.signal(number, signal.SIG_DFL)
        if self.interruptible():
            raise Stopped
        if not self.quiet:
            print("\nstopping after this step...", file=sys.stderr)

    @property
    def status(self) -> int:
        """The exit status of a process that a signal has ended, or 0 when none came."""
        return 0 if self.signal is None else 128 + self.signal

    def farewell(self) -> int:
        """Says how to resume; the exit status."""
        again = shlex.join(["equipoise", *sys.argv[1:]]) if processes() == 1 else "the same command"
        print(f"saved; to resume: {again}", file=sys.stderr)
        return self.status
