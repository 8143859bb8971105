"""`python -m equipoise.study OUT`: one worker on the study in a folder; a line of JSON for each event."""

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .work import Event, work
from .workers import PROBLEM

EVERY = 0.5  # seconds between two lines of progress


class Notes(logging.Handler):
    """Warnings, such as of broken images, as events."""

    def __init__(self, say: Callable[[Event], None]) -> None:
        super().__init__()
        self.say = say

    def emit(self, record: logging.LogRecord) -> None:
        """A line for whoever started the worker."""
        self.say(Event("", note=record.getMessage()))


def main(out: Path, device: str) -> None:
    """Works until nothing is left, SIGTERM asks to stop, or nobody reads its lines any more."""
    asked: list[int] = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it passes one on
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a part of the user's own prints is no event

    def say(event: Event) -> None:
        try:
            print(json.dumps(event), file=lines, flush=True)
        except BrokenPipeError:
            asked.append(signal.SIGPIPE)

    logging.getLogger("equipoise").addHandler(Notes(say))
    said = 0.0
    for event in work(out, lambda: bool(asked), device):
        if event.seen and not event.ended and time.monotonic() < said + EVERY:
            continue
        said = time.monotonic()
        say(event)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "cpu")
    except (OSError, ValueError) as problem:  # of the folder, the data or the disk, and no result of any run
        print(problem, file=sys.stderr)
        sys.exit(PROBLEM)
