"""The kernel distance between two sets of features: unbiased, hence comparable between sets of different sizes."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..checks import check_range
from ..numerics import wide
from .full_precision import exact
from .intervals import around
from .kept import Rows, once
from .metric import Intervals, SetMetric, Values, pair_of_rows, rows

SEED = 2020  # torch-fidelity's


def kid(subsets: int = 100, size: int = 1000) -> SetMetric:
    """mean k(x, x') + mean k(y, y') - 2 mean k(x, y), k = (x.y/d + 1)^3 (Binkowski et al. 2018, arXiv:1801.01401).

    The mean over random subsets of `size` rows of either side, which are those of torch-fidelity; smaller ones where a
    side has fewer rows. Without bias for any number of images, so it may be negative. The interval is Student's over as
    many subsets as the generated rows hold without overlap, and there is none for fewer than two. On Inception features
    it is the KID.
    """
    check_range(at_least=1, subsets=subsets)
    check_range(at_least=2, size=size)
    return SetMetric("kid", rows, partial(_kid, subsets, size), partial(_interval, subsets, size))


def discrepancies(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], subsets: int, size: int
) -> Float64[np.ndarray, " s"]:
    """The squared discrepancy of each pair of random subsets; of all rows, once, where they are no more than `size`."""
    size = min(size, len(x), len(y))
    count = subsets if size < max(len(x), len(y)) else 1
    return np.array([discrepancy(x[i], y[j]).item() for i, j in _draws(len(x), len(y), size, count)])


def discrepancy(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float64[Tensor, ""]:
    """MMD^2_u = (K_xx - diag) / n(n-1) + (K_yy - diag) / m(m-1) - 2 mean K_xy (Gretton et al. 2012, eq. 3)."""
    with exact(x.device):
        return _within(x) + _within(y) - 2 * _sum(cubic(x, y)) / (len(x) * len(y))


def cubic(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """k(x, y) = (x.y / d + 1)^3 (Binkowski et al. 2018, arXiv:1801.01401, sec. 4)."""
    linear = (wide(x) @ wide(y).T).div_(x.shape[1]).add_(1)
    return linear.square() * linear


def _within(x: Tensor) -> Tensor:
    kernel = cubic(x, x)
    return (_sum(kernel) - _sum(kernel.diagonal())) / (len(x) * (len(x) - 1))


def _sum(kernel: Tensor) -> Tensor:
    """The sum in float64, on the CPU where the device has none (Apple's)."""
    return kernel.sum(dtype=torch.float64) if kernel.device.type != "mps" else kernel.cpu().double().sum()


def _draws(n: int, m: int, size: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = np.random.RandomState(SEED)
    chosen = lambda total: torch.from_numpy(generator.choice(total, size, replace=False))
    for _ in range(count):
        yield chosen(n), chosen(m)


def _found(subsets: int, size: int, real: Rows, generated: Rows) -> Float64[np.ndarray, " s"]:
    x, y = pair_of_rows("kid", real, generated)
    return once(real, generated, ("kid", subsets, size), lambda: discrepancies(x, y, subsets, size))


def _kid(subsets: int, size: int, real: Rows, generated: Rows) -> Values:
    return {"kid": float(_found(subsets, size, real, generated).mean())}


def _interval(subsets: int, size: int, real: Rows, generated: Rows) -> Intervals:
    found = _found(subsets, size, real, generated)
    apart = min(len(found), generated.count // min(size, real.count, generated.count))
    error = lambda: float(found.std(ddof=1)) / apart**0.5
    return {"kid": around(float(found.mean()), error(), apart - 1)} if apart > 1 else {}
