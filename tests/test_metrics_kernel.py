"""KID: the loop over all pairs, the subsets of torch-fidelity, and its interval."""

import numpy as np
import pytest
import torch
from test_metrics import normal

from equipoise.metrics import kid
from equipoise.metrics.kernel import discrepancies, discrepancy


def plain(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased squared discrepancy of the cubic kernel, of as many rows on either side."""
    k = lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3
    within = lambda z: (k(z, z).sum() - np.trace(k(z, z))) / (len(z) * (len(z) - 1))
    return within(x) + within(y) - 2 * k(x, y).mean()


def scored(metric, real, generated):
    metric.update(real, real=True)
    metric.update(generated, real=False)
    return metric


def test_kid_is_the_loop_over_all_pairs() -> None:
    x, y = normal(9, 4, 1).double().numpy(), normal(7, 4, 2).double().numpy()
    k = lambda a, b: (float(a @ b) / 4 + 1) ** 3
    within = lambda z: np.mean([k(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j])
    expected = within(x) + within(y) - 2 * np.mean([k(a, b) for a in x for b in y])
    assert discrepancy(torch.tensor(x), torch.tensor(y)).item() == pytest.approx(expected, rel=1e-10)


def test_the_subsets_are_those_of_torch_fidelity() -> None:
    """Its loop: a RandomState of 2020, a choice without replacement of real rows, then one of generated rows."""
    x, y = normal(60, 5, 1), normal(45, 5, 2, 0.4)
    draw, expected = np.random.RandomState(2020), []
    for _ in range(7):
        a, b = x[draw.choice(60, 20, replace=False)], y[draw.choice(45, 20, replace=False)]
        expected.append(plain(a.numpy(), b.numpy()))
    assert discrepancies(x, y, 7, 20) == pytest.approx(expected, rel=1e-4)
    found = scored(kid(subsets=7, size=20), x, y).compute()["kid"]
    assert found == pytest.approx(np.mean(expected), rel=1e-4)


def test_subsets_of_all_rows_are_one() -> None:
    x, y = normal(30, 5, 1), normal(30, 5, 2)
    assert discrepancies(x, y, 100, 1000) == pytest.approx([plain(x.numpy(), y.numpy())], rel=1e-3)
    assert len(discrepancies(x, y[:20], 100, 1000)) == 100


def test_kid_is_unbiased() -> None:
    found = [
        scored(kid(), normal(40, 8, 2 * seed), normal(40, 8, 2 * seed + 1)).compute()["kid"] for seed in range(200)
    ]
    assert abs(np.mean(found)) < 3 * np.std(found) / len(found) ** 0.5


def test_the_interval_counts_what_does_not_overlap() -> None:
    real = normal(5000, 4, 0)
    truth = discrepancies(normal(4000, 4, 1), normal(4000, 4, 2, 0.3), 1, 4000).item()
    covered = []
    for seed in range(50):
        metric = scored(kid(subsets=20, size=50), real, normal(600, 4, 10 + seed, 0.3))
        low, high = metric.intervals()["kid"]
        covered.append(low <= truth <= high)
    assert 0.85 <= np.mean(covered) <= 1
    assert scored(kid(size=50), real, normal(99, 4)).intervals() == {}


@pytest.mark.parametrize(
    ("wrong", "told"), [({"size": 1}, "size must be at least 2"), ({"subsets": 0}, "subsets must")]
)
def test_subsets_without_pairs_are_refused(wrong: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        kid(**wrong)
