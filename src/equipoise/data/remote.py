"""Files behind an address, https://host/set.tar or s3://bucket/set.tar: read in parts where they lie, with fsspec."""

import importlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import IOBase
from typing import Any, TypeVar, cast

from .convert import one_line

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
NUMBERS = re.compile(r"\{(\d+)\.\.(\d+)\}")
BLOCK = 2**20  # bytes that are fetched together where a file is read from its beginning to its end
PAUSES = (0.5, 2.0, 8.0)  # seconds before another try
VERSION = ("size", "ETag", "LastModified", "Last-Modified", "mtime", "created")
T = TypeVar("T")


@dataclass(frozen=True)
class RemoteFile:
    """A file behind an address, opened anew by every process that reads it."""

    address: str

    def part(self, start: int, size: int) -> bytes:
        """So many bytes from one on; raises ConnectionError where they do not come after several tries."""
        content = self._tried(lambda files, path: files.cat_file(path, start=start, end=start + size))
        return cast(bytes, content)

    def open(self) -> IOBase:
        """The whole file, of which a block is fetched when it is read."""
        return cast(IOBase, self._tried(_opened))

    def version(self) -> str:
        """What tells whether the file is another one, as far as its host says: its size, its tag, its time."""
        about = self._tried(lambda files, path: files.info(path))
        return " ".join(f"{key}={about[key]}" for key in VERSION if about.get(key) is not None)

    def _tried(self, read: Callable[[Any, str], T]) -> T:
        for pause in (*PAUSES, None):
            try:
                return read(*_library().url_to_fs(self.address))
            except (ValueError, ImportError) as error:  # an unknown kind of address, or one that needs a library
                raise ValueError(f"{self.address} cannot be read: {one_line(error)}") from None
            except Exception as error:  # each kind of address has its own kinds of failure
                if _missing(error):
                    raise ValueError(f"there is no {self.address}") from None
                if pause is None:
                    raise ConnectionError(f"{self.address} cannot be reached: {one_line(error)}") from None
                time.sleep(pause)
        raise AssertionError("every try returns or raises")


def _opened(files: Any, path: str) -> Any:
    file = files.open(path, "rb", block_size=BLOCK)
    file.read(1)  # of a large file a server that sends no parts is refused here, before it sends all
    file.seek(0)
    if len(files.cat_file(path, start=0, end=1)) > 1:
        raise ValueError("its server sends whole files alone, no parts of them")
    return file


def _missing(error: Exception) -> bool:
    """Whether a host says that there is no such file; one that does not answer raises the same, for another cause."""
    cause = error.__cause__ or error
    found_out = isinstance(cause, FileNotFoundError) or getattr(cause, "status", None) == 404
    return found_out and isinstance(error, FileNotFoundError)


def is_address(data: str) -> bool:
    """Whether data lie behind an address.

    >>> is_address("https://host/set.tar"), is_address("photos/set.tar")
    (True, False)
    """
    return bool(ADDRESS.fullmatch(data))


def addresses(pattern: str) -> list[str]:
    """Those that a pattern of numbers stands for, as WebDataset writes them.

    >>> addresses("s3://bucket/set-{08..10}.tar")
    ['s3://bucket/set-08.tar', 's3://bucket/set-09.tar', 's3://bucket/set-10.tar']
    """
    found = NUMBERS.search(pattern)
    if found is None:
        return [pattern]
    numbers = range(int(found[1]), int(found[2]) + 1)
    if not numbers:
        raise ValueError(f"{found[0]} in {pattern} counts backwards: {{{found[2]}..{found[1]}}}")
    each = (f"{pattern[: found.start()]}{number:0{len(found[1])}}{pattern[found.end() :]}" for number in numbers)
    return [address for part in each for address in addresses(part)]


def _library() -> Any:
    try:
        return importlib.import_module("fsspec.core")
    except ImportError:
        raise ValueError('data behind an address need fsspec: pip install "equipoise[remote]"') from None
