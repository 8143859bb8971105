"""Points about curves of the plane: a place on the curve, and normal noise of one deviation around it."""

from collections.abc import Callable
from functools import partial
from math import pi

import numpy as np
from jaxtyping import Float64

from ...checks import check_range
from ...ranges import Range
from ...spec import call_of
from .distributions import Drawn, Toy
from .mixtures import about, distance, log_density

NODES = 4096  # of a curve, equally probable, for its density and its distance
Curve = Callable[[Float64[np.ndarray, " n"], np.ndarray], Float64[np.ndarray, "n 2"]]


def swiss_roll(deviation: int | float = 1 / 30) -> Toy:
    """t (cos t, sin t) / 7.5, t ~ U(3 pi / 2, 9 pi / 2), + N(0, s^2) (Gulrajani 2017, arXiv:1704.00028, toy code)."""
    check_range(above=0, deviation=deviation)
    return on_curve(call_of(swiss_roll, deviation=deviation), _roll, deviation, arms=1)


def spiral(arms: int = 2, turns: int | float = 1.5, deviation: int | float = 0.02) -> Toy:
    """2 sqrt(u) (cos a, sin a), a = 2 pi (turns sqrt(u) + arm / arms), u ~ U(0, 1), + N(0, s^2): evenly filled arms."""
    check_range(at_least=1, arms=arms)
    check_range(above=0, turns=turns, deviation=deviation)
    name = call_of(spiral, arms=arms, turns=turns, deviation=deviation)
    return on_curve(name, partial(_spiral, arms, turns), deviation, arms)


def on_curve(name: str, place: Curve, deviation: int | float, arms: int) -> Toy:
    """The toy set about curves place(u, arm), u ~ U(0, 1), each arm as often as another."""
    line = (np.arange(NODES) + 0.5) / NODES
    nodes = np.concatenate([place(line, np.full(NODES, arm)) for arm in range(arms)])
    return Toy(
        name,
        partial(_drawn, place, arms, deviation),
        Range(-2.0, 2.0),
        ("wasserstein",),
        tuple(str(arm) for arm in range(arms)) if arms > 1 else (),
        log_density=partial(log_density, nodes, deviation),
        distance=partial(distance, nodes),
        deviation=deviation,
    )


def _drawn(place: Curve, arms: int, deviation: int | float, count: int, seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    arm = rng.integers(arms, size=count)
    return about(place(rng.random(count), arm), deviation, rng), arm if arms > 1 else None


def _roll(u: Float64[np.ndarray, " n"], arm: np.ndarray) -> Float64[np.ndarray, "n 2"]:
    t = 1.5 * pi * (1 + 2 * u)
    return np.stack([t * np.cos(t), t * np.sin(t)], 1) / 7.5


def _spiral(arms: int, turns: int | float, u: Float64[np.ndarray, " n"], arm: np.ndarray) -> Float64[np.ndarray, "n 2"]:
    radius = np.sqrt(u)
    angle = 2 * pi * (turns * radius + arm / arms)
    return 2 * radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
