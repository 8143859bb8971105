"""The kernel distance between two sets of features: unbiased, hence comparable between sets of different sizes."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..checks import check_range
from .metric import Metric, check_dims, check_keys, check_sides, finite, float64

ROWS = 10_000


def kid(block: int = 1000) -> Metric:
    """mean k(x, x') + mean k(y, y') - 2 mean k(x, y), k = (x.y/d + 1)^3 (Binkowski et al. 2018, arXiv:1801.01401).

    The mean over blocks of consecutive rows in the order in which they came, from the first 10,000 of either side, so
    nothing is drawn at random. Rows should come shuffled: a block that holds one class only would stand for all. On
    Inception features it is the KID.
    """
    check_range(at_least=2, block=block)
    return KernelDistance(block)


class KernelDistance:
    """The first 10,000 feature rows of both sides."""

    def __init__(self, block: int) -> None:
        self.block = block
        self.sides: dict[bool, list[Tensor]] = {True: [], False: []}

    def update(self, features: Float[Tensor, "n d"], real: bool) -> None:
        """Keeps these rows on one side, as long as there is room."""
        for rows in (self.sides[True] or self.sides[False])[:1]:
            check_dims("kid", rows.shape[1], features.shape[1])
        self.sides[real].append(features[: ROWS - self._count(real)].detach().clone())

    def compute(self) -> dict[str, float]:
        """{"kid": distance}, from at least two rows on either side; it may be slightly negative."""
        check_sides("kid", self._count(True), self._count(False))
        real, fake = self._rows(True), self._rows(False)
        check_dims("kid", real.shape[1], fake.shape[1])
        return finite("kid", block_mean(real.to(fake.device), fake, self.block))

    def reference(self) -> dict[str, Tensor]:
        """The rows of the real side."""
        check_sides("a reference of kid", self._count(True))
        return {"rows": self._rows(True)}

    def load_reference(self, tensors: dict[str, Tensor]) -> None:
        """Takes the real side from `reference()` of an earlier run."""
        check_keys("kid", tensors, {"rows"})
        self.sides[True] = [tensors["rows"][:ROWS]]

    def _rows(self, real: bool) -> Tensor:
        return torch.cat([rows.to(self.sides[real][0].device) for rows in self.sides[real]])

    def _count(self, real: bool) -> int:
        return sum(map(len, self.sides[real]))


def block_mean(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], block: int) -> float:
    """The mean of the squared discrepancies of the full blocks that both have; of all rows if a side has fewer."""
    size = min(block, len(x), len(y))
    pairs = zip(torch.split(x, size), torch.split(y, size), strict=False)
    return torch.stack([discrepancy(a, b) for a, b in pairs if len(a) == len(b) == size]).mean().item()


def discrepancy(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float64[Tensor, ""]:
    """MMD^2_u = (K_xx - diag) / n(n-1) + (K_yy - diag) / m(m-1) - 2 mean K_xy (Gretton et al. 2012, eq. 3)."""
    x, y = float64(x), float64(y)
    return _within(x) + _within(y) - 2 * cubic(x, y).mean()


def cubic(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """k(x, y) = (x.y / d + 1)^3 (Binkowski et al. 2018, arXiv:1801.01401, sec. 4)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def _within(x: Tensor) -> Tensor:
    kernel = cubic(x, x)
    return (kernel.sum() - kernel.diagonal().sum()) / (len(x) * (len(x) - 1))
