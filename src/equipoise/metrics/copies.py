"""Whether generated images are copies: of training images, or of each other."""

from functools import partial, reduce
from operator import add

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..checks import check_range
from ..numerics import wide
from .frechet import distance
from .full_precision import exact
from .intervals import of_mean, of_share
from .kept import Moments, Rows, once
from .metric import Intervals, SetMetric, Values, pair_of_rows, rows
from .neighbours import radii
from .pairwise import TILE, nearest

COPIES = 0.1  # cosine distance below which an average is that of copies


def memorization(quantile: int | float = 0.01) -> SetMetric:
    """The share of generated images with |y - x| < t for a training image x, t a quantile of |x - x'| (x' the nearest).

    `duplicates`: of those with |y - y'| < t for another generated one; `nearest`: the mean of min_x |y - x|; `mifid`:
    FD / s, s the mean of min_x (1 - |cos(x, y)|) where that is below 0.1, else 1 (Bai et al. 2021, arXiv:2106.03062;
    features without a norm are left out). A generator that copies nothing has `memorization` of about `quantile`, and
    more duplicates the more images there are: held-out images scored as generated are the floor. The intervals are
    Wilson's for the shares and Student's for the mean.
    """
    check_range(above=0, below=1, quantile=quantile)
    return SetMetric("memorization", rows, partial(_values, quantile), partial(_intervals, quantile))


def cosine_distance(real: Float[Tensor, "n d"], generated: Float[Tensor, "m d"]) -> float:
    """mean_y min_x (1 - |cos(x, y)|), over rows with a norm; 1 where it is 0.1 or more (arXiv:2106.03062, eq. 2)."""
    with exact(real.device):
        x, y = _units(real), _units(generated)
        if not (len(x) and len(y)):
            return 1.0
        apart = torch.cat([_apart(x, some) for some in y.split(TILE)]).mean().item()
    return apart if apart < COPIES else 1.0


def _apart(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float64[Tensor, " m"]:
    """min_x (1 - |cos(x, y)|): the nearest x by float32, its distance in float64, for copies are at rounding's."""
    nearest_x = x[(y @ x.T).abs().argmax(1)].double()
    return (1 - torch.cosine_similarity(y.double(), nearest_x).abs()).clamp_min(0)


def mifid(real: Float[Tensor, "n d"], generated: Float[Tensor, "m d"]) -> float:
    """FD / s, zero where FD is; never divided by zero (arXiv:2106.03062, eq. 4)."""
    fd = distance(*(reduce(add, map(Moments.of, rows.split(TILE))) for rows in (real, generated)))
    return fd / (cosine_distance(real, generated) + 1e-14) if fd > 1e-8 else 0.0


def _units(rows: Tensor) -> Tensor:
    norms = torch.linalg.vector_norm(wide(rows), dim=1, keepdim=True)
    kept = norms[:, 0] > 0
    return wide(rows)[kept] / norms[kept]


def _threshold(quantile: int | float, real: Rows) -> Tensor:
    return radii(real, 1).sqrt().quantile(quantile)


def _to_real(real: Rows, generated: Rows) -> Tensor:
    """The distance of each generated row to the nearest real one."""
    x, y = pair_of_rows("memorization", real, generated)
    return once(real, generated, "nearest", lambda: nearest(x, y, 1)[1][:, 0])


def _shares(quantile: int | float, real: Rows, generated: Rows) -> Values:
    distances, threshold = _to_real(real, generated), _threshold(quantile, real)
    near = {"memorization": distances, "duplicates": radii(generated, 1).sqrt()}
    return {name: (found < threshold.to(found.device)).double().mean().item() for name, found in near.items()}


def _values(quantile: int | float, real: Rows, generated: Rows) -> Values:
    mean = _to_real(real, generated).mean().item()
    together = once(real, generated, "mifid", lambda: mifid(*pair_of_rows("memorization", real, generated)))
    return _shares(quantile, real, generated) | {"nearest": mean, "mifid": together}


def _intervals(quantile: int | float, real: Rows, generated: Rows) -> Intervals:
    shares = {name: of_share(share, generated.count) for name, share in _shares(quantile, real, generated).items()}
    return shares | {"nearest": of_mean(_to_real(real, generated).tolist())}
