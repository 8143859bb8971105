"""How many modes a generator captures, where they can be told: points of a mixture, or classes."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64, Shaped, UInt8
from torch import Tensor

from ..checks import check_range
from .features import classifier
from .intervals import bootstrap, of_mean, of_share
from .kept import Classes, check_keys, float64
from .metric import Intervals, SetMetric, Values

NEAR = 3  # deviations
UNSEEN = 0.5  # images that stand for a mode without a real one
USUAL_DEVIATION = 0.05
Told = tuple[Int64[Tensor, " n"], Bool[Tensor, " n"], int]
Points = Sequence[Sequence[int | float]]


@runtime_checkable
class Mixture(Protocol):
    """A distribution about points, as toy data are: `data.toys.ring()`."""

    @property
    def centers(self) -> Points | None:
        """The points."""

    @property
    def deviation(self) -> int | float | None:
        """The standard deviation about them, in every direction."""


def modes(
    centers: Points | Mixture | None = None,
    deviation: int | float | None = None,
    planes: bool = False,
    least: int = 1,
) -> SetMetric:
    """|{modes with a sample}| and KL(p_generated || p_real) over modes (Srivastava et al. 2017, arXiv:1705.07761).

    With `centers`, points or a toy set made of them like ring(count=8), rows are points: each belongs to the nearest
    one, and counts as of high quality, and for its mode, within three deviations of it, the toy set's or 0.05. Without,
    modes are the classes that the features' classifier tells; with `planes`, those of all channels of an image
    together, each a picture for the built-in classifier: a thousand for three. A mode is captured by `least` samples.
    Frequencies of real images where there are some, else equal ones. Modes grow and the divergence falls with the
    number of images: compare equal ones. The intervals, of another draw of as many images, are a bootstrap's for the
    modes, Student's for the divergence, Wilson's for `high_quality`.
    """
    check_range(above=0, deviation=1 if deviation is None else deviation)
    check_range(at_least=1, least=least)
    if centers is not None and planes:
        raise ValueError("modes are told by centers or in planes, not both")
    sees, told = _telling(centers, deviation, planes)
    value, interval = partial(_value, centers is not None, least), partial(_interval, centers is not None, least)
    statistic = lambda real: ModeCounts(told)
    return SetMetric(
        "modes", statistic, value, interval, sees=sees, higher=True, lower=("reverse_kl",), needs_real=False
    )


class ModeCounts:
    """How many rows are of each mode, and how many of those are good."""

    def __init__(self, told: Callable[[Tensor], Told]) -> None:
        self.count, self._told = 0, told
        self.all = self.good = torch.zeros(0, dtype=torch.int64)

    def update(self, rows: Shaped[Tensor, "n ..."], labels: Classes | None = None) -> None:
        """Counts rows."""
        number, good, total = self._told(rows)
        self.all = self._sized(self.all, total) + number.bincount(minlength=total).cpu()
        self.good = self._sized(self.good, total) + number[good].bincount(minlength=total).cpu()
        self.count += len(rows)

    def state_dict(self) -> dict[str, Tensor]:
        """Both counts of each mode."""
        return {"all": self.all, "good": self.good}

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `state_dict`."""
        check_keys(tensors, {"all", "good"})
        self.all, self.good, self.count = tensors["all"], tensors["good"], int(tensors["all"].sum())

    @staticmethod
    def _sized(counts: Tensor, total: int) -> Tensor:
        return counts if len(counts) else counts.new_zeros(total)


def reverse_kl(generated: Int64[Tensor, " k"], real: Int64[Tensor, " k"] | None) -> float:
    """sum_k p_k log(p_k / q_k), p of generated, q of real rows, half a row for a mode without; else q is uniform."""
    return log_ratios(generated, real).mean().item()


def log_ratios(generated: Int64[Tensor, " k"], real: Int64[Tensor, " k"] | None) -> Float64[Tensor, " n"]:
    """log(p_k / q_k) of the mode k of each generated row, whose mean is the divergence."""
    p = generated.double() / generated.sum()
    q = torch.ones_like(p) if real is None else real.double().clamp(min=UNSEEN)
    return (p / (q / q.sum())).log().repeat_interleave(generated)


