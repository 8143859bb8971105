"""The user's cache: what can be downloaded or made again."""

import os
from pathlib import Path

from platformdirs import user_cache_path


def folder() -> Path:
    """The package's folder where the system keeps caches: ~/.cache/equipoise or below $XDG_CACHE_HOME on Linux."""
    return user_cache_path("equipoise", appauthor=False)


def write(file: Path, content: bytes) -> None:
    """Writes a file of the cache atomically."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
