"""The Frechet distance between the Gaussians of two sets of features."""

from collections.abc import Sequence
from functools import partial, reduce
from operator import add

import numpy as np
import torch
from torch import Tensor

from .intervals import jackknife, of_mean
from .metric import Intervals, SetMetric, Values, check_shapes, class_moments, moments
from .statistics import BLOCK, ClassMoments, MomentGroups, Moments

FEWEST = 5  # groups that give an interval


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

    It extrapolates FD in 1 / n, as Chong and Forsyth do by a line through many n (2020, arXiv:1911.07023), and so has
    no bias of first order; it may be slightly negative.
    """
    return SetMetric("fd_infinity", moments, _fd_infinity, _fd_infinity_interval)


def intra_fd() -> SetMetric:
    """The mean over classes of FD(real | y, G(z, y)) (Miyato and Koyama 2018, arXiv:1802.05637, Sec. 4).

    The distance of each class is there besides. They are of fewer images than `fd`, hence larger.
    """
    return SetMetric("intra_fd", class_moments, _intra_fd, labelled=True)


def distance(a: Moments, b: Moments) -> float:
    """|m_a - m_b|^2 + tr C_a + tr C_b - 2 tr (C_a C_b)^(1/2) (Dowson and Landau 1982), finite for singular C too."""
    return distances(a, [b])[0]


def distances(a: Moments, others: Sequence[Moments]) -> list[float]:
    """The distance of each of several from `a`, on their device.

    With C_a = A A^T the last trace is the sum of the roots of the eigenvalues of A^T C_b A, which is symmetric: no root
    of a product, no imaginary parts.
    """
    check_shapes("fd", a.mean.shape, others[0].mean.shape)
    a = a.to(others[0].mean.device)
    if not (a.scatter.isfinite().all() and all(b.scatter.isfinite().all() for b in others)):
        return [float("nan")] * len(others)
    A = factor(a.covariance)
    return [_distance(a, A, b) for b in others]


def factor(covariance: Tensor) -> Tensor:
    """A of C = A A^T: Cholesky's, or where C is singular that of its eigenvectors but those that are rounding."""
    lower, failed = torch.linalg.cholesky_ex(covariance)
    if not failed:
        return lower
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    return vectors[:, kept] * values[kept].sqrt()


def _distance(a: Moments, A: Tensor, b: Moments) -> float:
    squares = torch.linalg.eigvalsh(A.T @ b.covariance @ A)
    noise = squares[-1:] * len(squares) * torch.finfo(squares.dtype).eps
    shared = squares[squares > noise].sqrt().sum()
    apart = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace()
    return max((apart - 2 * shared).item(), 0.0)


def leaving_out(real: MomentGroups, generated: MomentGroups) -> tuple[float, list[float]]:
    """The distance of all generated images, and that of all but each group."""
    groups = generated.groups()
    but_one = [reduce(add, groups[:number] + groups[number + 1 :]) for number in range(len(groups))]
    whole, *without = distances(real.total(), [generated.total(), *but_one])
    return whole, without


def _fd(name: str, real: MomentGroups, generated: MomentGroups) -> Values:
    return {name: distance(real.total(), generated.total())}


def _fd_interval(name: str, real: MomentGroups, generated: MomentGroups) -> Intervals:
    return {name: jackknife(*leaving_out(real, generated))} if len(generated.groups()) >= FEWEST else {}


def _fd_infinity(real: MomentGroups, generated: MomentGroups) -> Values:
    return {"fd_infinity": float(np.mean(_corrected(real, generated)))}


def _fd_infinity_interval(real: MomentGroups, generated: MomentGroups) -> Intervals:
    return {"fd_infinity": of_mean(_corrected(real, generated))}


def _corrected(real: MomentGroups, generated: MomentGroups) -> list[float]:
    """g v - (g - 1) v_i of each group, whose mean has no bias of first order."""
    count = len(generated.groups())
    if count < FEWEST:
        raise ValueError(f"fd_infinity needs at least {FEWEST * BLOCK} generated images, got {generated.count}")
    whole, without = leaving_out(real, generated)
    return [count * whole - (count - 1) * value for value in without]


def _intra_fd(real: ClassMoments, generated: ClassMoments) -> Values:
    few = [number for number, group in real.classes.items() if min(group.count, generated.count_of(number)) < 2]
    if few:
        raise ValueError(f"intra_fd needs 2 real and 2 generated images of each class; class {few[0]} has fewer")
    values = {number: distance(group, generated.classes[number]) for number, group in sorted(real.classes.items())}
    return {"intra_fd": float(np.mean([*values.values()]))} | {f"intra_fd.{n}": v for n, v in values.items()}
