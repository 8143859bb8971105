"""How a study searches for the best setting of a cell."""

from dataclasses import dataclass
from typing import Literal

from ..checks import check_choice, check_range


@dataclass(frozen=True, kw_only=True)
class Search:
    """Random search of `trials` settings for every cell (Lucic et al. 2018, arXiv:1711.10337, Sec. 6), or halving.

    With "halving" (Jamieson and Talwalkar 2016, arXiv:1502.07943) all settings train for a part of the run, and the
    best third of them is resumed, to three times that part, until those that are left have run to the end: nothing is
    trained twice, as a run that is stopped and resumed is the same run. The settings are a function of `seed`; trials
    have seeds of their own, so that the winner is confirmed by runs that did not choose it.
    """

    trials: int = 10
    method: Literal["random", "halving"] = "random"
    keep: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        check_range(at_least=2, trials=self.trials, keep=self.keep)
        check_choice(self.method, ["random", "halving"], f"a search has no method {self.method!r}")

    def rungs(self, images: int) -> list[tuple[int, int]]:
        """How many settings train until how many images, from the first rung to the last.

        >>> Search(trials=9, method="halving").rungs(90_000)
        [(9, 10000), (3, 30000), (1, 90000)]
        >>> Search(trials=9).rungs(90_000)
        [(9, 90000)]
        """
        ends = [images // self.parts * self.keep**at for at in range(len(self.counts) - 1)]
        return list(zip(self.counts, [*ends, images], strict=True))

    @property
    def stretches(self) -> list[tuple[int, float]]:
        """How many settings train on each rung, and for what share of a whole run.

        >>> Search(trials=8, keep=2, method="halving").stretches
        [(8, 0.125), (4, 0.125), (2, 0.25), (1, 0.5)]
        """
        ends = [until / self.parts for _, until in self.rungs(self.parts)]
        return [(count, end - start) for count, start, end in zip(self.counts, [0.0, *ends], ends, strict=False)]

    @property
    def parts(self) -> int:
        """Into how many equal parts rungs cut a run: the first one ends after one of them."""
        return self.keep ** (len(self.counts) - 1)

    @property
    def counts(self) -> list[int]:
        """How many settings train on each rung."""
        found = [self.trials]
        while self.method == "halving" and found[-1] > 1:
            found.append(max(1, found[-1] // self.keep))
        return found
