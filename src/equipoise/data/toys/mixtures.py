"""Mixtures of equally many points about each of some centers, with one deviation in all directions."""

from collections.abc import Callable
from functools import partial
from itertools import product
from math import cos, log, pi, sin, sqrt
from typing import Any

import numpy as np
import scipy
from jaxtyping import Float, Float64

from ...checks import check_range
from ...ranges import Range
from ...spec import call_of
from .distributions import MOST_PAIRS, Drawn, Toy

Nodes = Float64[np.ndarray, "k d"]
Points = Float[np.ndarray, "n d"]
PerPoint = Float64[np.ndarray, " n"]


def ring(count: int = 8, radius: int | float = 2.0, deviation: int | float = 0.02) -> Toy:
    """N(r (cos 2 pi i / n, sin 2 pi i / n), s^2), i = 1..n: Gaussians on a circle (Metz 2017, arXiv:1611.02163)."""
    check_range(at_least=1, count=count)
    check_range(above=0, radius=radius)
    angles = [2 * pi * number / count for number in range(count)]
    centers: list[tuple[int | float, ...]] = [(radius * cos(angle), radius * sin(angle)) for angle in angles]
    name = call_of(ring, count=count, radius=radius, deviation=deviation)
    return mixture(name, centers, deviation, float(radius))


def grid(side: int = 5, spacing: int | float = 2.0, deviation: int | float = 0.05) -> Toy:
    """N(d (i, j), s^2) about the origin: Gaussians on a square lattice (Srivastava 2017, arXiv:1705.07761)."""
    check_range(at_least=1, side=side)
    check_range(above=0, spacing=spacing)
    line = [spacing * (number - (side - 1) / 2) for number in range(side)]
    name = call_of(grid, side=side, spacing=spacing, deviation=deviation)
    return mixture(name, list(product(line, repeat=2)), deviation, max(line[-1], spacing / 2))


def gaussians_1d(
    centers: list[int | float] | tuple[int | float, ...] = (-2.0, 0.0, 2.0), deviation: int | float = 0.3
) -> Toy:
    """N(m_i, s^2) on a line, each as often as another (Goodfellow 2014, arXiv:1406.2661, Fig. 1 has one)."""
    for center in centers:
        check_range(center=center)
    check_range(at_least=1, number_of_centers=len(centers))
    reach = max(map(abs, centers)) + 2 * deviation
    name = call_of(gaussians_1d, centers=tuple(centers), deviation=deviation)
    return mixture(name, [(center,) for center in centers], deviation, float(reach), first="wasserstein")


def mixture(
    name: str, centers: list[tuple[int | float, ...]], deviation: int | float, reach: float, first: str | None = None
) -> Toy:
    """The toy set of these centers, whose numbers go about as far as `reach` either side of 0."""
    check_range(above=0, deviation=deviation)
    places = np.array(centers, np.float64)
    score = (f"modes(centers={name})",)
    return Toy(
        name,
        partial(_drawn, places, deviation),
        Range(-reach, reach),
        (first, *score) if first else score,
        tuple(str(number) for number in range(len(centers))),
        log_density=partial(log_density, places, deviation),
        distance=partial(distance, places),
        centers=centers,
        deviation=deviation,
    )


def _drawn(centers: Nodes, deviation: int | float, count: int, seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    classes = rng.integers(len(centers), size=count)
    return about(centers[classes], deviation, rng), classes


def about(places: Nodes, deviation: int | float, rng: np.random.Generator) -> Points:
    """N(place, s^2 I) at each place."""
    return (places + deviation * rng.standard_normal(places.shape)).astype(np.float32)


def log_density(centers: Nodes, deviation: int | float, points: Points) -> PerPoint:
    """log 1/k sum_i N(x; c_i, s^2 I)."""
    normal = points.shape[1] * log(deviation * sqrt(2 * pi)) + log(len(centers))
    return -normal + by_parts(
        centers, points, lambda squares: scipy.special.logsumexp(-squares / (2 * deviation**2), axis=1)
    )


def distance(centers: Nodes, points: Points) -> PerPoint:
    """min_i |x - c_i|."""
    return np.sqrt(by_parts(centers, points, lambda squares: squares.min(1)))


def by_parts(centers: Nodes, points: Points, of_squares: Callable[[Any], Any]) -> PerPoint:
    """A function of |x - c_i|^2 for each point, of a few points at a time."""
    size = max(1, MOST_PAIRS // len(centers))
    parts = (points[start : start + size].astype(np.float64) for start in range(0, len(points), size))
    squares = (np.square(part[:, None] - centers).sum(2) for part in parts)
    return np.concatenate([np.zeros(0), *map(of_squares, squares)])
