"""MS-SSIM against plain numpy and scipy, and its interval."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from test_metrics import images

from equipoise.metrics import ms_ssim
from equipoise.metrics.similarity import WEIGHTS, similarities


def plain(x: np.ndarray, y: np.ndarray) -> float:
    """TensorFlow's multi-scale structural similarity of two images [c, h, w] in 0 to 255."""

    def at(a, b):
        size = min(11, *a.shape[-2:])
        places = np.arange(size) - (size - 1) / 2
        window = np.exp(-(places**2) / (2 * (1.5 * size / 11) ** 2))
        kernel = np.outer(window, window) / window.sum() ** 2
        view = lambda m: np.lib.stride_tricks.sliding_window_view(m, (size, size), axis=(1, 2))
        blur = lambda m: (view(m) * kernel).sum((-1, -2))
        ma, mb = blur(a), blur(b)
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        cs = (2 * (blur(a * b) - ma * mb) + c2) / (blur(a * a) - ma**2 + blur(b * b) - mb**2 + c2)
        return ((2 * ma * mb + c1) / (ma**2 + mb**2 + c1) * cs).mean(), cs.mean()

    halve = lambda m: ndimage.convolve(m, np.full((1, 2, 2), 0.25), mode="reflect")[:, ::2, ::2]
    found = []
    for _ in WEIGHTS:
        found.append(at(x, y))
        x, y = halve(x), halve(y)
    parts = [cs for _, cs in found[:-1]] + [found[-1][0]]
    return float(np.prod(np.clip(parts, 0, 1) ** WEIGHTS))


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (1, 45), (3, 8)])
def test_it_is_that_of_plain_numpy(channels: int, size: int) -> None:
    x, y = images(3, channels, size, 1), images(3, channels, size, 2)
    y[0] = (x[0] * 0.9).byte()
    expected = [plain(a.double().numpy(), b.double().numpy()) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(similarities(x, y), expected, rtol=2e-4)


def test_an_image_is_like_itself_and_collapse_is_one() -> None:
    x = images(6, size=32)
    np.testing.assert_allclose(similarities(x, x), 1, rtol=1e-5)
    metric = ms_ssim()
    metric.update(x[:1].expand(70, -1, -1, -1), real=False)
    assert metric.compute()["ms_ssim"] == pytest.approx(1, rel=1e-5)


def test_pairs_are_consecutive_and_so_many_at_most() -> None:
    x = images(90, 1, 16)
    expected = similarities(x[0:80:2], x[1:80:2]).double().mean().item()
    metric = ms_ssim(pairs=40)
    for part in x.split(11):
        metric.update(part, real=False)
    assert metric.compute()["ms_ssim"] == pytest.approx(expected, rel=1e-5)
    again = ms_ssim(pairs=40)
    again.update(x[:37], real=True)
    again.sides[False] = again.statistic(False)
    again.sides[False].load_state_dict(again.reference())
    again.update(x[37:], real=False)
    assert again.compute() == metric.compute()


def test_the_interval_covers_the_mean_of_many_pairs() -> None:
    truth = similarities(images(4000, 1, 16, 1), images(4000, 1, 16, 2)).double().mean().item()
    held = []
    for seed in range(80):
        metric = ms_ssim()
        metric.update(images(60, 1, 16, 10 + seed), real=False)
        low, high = metric.intervals()["ms_ssim"]
        held.append(low <= truth <= high)
    assert 0.86 <= np.mean(held) <= 1


def test_one_pair_has_no_interval_and_none_is_refused() -> None:
    metric = ms_ssim()
    metric.update(torch.cat([images(3)]), real=False)
    assert 0 <= metric.compute()["ms_ssim"] <= 1
    assert metric.intervals() == {}
    with pytest.raises(ValueError, match="pairs must be at least 2"):
        ms_ssim(pairs=1)
