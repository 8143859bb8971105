"""What a metric is: two sides, real and not, fed in batches of any size; its value is a function of the two."""

from math import isfinite
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Float64, Shaped
from torch import Tensor


@runtime_checkable
class Metric(Protocol):
    """A distance between two sets of feature rows, independent of how they were cut into batches."""

    def update(self, features: Float[Tensor, "n d"], real: bool) -> None:
        """Adds rows to one side."""

    def compute(self) -> dict[str, float]:
        """The value of all rows so far, by the name of the metric: the score, smaller is better; others by theirs."""

    def reference(self) -> dict[str, Tensor]:
        """The real side as tensors, to be stored and used again."""

    def load_reference(self, tensors: dict[str, Tensor]) -> None:
        """Makes a stored real side the real side."""


def float64(rows: Shaped[Tensor, "n d"]) -> Float64[Tensor, "n d"]:
    """The rows in double precision, on the CPU where their device has none (Apple's)."""
    return (rows.cpu() if rows.device.type == "mps" else rows).double()


def check_sides(name: str, real: int, fake: int | None = None) -> None:
    """Raises ValueError unless every side has two rows, without which there is no covariance and no pair."""
    counts = {"real": real} | ({} if fake is None else {"generated": fake})
    if min(counts.values()) < 2:
        got = " and ".join(f"{count} {side}" for side, count in counts.items())
        raise ValueError(f"{name} needs at least 2 rows on a side, got {got}")


def check_dims(name: str, old: int, new: int) -> None:
    """Raises ValueError when rows of different dimensions meet."""
    if old != new:
        message = f"{name} compares vectors of one dimension, got {new} after {old}"
        raise ValueError(f"{message}; use the same features for all")


def check_keys(name: str, tensors: dict[str, Tensor], keys: set[str]) -> None:
    """Raises ValueError when stored tensors are not the reference of this metric."""
    if set(tensors) != keys:
        raise ValueError(f"a reference of {name} holds {sorted(keys)}, got {sorted(tensors)}")


def finite(name: str, value: float) -> dict[str, float]:
    """{name: value}; raises ValueError when it is not a number, which only features that are not finite cause."""
    if not isfinite(value):
        raise ValueError(f"{name} needs finite features, got nan or inf among them")
    return {name: value}
