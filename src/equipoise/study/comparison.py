"""What scores of several seeds say: means with intervals, differences that are none of chance, ranks that hold."""

from collections.abc import Mapping, Sequence
from math import nan
from typing import Literal, NamedTuple
from warnings import catch_warnings

import numpy as np
import scipy

from ..metrics.intervals import of_mean

SIGNIFICANT = 0.05

Scores = Mapping[tuple[str, str], Sequence[float]]
"""The scores of the runs that came to their end, by row and column."""


class Summary(NamedTuple):
    """The mean of a few runs, and its 95 per cent interval where there are two or more."""

    mean: float
    low: float
    high: float
    runs: int

    @property
    def half(self) -> float:
        """Half of the interval."""
        return (self.high - self.low) / 2


class Standing(NamedTuple):
    """The ranks of a row over all columns and seeds: the mean, the deviation, the share of first places."""

    row: str
    mean: float
    deviation: float
    first: float


class Agreement(NamedTuple):
    """Kendall's W of the ranks, 1 where every column and seed ranks alike, and Friedman's p."""

    w: float
    p: float


def summary(values: Sequence[float]) -> Summary | None:
    """m +- t s / sqrt(n), t of Student's distribution; None without values.

    >>> [round(x, 2) for x in summary([1.0, 2.0, 3.0])]
    [2.0, -0.48, 4.48, 3]
    """
    if not values:
        return None
    mean = float(np.mean(values))
    return Summary(mean, *(of_mean(values) if len(values) > 1 else (nan, nan)), len(values))


def significance(scores: Scores, baseline: str) -> dict[tuple[str, str], float]:
    """The p of each cell against the baseline of its column, Welch's test, corrected for the number of tests.

    Welch 1947; Benjamini and Hochberg 1995: of the differences that are called significant at 0.05, one in twenty is
    expected to be none. Cells with fewer than two runs have no p.
    """
    found = {}
    for (row, column), values in scores.items():
        other = scores.get((baseline, column), ())
        if row != baseline and min(len(values), len(other)) > 1:
            found[row, column] = _welch(values, other)
    if not found:
        return {}
    corrected = scipy.stats.false_discovery_control([*found.values()])
    return dict(zip(found, corrected.tolist(), strict=True))


def probability_better(values: Sequence[float], others: Sequence[float], higher: bool) -> float:
    """1 - p of Welch's one-sided test that the mean of `values` is better; nan with fewer than two runs.

    >>> round(probability_better([1.0, 1.1, 0.9], [2.0, 2.2, 1.9], higher=False), 3) > 0.99
    True
    """
    if min(len(values), len(others)) < 2:
        return nan
    return _welch(values, others, "less" if higher else "greater")


def standings(ranks: Mapping[str, Sequence[float]]) -> list[Standing]:
    """The rows by their mean rank, the best first."""
    first = np.min([*ranks.values()], axis=0)  # 1, or more where several rows share the first place
    found = [
        Standing(row, float(np.mean(of_row)), float(np.std(of_row)), float(np.mean(np.equal(of_row, first))))
        for row, of_row in ranks.items()
        if len(of_row)
    ]
    return sorted(found, key=lambda standing: standing.mean)


def ranks(blocks: Sequence[Mapping[str, float | None]], higher: bool) -> dict[str, list[float]]:
    """The rank of each row in each block, a column under one seed; those without a score share the last places.

    >>> ranks([{"a": 1.0, "b": 3.0, "c": None}], higher=False)
    {'a': [1.0], 'b': [2.0], 'c': [3.0]}
    """
    found: dict[str, list[float]] = {}
    for block in blocks:
        worst = np.inf
        values = [worst if score is None else -score if higher else score for score in block.values()]
        for row, rank in zip(block, scipy.stats.rankdata(values), strict=True):
            found.setdefault(row, []).append(float(rank))
    return found


def agreement(ranked: Mapping[str, Sequence[float]]) -> Agreement | None:
    """Kendall's coefficient of concordance (Kendall and Babington Smith 1939); None for too few rows or blocks."""
    of_rows = [*ranked.values()]
    if len(of_rows) < 3 or min(map(len, of_rows)) < 2:
        return None
    if all(np.ptp(block) == 0 for block in zip(*of_rows, strict=True)):
        return None
    test = scipy.stats.friedmanchisquare(*of_rows)
    return Agreement(float(test.statistic) / (len(of_rows[0]) * (len(of_rows) - 1)), float(test.pvalue))


def _welch(
    values: Sequence[float], others: Sequence[float], alternative: Literal["two-sided", "less", "greater"] = "two-sided"
) -> float:
    """p of Welch's test, and where neither side has a spread its limit: 0 or 1, of equal scores 1 or 1/2."""
    if np.ptp(values) == np.ptp(others) == 0:
        if values[0] == others[0]:
            return 1.0 if alternative == "two-sided" else 0.5
        return float(alternative == ("less" if values[0] > others[0] else "greater"))
    with catch_warnings(action="ignore", category=RuntimeWarning):  # of one side without spread
        test = scipy.stats.ttest_ind(np.array(values), np.array(others), equal_var=False, alternative=alternative)
    return float(test.pvalue)
