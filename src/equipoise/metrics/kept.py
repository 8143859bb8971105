"""What is kept of one side of a comparison: sums that add up, or the vectors themselves; independent of batching."""

from collections.abc import Callable, Hashable, Sequence, Set
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from jaxtyping import Float, Float64, Int64, Shaped
from torch import Tensor

GROUPS, BLOCK = 10, 200
FEW_GROUPS, SMALL_BLOCK = 5, 20  # of a class
MOST = 50_000  # rows
T = TypeVar("T")
Classes = Int64[Tensor, " n"]


class Statistic(Protocol):
    """What is kept of the rows of one side."""

    @property
    def count(self) -> int:
        """How many rows."""

    def update(self, rows: Shaped[Tensor, "n ..."], labels: Classes | None = None) -> None:
        """Adds rows."""

    def state_dict(self) -> dict[str, Tensor]:
        """The statistic as tensors."""

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `state_dict`."""


@dataclass(frozen=True)
class Moments:
    """Count, mean and scatter sum (x - m)(x - m)^T of feature rows in float64; they add up, hence any batching."""

    count: int
    mean: Float64[Tensor, " d"]
    scatter: Float64[Tensor, "d d"]

    @classmethod
    def of(cls, rows: Float[Tensor, "n d"]) -> "Moments":
        """n, m = sum x / n and sum (x - m)(x - m)^T of the rows, in float64."""
        rows = float64(rows)
        mean = rows.mean(0)
        return cls(len(rows), mean, (rows - mean).T @ (rows - mean))

    @property
    def covariance(self) -> Float64[Tensor, "d d"]:
        """C = scatter / (n - 1), the unbiased estimate."""
        return self.scatter / (self.count - 1)

    @classmethod
    def merged(cls, parts: Sequence["Moments"]) -> "Moments":
        """S = sum S_i + sum n_i (m_i - m)(m_i - m)^T (Chan, Golub, LeVeque 1983): stable for any mean."""
        device, count = parts[0].mean.device, sum(part.count for part in parts)
        means = torch.stack([part.mean.to(device) for part in parts])
        counts = means.new_tensor([part.count for part in parts])[:, None]
        mean = means[0] + ((means - means[0]) * counts).sum(0) / count
        apart = (means - mean) * counts.sqrt()
        scatter = apart.T @ apart
        for part in parts:
            scatter += part.scatter.to(device)
        return cls(count, mean, scatter)

    def __add__(self, other: "Moments") -> "Moments":
        """The moments of both."""
        return Moments.merged([self, other])

    def to(self, device: torch.device | str) -> "Moments":
        """The same on another device."""
        return Moments(self.count, self.mean.to(device), self.scatter.to(device))

    def state_dict(self) -> dict[str, Tensor]:
        """Plain tensors: count, mean, covariance; all that a file of reference statistics needs."""
        return {"count": torch.tensor(self.count), "mean": self.mean, "covariance": self.covariance}

    @classmethod
    def from_state_dict(cls, tensors: dict[str, Tensor]) -> "Moments":
        """The inverse of `state_dict`."""
        check_keys(tensors, {"count", "mean", "covariance"})
        count = int(tensors["count"])
        return cls(count, tensors["mean"].double(), tensors["covariance"].double() * (count - 1))


class MomentGroups:
    """The moments of so many groups of rows, to which rows go in turn."""

    def __init__(self, groups: int = GROUPS, block: int = BLOCK) -> None:
        self.count, self._block = 0, block
        self._groups: list[Moments | None] = [None] * groups
        self._waiting: list[Tensor] = []

    def update(self, rows: Float[Tensor, "n d"], labels: Classes | None = None) -> None:
        """Adds rows, to the moments as soon as there is a block for each group."""
        self.count += len(rows)
        self._waiting.append(rows.detach().clone())
        together = self._block * len(self._groups)
        if sum(map(len, self._waiting)) >= together:
            *blocks, rest = torch.cat(self._waiting).split(together)
            full = [*blocks, rest] if len(rest) == together else blocks
            for block in full:
                self._groups = self._with(block)
            self._waiting = [] if len(rest) == together else [rest.clone()]

    def _with(self, rows: Tensor) -> list[Moments | None]:
        """The groups when these rows are the next ones."""
        parts = [rows[turn :: len(self._groups)] for turn in range(len(self._groups))]
        new = [Moments.of(part) if len(part) else None for part in parts]
        return [a + b if a and b else a or b for a, b in zip(self._groups, new, strict=True)]

    def groups(self) -> list[Moments]:
        """The moments of every group that has rows."""
        groups = self._with(torch.cat(self._waiting)) if sum(map(len, self._waiting)) else self._groups
        return [group for group in groups if group is not None]

    def total(self) -> Moments:
        """The moments of all rows."""
        groups = self.groups()
        return groups[0] if len(groups) == 1 else Moments.merged(groups)

    def state_dict(self) -> dict[str, Tensor]:
        """Count, mean and covariance of all rows."""
        return self.total().state_dict()

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """All rows as one group."""
        total = Moments.from_state_dict(tensors)
        self.count, self._waiting = total.count, []
        self._groups = [total, *[None] * (len(self._groups) - 1)]


class ClassMoments:
    """The moments of each class, each in so many groups."""

    def __init__(self, groups: int = FEW_GROUPS) -> None:
        self.groups = groups
        self.classes: dict[int, MomentGroups] = {}

    @property
    def count(self) -> int:
        """The rows of all classes."""
        return sum(moments.count for moments in self.classes.values())

    def update(self, rows: Float[Tensor, "n d"], labels: Classes | None = None) -> None:
        """Adds rows to the classes that they are of."""
        for number in torch.unique(labels).tolist() if labels is not None else ():
            self.of(number).update(rows[labels == number])

    def of(self, number: int) -> MomentGroups:
        """The moments of one class."""
        return self.classes.setdefault(number, MomentGroups(self.groups, SMALL_BLOCK))

    def state_dict(self) -> dict[str, Tensor]:
        """Count, mean and covariance of each class, by its number."""
        parts = {number: moments.state_dict() for number, moments in self.classes.items()}
        return {f"{number}.{name}": tensor for number, part in parts.items() for name, tensor in part.items()}

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `state_dict`."""
        numbers = sorted({int(number) for name in tensors if (number := name.partition(".")[0]).isdecimal()})
        check_keys(tensors, {f"{number}.{name}" for number in numbers for name in ("count", "mean", "covariance")})
        self.classes = {}
        for one in numbers:
            self.of(one).load_state_dict({name: tensors[f"{one}.{name}"] for name in ("count", "mean", "covariance")})


