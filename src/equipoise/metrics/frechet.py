"""The Frechet distance between the Gaussians of two sets of features."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from .metric import Metric, check_dims, check_keys, check_sides, finite, float64


def fd() -> Metric:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) (Heusel et al. 2017, arXiv:1706.08500, eq. 6).

    On Inception features it is the FID.
    """
    return FrechetDistance()


@dataclass(frozen=True)
class Moments:
    """Count, mean and scatter sum (x - m)(x - m)^T of feature rows in float64; they add up, hence any batching."""

    count: int
    mean: Float64[Tensor, " d"]
    scatter: Float64[Tensor, "d d"]

    @property
    def covariance(self) -> Float64[Tensor, "d d"]:
        """C = scatter / (n - 1), the unbiased estimate."""
        return self.scatter / (self.count - 1)

    def __add__(self, other: "Moments") -> "Moments":
        """S = S_a + S_b + (n_a n_b / n) e e^T with e = m_b - m_a (Chan, Golub, LeVeque 1983): stable for any mean."""
        other = other.to(self.mean.device)
        count, apart = self.count + other.count, other.mean - self.mean
        between = apart.outer(apart) * (self.count * other.count / count)
        return Moments(count, self.mean + apart * (other.count / count), self.scatter + other.scatter + between)

    def to(self, device: torch.device) -> "Moments":
        """The same on another device."""
        return Moments(self.count, self.mean.to(device), self.scatter.to(device))

    def state_dict(self) -> dict[str, Tensor]:
        """Plain tensors: count, mean, covariance; all that a file of reference statistics needs."""
        return {"count": torch.tensor(self.count), "mean": self.mean, "covariance": self.covariance}

    @classmethod
    def from_state_dict(cls, tensors: dict[str, Tensor]) -> "Moments":
        """The inverse of `state_dict`."""
        check_keys("fd", tensors, {"count", "mean", "covariance"})
        count = int(tensors["count"])
        return cls(count, tensors["mean"].double(), tensors["covariance"].double() * (count - 1))


class FrechetDistance:
    """The moments of the sides, real (True) and generated (False), that have been fed."""

    def __init__(self) -> None:
        self.sides: dict[bool, Moments] = {}

    def update(self, features: Float[Tensor, "n d"], real: bool) -> None:
        """Adds the moments of these rows to one side."""
        for side in self.sides.values():
            check_dims("fd", len(side.mean), features.shape[1])
        if len(features):
            new = moments(features)
            self.sides[real] = self.sides[real] + new if real in self.sides else new

    def compute(self) -> dict[str, float]:
        """{"fd": distance}, from at least two rows on either side."""
        check_sides("fd", self._count(True), self._count(False))
        return finite("fd", distance(self.sides[True], self.sides[False]))

    def reference(self) -> dict[str, Tensor]:
        """Count, mean and covariance of the real side."""
        check_sides("a reference of fd", self._count(True))
        return self.sides[True].state_dict()

    def load_reference(self, tensors: dict[str, Tensor]) -> None:
        """Takes the real side from `reference()` of an earlier run."""
        self.sides[True] = Moments.from_state_dict(tensors)

    def _count(self, real: bool) -> int:
        return self.sides[real].count if real in self.sides else 0


def moments(features: Float[Tensor, "n d"]) -> Moments:
    """n, m = sum x / n and sum (x - m)(x - m)^T of the rows, in float64."""
    rows = float64(features)
    mean = rows.mean(0)
    return Moments(len(rows), mean, (rows - mean).T @ (rows - mean))


def distance(a: Moments, b: Moments) -> float:
    """|m_a - m_b|^2 + tr C_a + tr C_b - 2 tr (C_a C_b)^(1/2) (Dowson and Landau 1982), finite for singular C too.

    With C_a = A A^T and C_b = B B^T the last trace is the sum of the singular values of A^T B: no root of a product, no
    imaginary parts. Computed on the device of `b`.
    """
    check_dims("fd", len(a.mean), len(b.mean))
    a = a.to(b.mean.device)
    apart = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace()
    if not apart.isfinite():
        return apart.item()
    shared = torch.linalg.svdvals(_factor(a.covariance).T @ _factor(b.covariance)).sum()
    return max((apart - 2 * shared).item(), 0.0)


def _factor(covariance: Tensor) -> Tensor:
    """A of C = A A^T without the directions whose variance is rounding: their roots would add up."""
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    return vectors[:, kept] * values[kept].sqrt()
