"""The user's cache: what can be downloaded or made again."""

from pathlib import Path

from platformdirs import user_cache_path


def folder() -> Path:
    """The package's folder where the system keeps caches: ~/.cache/equipoise or below $XDG_CACHE_HOME on Linux."""
    return user_cache_path("equipoise", appauthor=False)
