"""Whether generated images are copies: of training images, or of each other."""

from functools import partial

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..checks import check_range
from ..numerics import wide
from .distances import TILE, nearest
from .frechet import are_enough, distance, leaving_out
from .full_precision import exact
from .intervals import jackknife, of_mean, of_share
from .kept import GROUPS, MomentGroups, Rows, once
from .metric import Intervals, SetMetric, Values, pair_of_rows, rows
from .neighbours import radii

COPIES = 0.1  # cosine distance below which an average is that of copies


def memorization(quantile: int | float = 0.01) -> SetMetric:
    """The share of generated images with |y - x| < t for a training image x, t a quantile of |x - x'| (x' the nearest).

    `duplicates`: of those with |y - y'| < t for another generated one; `nearest`: the mean of min_x |y - x|; `mifid`:
    FD / s, s the mean of min_x (1 - |cos(x, y)|) where that is below 0.1, else 1 (Bai et al. 2021, arXiv:2106.03062;
    features without a norm are left out). A generator that copies nothing has `memorization` of about `quantile`, and
    more duplicates the more images there are: held-out images scored as generated are the floor. The intervals are
    Wilson's for the shares, Student's for the mean, and a jackknife's over ten groups for `mifid`, to be trusted where
    s is not near 0.1.
    """
    check_range(above=0, below=1, quantile=quantile)
    return SetMetric("memorization", rows, partial(_values, quantile), partial(_intervals, quantile))


def cosine_distances(real: Float[Tensor, "n d"], generated: Float[Tensor, "m d"]) -> Float64[Tensor, " m"]:
    """min_x (1 - |cos(x, y)|) of each y: 1 to an x without a norm, NaN of a y without (arXiv:2106.03062, eq. 2)."""
    with exact(real.device):
        x, y = _units(real).nan_to_num(), _units(generated)
        return torch.cat([_apart(x, some) for some in y.split(TILE)])


def _apart(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float64[Tensor, " m"]:
    """min_x (1 - |cos(x, y)|): the nearest x by float32, its distance in float64, for copies are at rounding's."""
    nearest_x = x[(y @ x.T).abs().argmax(1)].double()
    return (1 - torch.cosine_similarity(y.double(), nearest_x).abs()).clamp_min(0)


def mifid(fd: float, apart: Float[Tensor, " m"]) -> float:
    """FD / s, s the mean cosine distance if below 0.1, else 1; never divided by zero (arXiv:2106.03062, eq. 4)."""
    mean = apart.nanmean().item()
    return fd / (mean + 1e-14 if mean < COPIES else 1) if fd > 1e-8 else 0.0


def _units(rows: Tensor) -> Tensor:
    """x / |x|, NaN where that is 0 / 0."""
    norms = torch.linalg.vector_norm(wide(rows), dim=1, keepdim=True)
    return wide(rows) / norms.where(norms > 0, torch.nan)


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
    mean, (x, y) = _to_real(real, generated).mean().item(), _moments(real, generated)
    together = mifid(distance(x.total(), y.total()), _cosines(real, generated))
    return _shares(quantile, real, generated) | {"nearest": mean, "mifid": together}


def _intervals(quantile: int | float, real: Rows, generated: Rows) -> Intervals:
    shares = {name: of_share(share, generated.count) for name, share in _shares(quantile, real, generated).items()}
    mean = {"nearest": of_mean(_to_real(real, generated).tolist())}
    return shares | mean | _mifid_interval(real, generated)


def _mifid_interval(real: Rows, generated: Rows) -> Intervals:
    (x, y), apart = _moments(real, generated), _cosines(real, generated)
    if not are_enough(y):
        return {}
    whole, without = leaving_out(x, y)
    group = torch.arange(len(apart), device=apart.device) % len(without)
    return {"mifid": jackknife(mifid(whole, apart), [mifid(fd, apart[group != i]) for i, fd in enumerate(without)])}


def _cosines(real: Rows, generated: Rows) -> Float64[Tensor, " m"]:
    return once(real, generated, "cosines", lambda: cosine_distances(*pair_of_rows("memorization", real, generated)))


def _moments(real: Rows, generated: Rows) -> tuple[MomentGroups, MomentGroups]:
    """Those of real rows, and those of generated rows in ten groups."""
    return once(real, generated, "moments", lambda: (_grouped(1, real.rows), _grouped(GROUPS, generated.rows)))


def _grouped(groups: int, rows: Tensor) -> MomentGroups:
    found = MomentGroups(groups, TILE // groups)
    for some in rows.split(TILE):
        found.update(some)
    return found
