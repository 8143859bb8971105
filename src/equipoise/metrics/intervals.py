"""95 per cent intervals of values: of means, of shares, by parts, by the jackknife, by the bootstrap."""

from collections.abc import Callable, Sequence
from math import sqrt

import numpy as np
import scipy
from jaxtyping import Float64, Int64

LEVEL = 0.95
FEWEST = 10  # images in a part or group that give an interval
RESAMPLES, POSTERIOR = 200, 10_000  # draws


def of_mean(values: Sequence[float]) -> tuple[float, float]:
    """m +- t s / sqrt(n) of independent values, t of Student's distribution with n - 1 degrees of freedom."""
    return by_parts(float(np.mean(values)), values)


def by_parts(value: float, parts: Sequence[float]) -> tuple[float, float]:
    """value +- t s / sqrt(g), s the deviation of the values of g equal parts (sectioning, Asmussen and Glynn 2007).

    That a part is smaller may bias its value; all are biased alike.
    """
    return around(value, float(np.std(parts, ddof=1)) / sqrt(len(parts)), len(parts) - 1)


def of_share(share: float, count: int) -> tuple[float, float]:
    """Wilson's interval of a share of `count` independent trials (Wilson 1927)."""
    found = scipy.stats.binomtest(round(share * count), count).proportion_ci(LEVEL, method="wilson")
    return float(found.low), float(found.high)


def of_f1(value: float, precision: tuple[float, int], recall: tuple[float, int]) -> tuple[float, float]:
    """Quantiles of 2 P R / (P + R), P and R ~ Beta(k + 1/2, n - k + 1/2) of a share k / n of n independent trials.

    The posteriors of both shares (Goutte and Gaussier 2005); a value at its end of them is within.
    """
    draw = np.random.default_rng(0)
    P, R = (draw.beta(share * n + 0.5, (1 - share) * n + 0.5, POSTERIOR) for share, n in (precision, recall))
    low, high = np.quantile(2 * P * R / (P + R), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return min(float(low), value), max(float(high), value)


def jackknife(value: float, without: Sequence[float]) -> tuple[float, float]:
    """value +- t s, s^2 = (g - 1) / g sum (v_i - v)^2, where v_i leaves group i of g out (Shao and Tu 1995, ch. 2)."""
    groups = len(without)
    return around(
        value, sqrt((groups - 1) / groups * np.square(np.subtract(without, np.mean(without))).sum()), groups - 1
    )


def bootstrap(
    value: float, statistic: Callable[[Int64[np.ndarray, " k"]], float], count: int, p: Float64[np.ndarray, " k"]
) -> tuple[float, float]:
    """value +- t s, s the deviation of a statistic of the counts of `count` draws from frequencies p (Efron 1979)."""
    draw = np.random.default_rng(0)
    found = [statistic(draw.multinomial(count, p)) for _ in range(RESAMPLES)]
    return around(value, float(np.std(found, ddof=1)), RESAMPLES - 1)


def around(value: float, error: float, freedom: int) -> tuple[float, float]:
    """value +- t error."""
    reach = float(scipy.stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    return value - reach, value + reach
