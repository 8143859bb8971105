"""Who is shown how far a pass over many things is; by default nobody."""

from collections.abc import Callable, Iterable
from typing import Any

Watch = Callable[[Iterable[Any], str, int], Iterable[Any]]
"""Passes parts through, batches of images or lists, and shows how far they are, by their name and their number."""


def unwatched(parts: Iterable[Any], name: str, count: int) -> Iterable[Any]:
    """Shows nothing."""
    return parts
