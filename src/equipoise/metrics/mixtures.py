"""Where the modes of the usual toy distributions are."""

from itertools import product
from math import cos, pi, sin

from ..checks import check_range

Points = list[tuple[float, ...]]


def ring(count: int = 8, radius: int | float = 2.0) -> Points:
    """r (cos 2 pi i / n, sin 2 pi i / n): so many points on a circle (Metz et al. 2017, arXiv:1611.02163)."""
    check_range(at_least=1, count=count)
    check_range(above=0, radius=radius)
    return [(radius * cos(angle), radius * sin(angle)) for angle in (2 * pi * i / count for i in range(count))]


def grid(side: int = 5, spacing: int | float = 2.0) -> Points:
    """Points of a square lattice about the origin (Srivastava et al. 2017, arXiv:1705.07761).

    >>> grid(side=2)
    [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)]
    """
    check_range(at_least=1, side=side)
    check_range(above=0, spacing=spacing)
    return list(product([spacing * (i - (side - 1) / 2) for i in range(side)], repeat=2))
