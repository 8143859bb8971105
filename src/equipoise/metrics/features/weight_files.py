"""Published files of weights: found, or downloaded once, and refused unless they are what was published."""

import hashlib
import os
import shutil
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ... import cache


@dataclass(frozen=True)
class WeightFile:
    """A file under the names by which it is known, each with its SHA-256 or, where only these are published, its start.

    `url` is the folder from which the first of the names can be downloaded; the environment's `variable` may hold the
    path of any of them. `instead` says what needs no file.
    """

    digests: Mapping[str, str]
    url: str
    variable: str
    instead: str = ""

    @property
    def name(self) -> str:
        """The name of the file that can be downloaded."""
        return next(iter(self.digests))

    @property
    def source(self) -> str:
        """The address of the file that can be downloaded."""
        return f"{self.url}/{self.name}"

    def find(self, weights: str | None = None) -> Path:
        """The path given, else that of the variable, else the user's cache, filled on first use; then checked."""
        given = weights or os.environ.get(self.variable)
        path = Path(given).expanduser() if given else self.kept()
        if not given and not path.exists():
            self.download(path)
        if not path.is_file():
            raise ValueError(f"no such file: {path}; it should be {self._names} from {self.source}")
        self.check(path, path)
        return path

    def kept(self) -> Path:
        """The file in the user's cache, under any of its names; else where the download will be kept."""
        places = [cache.folder() / name for name in self.digests]
        return next((place for place in places if place.exists()), places[0])

    def download(self, path: Path) -> None:
        """Fetches the published file, written beside `path` and renamed once it is complete."""
        part = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with urllib.request.urlopen(self.source, timeout=60) as response, part.open("wb") as file:
                shutil.copyfileobj(response, file)
            self.check(part, self.source)
            part.rename(path)
        except OSError as error:
            raise ValueError(
                f"cannot download {self.name} (no network?): {error}; fetch {self.source} elsewhere and put it at "
                f"{path}, or set {self.variable} to the path of {self._names}{self.instead}"
            ) from None
        finally:
            part.unlink(missing_ok=True)

    def check(self, path: Path, source: Path | str) -> None:
        """Raises ValueError unless the file's SHA-256 is a published one."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if not digest.startswith(tuple(self.digests.values())):
            known = " or ".join(f"{known[:8]}..." for known in self.digests.values())
            raise ValueError(
                f"{source} is not {self._names}: its SHA-256 is {digest[:8]}..., not {known} (incomplete? delete it "
                f"and get it again from {self.source})"
            )

    @property
    def _names(self) -> str:
        return " or ".join(self.digests)
