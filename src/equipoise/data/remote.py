"""Files behind an address, https://host/set.tar or s3://bucket/set.tar: read in parts where they lie, with fsspec."""

import importlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from tarfile import TarError
from typing import Any, TypeVar

from ..problems import one_line

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+")
NUMBERS = re.compile(r"\{(\d+)\.\.(\d+)\}")
BLOCK = 2**15  # bytes that are fetched together where a file is read from header to header
PAUSES = (0.5, 2.0, 8.0)  # seconds before another try
VERSION = ("etag", "md5", "generation", "lastmodified", "updated", "mtime", "created")
REFUSED = (401, 403, 404)  # answers of HTTP that another try does not change
LIBRARY = 'pip install "equipoise[remote]" for http and https, s3fs for s3, gcsfs for gs'
T = TypeVar("T")


@dataclass(frozen=True)
class RemoteFile:
    """A file behind an address, opened anew by every process that reads it."""

    address: str

    @property
    def suffix(self) -> str:
        """The end of its name, in lower case."""
        return PurePosixPath(self.address.partition("?")[0]).suffix.lower()

    def part(self, start: int, size: int) -> bytes:
        """`size` bytes from `start` on; raises ConnectionError where they do not come after several tries."""
        try:
            content: bytes = self._tried(lambda files, path: files.cat_file(path, start=start, end=start + size))
        except ValueError as error:
            raise ConnectionError(str(error)) from None
        if len(content) != size:
            raise ConnectionError(f"{self.address} gives {len(content)} of {size} bytes")
        return content

    def read(self, use: Callable[[Any], T]) -> T:
        """use(file) of the open file, of which a block is fetched when it is read; tried again where that fails."""

        def opened(files: Any, path: str) -> T:
            with files.open(path, "rb", block_size=BLOCK, cache_type="readahead") as file:
                file.read(1)  # of a large file a server that sends no parts is refused here, before it sends all
                file.seek(0)
                if len(files.cat_file(path, start=0, end=1)) > 1:
                    raise ValueError("its server does not send parts of files")
                return use(file)

        return self._tried(opened)

    def version(self) -> str:
        """What changes when the file does, as far as its host says: tag, time, sum; empty where it says nothing."""
        about: dict[str, Any] = self._tried(lambda files, path: files.info(path))
        plain = {re.sub("[-_]", "", key.lower()): value for key, value in about.items()}
        found = [f"{key}={plain[key]}" for key in VERSION if plain.get(key) is not None]
        return " ".join([*found, f"size={about.get('size')}"]) if found else ""

    def _tried(self, read: Callable[[Any, str], T]) -> T:
        try:
            files, path = importlib.import_module("fsspec.core").url_to_fs(self.address)
        except ImportError as error:
            raise ValueError(f"{self.address} needs a library: {LIBRARY} ({one_line(error)})") from None
        except ValueError as error:
            raise ValueError(f"{self.address} cannot be read: {one_line(error)}") from None
        pauses = iter(PAUSES)
        while True:
            try:
                return read(files, path)
            except (EOFError, TarError):  # what was read is no .tar
                raise
            except Exception as error:  # each kind of address has its own kinds of failure
                pause = next(pauses, None)
                if pause is None or isinstance(error, ValueError) or _is_final(error):
                    raise self._unreadable(error) from None
                time.sleep(pause)

    def _unreadable(self, error: Exception) -> Exception:
        """What is wrong, in words: of the file a ValueError, of its host a ConnectionError."""
        cause = _cause(error)
        if isinstance(error, ValueError):
            return ValueError(f"{self.address} cannot be read: {one_line(error)}")
        if isinstance(cause, FileNotFoundError) or getattr(cause, "status", None) == 404:
            return ValueError(f"there is no {self.address}")
        return ConnectionError(f"{self.address} cannot be reached: {one_line(cause)}")


def _cause(error: Exception) -> Exception:
    return error.__cause__ if isinstance(error.__cause__, Exception) else error


def _is_final(error: Exception) -> bool:
    """Whether a host has answered that it does not give the file; fsspec raises the same where it does not answer."""
    cause = _cause(error)
    return isinstance(cause, FileNotFoundError | PermissionError) or getattr(cause, "status", None) in REFUSED


def is_address(data: str) -> bool:
    """Whether data lie behind an address.

    >>> is_address("https://host/set.tar"), is_address("photos/set.tar")
    (True, False)
    """
    return bool(ADDRESS.fullmatch(data))


def addresses(pattern: str) -> list[str]:
    """All addresses of a numbered pattern, as WebDataset writes them.

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
