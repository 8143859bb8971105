"""The kernel distance between two sets of features: unbiased, hence comparable between sets of different sizes."""

from functools import partial

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..checks import check_range
from .metric import SetMetric, Values, pair_of_rows, rows
from .statistics import Rows, float64


def kid(block: int = 1000) -> SetMetric:
    """mean k(x, x') + mean k(y, y') - 2 mean k(x, y), k = (x.y/d + 1)^3 (Binkowski et al. 2018, arXiv:1801.01401).

    The mean over blocks of consecutive rows in the order in which they came, so
    nothing is drawn at random. Rows should come shuffled: a block that holds one class only would stand for all. On
    Inception features it is the KID.
    """
    check_range(at_least=2, block=block)
    return SetMetric("kid", rows, partial(_kid, block))


def _kid(block: int, real: Rows, generated: Rows) -> Values:
    return {"kid": block_mean(*pair_of_rows("kid", real, generated), block)}


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
