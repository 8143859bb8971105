"""The Frechet distance between the Gaussians of two sets of features."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import scipy
import torch
from jaxtyping import Float64
from torch import Tensor

from .intervals import FEWEST, jackknife, of_mean
from .kept import ClassMoments, MomentGroups, Moments
from .metric import Intervals, SetMetric, Values, check_shapes, class_moments, moments

ENOUGH = 1_000  # images for an extrapolation


def fd() -> SetMetric:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) (Heusel et al. 2017, arXiv:1706.08500, eq. 6).

    On Inception features it is the FID. For n generated images it is too large by about c / n: compare equal counts, or
    take `fd_infinity`. The interval is that of a jackknife over ten groups.
    """
    return SetMetric("fd", moments, partial(_fd, "fd"), partial(_fd_interval, "fd"))


def fid() -> SetMetric:
    """The Frechet distance on Inception features, which alone is called FID (Heusel et al. 2017, arXiv:1706.08500)."""
    return SetMetric("fid", moments, partial(_fd, "fid"), partial(_fd_interval, "fid"), features="inception")


def fd_infinity() -> SetMetric:
    """FD of infinitely many generated images: g FD - (g - 1) mean FD_i, without group i of g (Quenouille 1956).

    It extrapolates FD in 1 / n, as Chong and Forsyth do by a line through many n (2020, arXiv:1911.07023): no bias of
    first order is left. It may be slightly negative.
    """
    return SetMetric("fd_infinity", moments, _fd_infinity, _fd_infinity_interval)


def intra_fd() -> SetMetric:
    """The mean over classes of FD(real | y, G(z, y)) (Miyato and Koyama 2018, arXiv:1802.05637, Sec. 4).

    The distance of each class is there besides. They are of fewer images than `fd`, hence larger. The intervals are
    those of a jackknife over five groups of each class.
    """
    return SetMetric("intra_fd", class_moments, _intra_fd, _intra_fd_interval, labelled=True)


def distance(a: Moments, b: Moments) -> float:
    """|m_a - m_b|^2 + tr C_a + tr C_b - 2 tr (C_a C_b)^(1/2) (Dowson and Landau 1982), finite for singular C too."""
    return distances(a, [b])[0]


def distances(a: Moments, others: Sequence[Moments]) -> list[float]:
    """The distance of each of several from `a`, on the CPU."""
    check_shapes("fd", a.mean.shape, others[0].mean.shape)
    return [_distance(a.to("cpu"), b.to("cpu")) for b in others]


def _distance(a: Moments, b: Moments) -> float:
    apart = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace()
    if not (a.scatter.isfinite().all() and b.scatter.isfinite().all()):
        return float("nan")
    squares = products(a.covariance, b.covariance)
    noise = squares[-1:] * len(squares) * torch.finfo(squares.dtype).eps
    return max((apart - 2 * squares[squares > noise].sqrt().sum()).item(), 0.0)


def products(a: Float64[Tensor, "d d"], b: Float64[Tensor, "d d"]) -> Float64[Tensor, " k"]:
    """The eigenvalues of the product of two covariances, in ascending order; some that are 0 may be left out.

    They are those of the symmetric A^T C_b A, where C_a = A A^T by Cholesky: no root of a product, no imaginary parts.
    Where both are singular, A has only the directions in which C_a is not.
    """
    for x, y in ((a, b), (b, a)):
        A, failed = torch.linalg.cholesky_ex(x)
        if not failed:
            lower, _ = scipy.linalg.lapack.dsygst(
                np.asfortranarray(y.numpy()), np.asfortranarray(A.numpy()), itype=2, lower=1
            )
            return torch.linalg.eigvalsh(torch.from_numpy(lower))
    values, vectors = torch.linalg.eigh(a)
    kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    A = vectors[:, kept] * values[kept].sqrt()
    return torch.linalg.eigvalsh(A.T @ b @ A)


def leaving_out(real: MomentGroups, generated: MomentGroups) -> tuple[float, list[float]]:
    """The distance of all generated images, and that of all but each group."""
    groups = generated.groups()
    but_one = [Moments.merged(groups[:number] + groups[number + 1 :]) for number in range(len(groups))]
    whole, *without = distances(real.total(), [generated.total(), *but_one])
    return whole, without


def are_enough(generated: MomentGroups) -> bool:
    """Whether there are groups, each of images enough, for an interval."""
    groups = len(generated.groups())
    return groups > 1 and generated.count >= FEWEST * groups


def _fd(name: str, real: MomentGroups, generated: MomentGroups) -> Values:
    return {name: distance(real.total(), generated.total())}


def _fd_interval(name: str, real: MomentGroups, generated: MomentGroups) -> Intervals:
    return {name: jackknife(*leaving_out(real, generated))} if are_enough(generated) else {}


def _fd_infinity(real: MomentGroups, generated: MomentGroups) -> Values:
    return {"fd_infinity": float(np.mean(_corrected(real, generated)))}


def _fd_infinity_interval(real: MomentGroups, generated: MomentGroups) -> Intervals:
    return {"fd_infinity": of_mean(_corrected(real, generated))}


def _corrected(real: MomentGroups, generated: MomentGroups) -> list[float]:
    """g v - (g - 1) v_i of each group, whose mean has no bias of first order."""
    if generated.count < ENOUGH:
        raise ValueError(f"fd_infinity needs at least {ENOUGH} generated images, got {generated.count}")
    count = len(generated.groups())
    whole, without = leaving_out(real, generated)
    return [count * whole - (count - 1) * value for value in without]


def _intra_fd(real: ClassMoments, generated: ClassMoments) -> Values:
    few = [number for number, group in real.classes.items() if min(group.count, generated.of(number).count) < 2]
    if few:
        raise ValueError(f"intra_fd needs 2 real and 2 generated images of each class; class {few[0]} has fewer")
    values = {n: distance(group.total(), generated.of(n).total()) for n, group in sorted(real.classes.items())}
    return {"intra_fd": float(np.mean([*values.values()]))} | {f"intra_fd.{n}": v for n, v in values.items()}


def _intra_fd_interval(real: ClassMoments, generated: ClassMoments) -> Intervals:
    each = {n: _fd_interval(f"intra_fd.{n}", group, generated.of(n)) for n, group in sorted(real.classes.items())}
    if not all(each.values()):
        return {}
    halves = [(high - low) / 2 for part in each.values() for low, high in part.values()]
    middle, reach = _intra_fd(real, generated)["intra_fd"], float(np.linalg.norm(halves)) / len(halves)
    return {"intra_fd": (middle - reach, middle + reach)} | {n: i for part in each.values() for n, i in part.items()}
