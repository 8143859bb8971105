"""What a toy set is: a distribution to draw from, with all that is known of it."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float, Float64, Int64, Real
from numpy import ndarray

from ...metrics.mode_coverage import Points
from ...ranges import Range

POINTS, HELD_OUT = 100_000, 10_000
MOST_PAIRS = 1 << 20  # of points and nodes that are looked at together
Drawn = tuple[Real[ndarray, "n ..."], Int64[ndarray, " n"] | None]
OfPoints = Callable[[Float[ndarray, "n d"]], Float64[ndarray, " n"]]


@dataclass(frozen=True)
class Toy:
    """A distribution of points [n, d] or of images [n, c, h, w] that is known exactly.

    `draw(count, seed)` gives so many, and the class of each where there are some. `score` is how a generator of it is
    best scored. Points have a `log_density`, those about a curve also their `distance` from it, those of a mixture its
    `centers` and the `deviation` about each. Of points `range` is a scale, not a bound.
    """

    name: str
    draw: Callable[[int, int], Drawn]
    range: Range
    score: tuple[str, ...]
    classes: tuple[str, ...] = ()
    log_density: OfPoints | None = None
    distance: OfPoints | None = None
    centers: Points | None = None
    deviation: int | float | None = None
    count: int = POINTS
    held_out: int = HELD_OUT
