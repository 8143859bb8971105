"""95 per cent intervals of values: of means, of shares, and by the jackknife."""

from collections.abc import Sequence
from math import sqrt

import numpy as np
from scipy import stats

LEVEL = 0.95


def of_mean(values: Sequence[float]) -> tuple[float, float]:
    """m +- t s / sqrt(n) of independent values, t of Student's distribution with n - 1 degrees of freedom."""
    return around(float(np.mean(values)), float(np.std(values, ddof=1)) / sqrt(len(values)), len(values) - 1)


def of_share(share: float, count: int) -> tuple[float, float]:
    """Wilson's interval of a share of `count` independent trials (Wilson 1927)."""
    found = stats.binomtest(round(share * count), count).proportion_ci(LEVEL, method="wilson")
    return float(found.low), float(found.high)


def jackknife(value: float, without: Sequence[float]) -> tuple[float, float]:
    """value +- t s, s^2 = (g - 1) / g sum (v_i - v)^2, where v_i leaves group i of g out (Shao and Tu 1995, ch. 2)."""
    groups = len(without)
    return around(
        value, sqrt((groups - 1) / groups * np.square(np.subtract(without, np.mean(without))).sum()), groups - 1
    )


def around(value: float, error: float, freedom: int) -> tuple[float, float]:
    """value +- t error."""
    reach = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    return value - reach, value + reach
