"""Where a batch needs more memory than there is: what would fit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import gcd

import torch

from ..recipe import Recipe, known

ON_CPU = "can't allocate memory"  # what torch says where there is no exception of its own


@contextmanager
def explained(recipe: Recipe, also: Callable[[], str] = str) -> Iterator[None]:
    """Raises OutOfMemoryError with what would fit, and `also`, in place of what an allocator says."""
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, torch.OutOfMemoryError) or ON_CPU in str(error)):
            raise
        more, parts = more_pieces(recipe), f" in {recipe.pieces} pieces" if (recipe.pieces or 1) > 1 else ""
        what = f"out of memory with batches of {recipe.batch} images{parts}"
        pieces = f"--pieces {more} makes the same updates with less, and " if more else ""
        words = [f"{what}: {pieces}a smaller --batch or network needs less", also()]
        raise torch.OutOfMemoryError("; ".join(filter(None, words))) from error


def more_pieces(recipe: Recipe) -> int | None:
    """The next number of pieces that divides the batches of both players, if there is one."""
    batch = gcd(known(recipe.batch), recipe.g_batch or known(recipe.batch))
    return next((count for count in range((recipe.pieces or 1) + 1, batch + 1) if batch % count == 0), None)
