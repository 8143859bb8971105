"""Where a batch needs more memory than there is: what would fit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import gcd

import torch

from .. import growth
from ..recipe import Recipe, known
from ..spec import build

ON_CPU = "can't allocate memory"  # what torch says where there is no exception of its own


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that there is not enough memory, of a GPU or for a CPU."""
    return isinstance(error, torch.OutOfMemoryError) or ON_CPU in str(error)


@contextmanager
def explained(recipe: Recipe, also: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Raises OutOfMemoryError with what would fit, and `also`, in place of what an allocator says."""
    try:
        yield
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        more, parts = more_pieces(recipe), f" in {recipe.pieces} pieces" if (recipe.pieces or 1) > 1 else ""
        what = f"out of memory with batches of {recipe.batch} images{parts}"
        ways = [] if recipe.recompute else ["--recompute, which keeps less for the backward"]
        ways += [f"--pieces {more}, one part of a batch after the other"] if more else []
        words = [f"{what}: less is needed with {', or '.join([*ways, 'a smaller --batch or network'])}", also()]
        raise torch.OutOfMemoryError("; ".join(filter(None, words))) from error


def more_pieces(recipe: Recipe, least: int = 0) -> int | None:
    """The next number of pieces, of `least` and more, that divides the batches of both players and of all levels."""
    later = () if recipe.growth == "none" else build(recipe.growth, growth, images=known(recipe.images)).batch.values()
    batch = gcd(known(recipe.batch), recipe.g_batch or known(recipe.batch), *later)
    more = range(max(least, (recipe.pieces or 1) + 1), batch + 1)
    return next((count for count in more if batch % count == 0), None)
