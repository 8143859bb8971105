"""What a metric is: two sides, real and not, fed in batches of any size; its value is a function of the two."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from math import isfinite
from typing import Any, Literal, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float, Real, Shaped
from torch import Tensor, nn

from ..randomness import normal
from .features import Features
from .kept import Classes, ClassMoments, MomentGroups, Rows, Statistic

Values = dict[str, float]
Intervals = dict[str, tuple[float, float]]


@runtime_checkable
class Metric(Protocol):
    """A score of two sets of images, independent of how they were cut into batches.

    It is fed what it `sees` of images, by default their features, and labels besides if it is `labelled`; `higher` says
    that more is better, but of the values that it names `lower`. One of your own needs no more than these two methods.
    """

    def update(self, rows: Shaped[Tensor, "n ..."], real: bool) -> None:
        """Adds rows to one side."""

    def compute(self) -> Values:
        """Values by name, first the score that ranks generators."""


@dataclass(frozen=True)
class Subject:
    """A generator whose own behaviour is measured: z [n, z_dim] and labels to images in [-1, 1].

    `labels` draws as many as are asked for; `held_out` gives so many held-out images at most, with labels, if any.
    """

    G: nn.Module
    labels: Callable[[int], Tensor | None] = lambda count: None
    held_out: Callable[[int], tuple[Real[Tensor, "n c h w"], Tensor | None] | None] = lambda count: None
    seed: int = 0

    @property
    def device(self) -> torch.device:
        """Where the generator is."""
        return next(self.G.parameters()).device

    def latents(self, count: int) -> Float[Tensor, "n z"]:
        """N(0, I), a function of the seed alone."""
        return normal(self.seed, count, cast(int, self.G.z_dim), self.device)

    def some_labels(self, count: int) -> Tensor | None:
        """So many labels on the generator's device, or None."""
        labels = self.labels(count)
        return None if labels is None else labels.to(self.device)


@runtime_checkable
class GeneratorMetric(Protocol):
    """A score of a generator itself, for which a set of its images is not enough."""

    def measure(self, subject: Subject, features: Features) -> None:
        """Looks at the generator."""

    def compute(self) -> Values:
        """Values by name, first the score that ranks generators."""


@dataclass
class SetMetric:
    """A metric made of functions: an empty statistic for a side, and values and intervals of two statistics.

    Metrics with the same statistic of the same rows share it in an evaluation. Intervals, at 95 per cent, are those of
    another draw of generated images against the same real ones. `features` are the only ones that a metric is defined
    on, if its name says so.
    """

    name: str
    statistic: Callable[[bool], Statistic]
    value: Callable[[Any, Any], Values]
    interval: Callable[[Any, Any], Intervals] = lambda real, generated: {}
    _: KW_ONLY
    sees: Literal["features", "logits", "images"] = "features"
    labelled: bool = False
    higher: bool = False
    lower: tuple[str, ...] = ()
    needs_real: bool = True
    features: str | None = None
    sides: dict[bool, Any] = field(default_factory=dict)
    shape: torch.Size | None = None

    def update(self, rows: Shaped[Tensor, "n ..."], real: bool, labels: Classes | None = None) -> None:
        """Adds rows to one side."""
        self._check_rows(rows, labels)
        self.shape = rows.shape[1:]
        self.sides.setdefault(real, self.statistic(real)).update(rows, labels)

    def compute(self) -> Values:
        """The values, from at least two rows on either side."""
        values = self.value(*self._both())
        if not all(map(isfinite, values.values())):
            raise ValueError(f"{self.name} needs finite {self.sees}, got nan or inf among them")
        return values

    def intervals(self) -> Intervals:
        """The 95 per cent interval of each value that has one."""
        return self.interval(*self._both())

    def reference(self) -> dict[str, Tensor]:
        """The real side as tensors, to be stored and used again."""
        self._check_counts(f"a reference of {self.name}", real=True)
        return self.sides[True].state_dict()

    def load_reference(self, tensors: dict[str, Tensor]) -> None:
        """Makes a stored real side the real side."""
        self.sides[True] = self.statistic(True)
        self.sides[True].load_state_dict(tensors)

    def _check_rows(self, rows: Tensor, labels: Classes | None) -> None:
        """Raises ValueError for rows that no score should be made of."""
        check_shapes(self.name, self.shape or rows.shape[1:], rows.shape[1:])
        if self.labelled and labels is None:
            raise ValueError(f"{self.name} needs labels with the images")
        if self.sees == "images" and (rows.dtype != torch.uint8 or rows.ndim != 4):
            raise ValueError(f"{self.name} needs uint8 images [n, c, h, w], got {rows.dtype} {list(rows.shape)}")
        if not rows.isfinite().all():
            raise ValueError(f"{self.name} needs finite {self.sees}, got nan or inf among them")

    def _both(self) -> tuple[Any, Any]:
        needed = {"real": True, "generated": False} if self.needs_real else {"generated": False}
        self._check_counts(self.name, **needed)
        return self.sides.get(True), self.sides[False]

    def _check_counts(self, name: str, **needed: bool) -> None:
        """Raises ValueError unless each side has two rows: there is no covariance, and no pair, of one."""
        counts = {word: self.sides[real].count if real in self.sides else 0 for word, real in needed.items()}
        if min(counts.values()) < 2:
            got = " and ".join(f"{count} {word}" for word, count in counts.items())
            raise ValueError(f"{name} needs at least 2 rows on a side, got {got}")


def moments(real: bool) -> MomentGroups:
    """Sums for means and covariances; of generated rows in ten groups, for an interval."""
    return MomentGroups(1) if real else MomentGroups()


def class_moments(real: bool) -> ClassMoments:
    """Sums for means and covariances of each class; of generated rows in five groups, for an interval."""
    return ClassMoments(1) if real else ClassMoments()


def rows(real: bool) -> Rows:
    """The first 50,000 rows."""
    return Rows()


def pair_of_rows(name: str, real: Rows, generated: Rows) -> tuple[Tensor, Tensor]:
    """The rows of both sides on one device, of one dimension."""
    check_shapes(name, real.rows.shape[1:], generated.rows.shape[1:])
    return real.rows.to(generated.rows.device), generated.rows


def check_shapes(name: str, old: torch.Size, new: torch.Size) -> None:
    """Raises ValueError when rows of different dimensions meet."""
    if old != new:
        was, now = ("x".join(map(str, shape)) or "1" for shape in (old, new))
        raise ValueError(f"{name} compares rows of one dimension, got {now} after {was}; use the same features for all")
