"""The cost of distances between sets of features, next to that of the packages that papers use, in one run.

    nice python benchmarks/metrics.py [--rows 50000] [--dim 2048] [--near 10000] [--subsets 100] [--size 1000]

FD of two sets against the formula by eigenvalues of the product of covariances (torchmetrics) and by a root of it
(pytorch-fid); precision, recall, density and coverage of all rows, and of `near` rows against the `prdc` package, which
holds all distances at once; KID against torch-fidelity's loop. Times are processor seconds of all threads, as other
programs run beside. A package that is not installed is left out, and the run says so.
"""

import argparse
import contextlib
import io
import resource
import time

import numpy as np
import torch
from scipy.linalg import sqrtm

from equipoise.metrics import density_coverage, fd, kid, precision_recall

BATCH = 500


def timed(run):
    """What it returns, and the processor seconds that it took."""
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        found = run()
    return found, time.process_time() - start


def said(name, seconds, value, ours=None):
    ratio = (
        "" if ours is None else f"  {seconds / ours[0]:5.1f}x equipoise, differs by {difference(value, ours[1]):.1e}"
    )
    print(f"  {name:34}{seconds:9.2f} s{ratio}", flush=True)


def difference(theirs, ours):
    """The largest relative difference of values."""
    return max(abs(a - b) / max(abs(a), 1e-12) for a, b in zip(theirs, ours, strict=True))


def mixture(rows, dim, shift, seed):
    """Correlated features, one batch after the other: 50 hidden ones and noise."""
    generator = torch.Generator().manual_seed(seed)
    hidden = min(dim, 50)
    mixing = torch.randn(hidden, dim, generator=torch.Generator().manual_seed(0)) / hidden**0.5
    for start in range(0, rows, BATCH):
        count = min(BATCH, rows - start)
        noise = torch.randn(count, dim, generator=generator) * 0.1
        yield (torch.randn(count, hidden, generator=generator) + shift) @ mixing + noise + 1


def fed(metric, rows, dim):
    for real in (True, False):
        for part in mixture(rows, dim, 0.0 if real else 0.1, 1 + real):
            metric.update(part, real)
    return metric


def frechet(rows, dim):
    print(f"FD of {rows} x {dim}")
    metric, seconds = timed(lambda: fed(fd(), rows, dim))
    said("sums of both sets, drawing included", seconds, None)
    value, seconds = timed(lambda: metric.compute()["fd"])
    ours = seconds, [value]
    said("equipoise: symmetric eigenvalues", seconds, [value])
    print(f"  {memory()}")
    moments = [metric.sides[real].total() for real in (True, False)]
    for name, root in {"eigvals of the product": eigenvalues, "sqrtm of the product": root_of_product}.items():
        value, seconds = timed(lambda root=root: formula(root, *moments))
        said(name, seconds, [value], ours)


def memory():
    return f"the most memory held so far: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"


def formula(trace_of_root, a, b):
    apart = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace()
    return (apart - 2 * trace_of_root(a.covariance, b.covariance)).item()


def eigenvalues(a, b):
    """As torchmetrics has it."""
    return torch.linalg.eigvals(a @ b).sqrt().real.sum()


def root_of_product(a, b):
    """As pytorch-fid has it."""
    return np.trace(sqrtm((a @ b).numpy()).real)


def neighbours(rows, dim, beside=True, k=5):
    print(f"precision, recall, density and coverage of {rows} x {dim}")
    first, second = fed(precision_recall(k), rows, dim), density_coverage(k)
    second.sides = first.sides
    found, seconds = timed(lambda: first.compute() | second.compute())
    said("equipoise", seconds, None)
    print(f"  {', '.join(f'{name} {value:.4f}' for name, value in found.items())}; {memory()}")
    if not beside:
        return None
    try:
        from prdc import compute_prdc
    except ImportError:
        return print("  prdc is not installed")
    sides = [first.sides[real].rows.numpy() for real in (True, False)]
    theirs, other = timed(lambda: compute_prdc(*sides, k))
    return said("prdc", other, [theirs[name] for name in found], (seconds, [*found.values()]))


def kernel(rows, dim, subsets, size):
    print(f"KID of {rows} x {dim}, {subsets} subsets of {size}")
    metric = fed(kid(subsets, size), rows, dim)
    value, seconds = timed(lambda: metric.compute()["kid"])
    said("equipoise", seconds, None)
    try:
        from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric
    except ImportError:
        return print("  torch-fidelity is not installed")
    options = {"kid_subsets": subsets, "kid_subset_size": size, "kid_kernel": "poly", "kid_kernel_poly_degree": 3}
    options |= {"kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1, "rng_seed": 2020, "verbose": False}
    sides = [metric.sides[real].rows for real in (True, False)]
    theirs, other = timed(lambda: kid_features_to_metric(*sides, **options)[KEY_METRIC_KID_MEAN])
    return said("torch-fidelity", other, [theirs], (seconds, [value]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument(
        "--near", type=int, default=10_000, help="rows for the packages that hold all distances at once"
    )
    parser.add_argument("--subsets", type=int, default=100)
    parser.add_argument("--size", type=int, default=1000)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    frechet(options.rows, options.dim)
    if options.rows > options.near:
        neighbours(options.rows, options.dim, beside=False)
    neighbours(min(options.rows, options.near), options.dim)
    kernel(min(options.rows, options.near), options.dim, options.subsets, options.size)


if __name__ == "__main__":
    main()
