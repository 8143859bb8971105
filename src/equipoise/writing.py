"""Files that are replaced whole, and what a file that cannot be written is told as."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class NotWritten(OSError):
    """A file could not be written; what was there before is untouched."""


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` fill a file beside `path`, then renames it: `path` is whole or as it was."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write(beside)
            with beside.open("rb+") as written:
                os.fsync(written.fileno())
            beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Says which file could not be written and the system's reason, which torch hides behind an error of its own."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason: BaseException | None = error
        while reason is not None and not isinstance(reason, OSError):
            reason = reason.__context__
        if reason is None:
            raise
        raise NotWritten(f"cannot write {path}: {reason.strerror or reason}") from error