def captured(counts: Int64[np.ndarray, " k"], least: int) -> float:
    """How many modes have so many rows."""
    return float((counts >= least).sum())


def captured_interval(counts: Int64[np.ndarray, " k"], count: int, least: int) -> tuple[float, float]:
    """That of a bootstrap, within the number of modes that there are."""
    again = lambda drawn: captured(drawn[:-1], least)
    low, high = bootstrap(captured(counts, least), again, count, frequencies(counts, count))
    return max(low, 0.0), min(high, float(len(counts)))


def frequencies(counts: Int64[np.ndarray, " k"], count: int) -> Float64[np.ndarray, " k_and_1"]:
    """Of each mode, and of the rest of `count` rows; modes without a row share that of modes with one (Good 1953).

    Counts themselves as frequencies would say that what was not found cannot be.
    """
    seen, unseen = np.append(counts, count - counts.sum()), np.append(counts == 0, False)
    missing = (counts == 1).sum() / count if unseen.any() else 0.0
    return np.where(unseen, missing / max(unseen.sum(), 1), seen / count * (1 - missing))


def _telling(
    centers: Points | Mixture | None, deviation: int | float | None, planes: bool
) -> tuple[Literal["features", "images", "logits"], Callable[[Tensor], Told]]:
    """What is to be seen, and how its modes are told."""
    if centers is not None:
        points, own = (centers, None) if isinstance(centers, Sequence) else (centers.centers, centers.deviation)
        if points is None:
            raise ValueError("modes are told by the centers of a mixture, and this set has none")
        return "features", _by_center(points, deviation or own or USUAL_DEVIATION)
    return ("images", _by_planes) if planes else ("logits", _by_class)


def _by_center(centers: Points, deviation: int | float) -> Callable[[Tensor], Told]:
    points = torch.tensor([*map(tuple, centers)], dtype=torch.float64)

    def told(rows: Float[Tensor, "n d"]) -> Told:
        if rows.shape[1:] != points.shape[1:]:
            raise ValueError(f"modes about {len(points)} centers of dimension {points.shape[1]} got {rows.shape[1]}")
        near = torch.cdist(float64(rows).cpu(), points, compute_mode="donot_use_mm_for_euclid_dist").min(1)
        return near.indices, near.values <= NEAR * deviation, len(points)

    return told


def _by_class(logits: Float[Tensor, "n k"]) -> Told:
    return logits.argmax(1), torch.ones(len(logits), dtype=torch.bool, device=logits.device), logits.shape[1]


def _by_planes(images: UInt8[Tensor, "n c h w"]) -> Told:
    """sum_c 10^c class of channel c."""
    classes = classifier.classify(images.flatten(0, 1)[:, None]).argmax(1).view(len(images), -1)
    powers = classifier.CLASSES ** torch.arange(images.shape[1], device=images.device)
    total = classifier.CLASSES ** images.shape[1]
    return (classes * powers).sum(1), torch.ones(len(images), dtype=torch.bool, device=images.device), total


def _value(centred: bool, least: int, real: ModeCounts | None, generated: ModeCounts) -> Values:
    quality = {"high_quality": _quality(generated)} if centred else {}
    divergence = reverse_kl(generated.all, _counts(real))
    return {"modes": captured(generated.good.numpy(), least)} | quality | {"reverse_kl": divergence}


def _interval(centred: bool, least: int, real: ModeCounts | None, generated: ModeCounts) -> Intervals:
    quality = {"high_quality": of_share(_quality(generated), generated.count)} if centred else {}
    number = captured_interval(generated.good.numpy(), generated.count, least)
    return quality | {"modes": number, "reverse_kl": of_mean(log_ratios(generated.all, _counts(real)).tolist())}


def _counts(real: ModeCounts | None) -> Tensor | None:
    return real.all if real is not None and real.count else None


def _quality(generated: ModeCounts) -> float:
    return int(generated.good.sum()) / generated.count
