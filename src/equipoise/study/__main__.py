"""`python -m equipoise.study OUT`: one worker on the study in a folder; a line of JSON for each event."""

import json
import logging
import signal
import sys
import time
from pathlib import Path

import torch

from .files import threads
from .work import Event, work
from .workers import PROBLEM

EVERY = 0.5  # seconds between two lines of progress


class Notes(logging.Handler):
    """Warnings, such as of broken images, as events."""

    def emit(self, record: logging.LogRecord) -> None:
        """A line for whoever started the worker."""
        print(json.dumps(Event("", note=record.getMessage())), flush=True)


def main(out: Path, device: str) -> None:
    """Works until nothing is left, SIGTERM asks to stop, or nobody reads its lines any more."""
    asked: list[int] = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it passes one on
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    logging.getLogger("equipoise").addHandler(Notes())
    torch.set_num_threads(threads(out))
    said = 0.0
    for event in work(out, lambda: bool(asked), device):
        if event.seen and not event.ended and time.monotonic() < said + EVERY:
            continue
        said = time.monotonic()
        try:
            print(json.dumps(event), flush=True)
        except BrokenPipeError:
            asked.append(signal.SIGPIPE)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "cpu")
    except (OSError, ValueError) as problem:  # of the folder, the data or the disk, and no result of any run
        print(problem, file=sys.stderr)
        sys.exit(PROBLEM)