class Rows:
    """The first so many rows, and their labels where there are some."""

    def __init__(self, most: int = MOST) -> None:
        self.count, self.most = 0, most
        self._rows: list[Tensor] = []
        self._labels: list[Tensor] = []
        self.derived: dict[Hashable, Any] = {}

    def update(self, rows: Shaped[Tensor, "n ..."], labels: Classes | None = None) -> None:
        """Keeps a copy of these rows, as long as there is room."""
        self.derived.clear()
        room = self.most - self.count
        self._rows.append(rows[:room].detach().clone())
        self._labels += [] if labels is None else [labels[:room].detach().clone()]
        self.count += len(self._rows[-1])

    @property
    def rows(self) -> Shaped[Tensor, "n ..."]:
        """All rows."""
        self._rows = self._rows if len(self._rows) == 1 else [torch.cat(self._rows)]
        return self._rows[0]

    @property
    def labels(self) -> Classes:
        """The label of each row."""
        return torch.cat(self._labels)

    def state_dict(self) -> dict[str, Tensor]:
        """The rows, and their labels."""
        return {"rows": self.rows} | ({"labels": self.labels} if self._labels else {})

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `state_dict`."""
        check_keys(tensors, {"rows"}, {"labels"})
        self._rows, self._labels = [], []
        self.count = 0
        self.update(tensors["rows"], tensors.get("labels"))


def once(real: Rows, generated: Rows, key: Hashable, make: Callable[[], T]) -> T:
    """What `make` makes of two sides, made once for a value, its interval and the other metrics that need it."""
    key = (key, real, real.count)
    if key not in generated.derived:
        generated.derived[key] = make()
    return generated.derived[key]


def float64(rows: Shaped[Tensor, "n d"]) -> Float64[Tensor, "n d"]:
    """The rows in double precision, on the CPU where their device has none (Apple's)."""
    return (rows.cpu() if rows.device.type == "mps" else rows).double()


def check_keys(tensors: dict[str, Tensor], keys: set[str], optional: Set[str] = frozenset()) -> None:
    """Raises ValueError when stored tensors are not what a statistic stores."""
    if not keys <= set(tensors) <= keys | optional:
        raise ValueError(f"this statistic holds {sorted(keys)}, got {sorted(tensors)}")
