"""The sliced Wasserstein distance against plain numpy and scipy."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.stats import wasserstein_distance
from test_metrics import held, images

from equipoise.metrics import sliced, sliced_wasserstein

KERNEL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])[None, None] / 256


def pyramid(rows: np.ndarray, count: int) -> list[np.ndarray]:
    """The Laplacian pyramid as progressive growing's code makes it, with scipy."""
    blur = lambda maps: ndimage.convolve(maps, KERNEL, mode="mirror")
    found = [rows.astype(float)]
    for _ in range(count - 1):
        found.append(blur(found[-1])[:, :, ::2, ::2])
        up = np.zeros_like(found[-2])
        up[:, :, ::2, ::2] = found[-1]
        found[-2] = found[-2] - 4 * blur(up)
    return found


@pytest.mark.parametrize(("channels", "size", "expected"), [(3, 64, [64, 32, 16]), (1, 28, [28]), (2, 45, [45, 23])])
def test_the_levels_are_those_of_a_laplacian_pyramid(channels: int, size: int, expected: list[int]) -> None:
    assert sliced.levels(size, size + 3) == expected
    rows = images(3, channels, size)
    for level, plain in enumerate(pyramid(rows.numpy(), len(expected))):
        found = sliced.laplacian(rows.float(), level, len(expected) - 1)
        np.testing.assert_allclose(found, plain, atol=1e-4)


def test_a_level_is_the_mean_transport_of_normalised_patches_on_lines() -> None:
    real, generated = images(6, 2, 20, 1), images(9, 2, 20, 2)
    patches = []
    for rows in (real, generated[:6]):
        places = np.random.default_rng(0).integers([14, 14], size=(6 * 5, 2))
        cut = [rows.numpy()[n // 5, :, t : t + 7, s : s + 7].astype(float) for n, (t, s) in enumerate(places)]
        stacked = np.stack(cut)
        stacked -= stacked.mean((0, 2, 3), keepdims=True)
        patches.append((stacked / stacked.std((0, 2, 3), keepdims=True)).reshape(30, -1))
    lines = np.random.default_rng(0).standard_normal((4, 98))
    lines /= np.linalg.norm(lines, axis=1, keepdims=True)
    expected = 1000 * np.mean([wasserstein_distance(*(side @ line for side in patches)) for line in lines])
    metric = sliced_wasserstein(patches=5, repeats=1, directions=4)
    metric.update(real, real=True)
    metric.update(generated, real=False)
    found = metric.compute()
    assert found["sliced_wasserstein.20"] == pytest.approx(expected, rel=1e-4)
    assert found["sliced_wasserstein"] == found["sliced_wasserstein.20"]


def test_blurred_images_are_farther_at_the_finest_level_than_at_the_coarsest() -> None:
    rows = torch.randint(256, (60, 1, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    metric = sliced_wasserstein(patches=32, repeats=1)
    metric.update(rows[:30], real=True)
    metric.update(sliced._blur(rows[30:].float()).byte(), real=False)
    found = metric.compute()
    assert list(found) == ["sliced_wasserstein", *(f"sliced_wasserstein.{size}" for size in (64, 32, 16))]
    assert found["sliced_wasserstein.64"] > 1.5 * found["sliced_wasserstein.16"]


def test_images_of_one_colour_have_a_distance() -> None:
    metric = sliced_wasserstein(patches=4, repeats=1)
    metric.update(images(4), real=True)
    metric.update(torch.zeros(4, 3, 16, 16, dtype=torch.uint8), real=False)
    assert metric.compute()["sliced_wasserstein"] > 100


def test_a_set_is_at_0_from_itself() -> None:
    metric = sliced_wasserstein(patches=4, repeats=1)
    for real in (True, False):
        metric.update(images(6), real=real)
    assert metric.compute()["sliced_wasserstein"] == 0


def scored(generated: torch.Tensor, count: int = 160):
    metric = sliced_wasserstein(patches=8, repeats=1, directions=16)
    metric.update(images(count, seed=0), real=True)
    metric.update(generated, real=False)
    return metric


@pytest.mark.parametrize("shift", [0.0, 0.25])
def test_the_interval_covers_the_mean_over_draws(shift: float) -> None:
    share, width = held([scored(images(160, seed=seed, shift=shift)) for seed in range(1, 101)], "sliced_wasserstein")
    assert share >= 0.88
    assert 0.8 <= width <= 2


def test_the_interval_is_that_of_eight_parts_against_as_many_real_images() -> None:
    generated = images(163, seed=1)
    whole = scored(generated).compute()["sliced_wasserstein"]
    parts = [scored(generated[turn:160:8], 20).compute()["sliced_wasserstein"] for turn in range(8)]
    low, high = scored(generated).intervals()["sliced_wasserstein"]
    assert (low + high) / 2 == pytest.approx(whole)
    assert (high - low) / 2 == pytest.approx(2.3646 * np.std(parts, ddof=1) / 8**0.5, rel=1e-4)


def test_eighty_images_have_an_interval_and_fewer_have_none() -> None:
    assert scored(images(80, seed=1)).intervals().keys() == {"sliced_wasserstein", "sliced_wasserstein.16"}
    assert scored(images(79, seed=1)).intervals() == {}
    assert scored(images(160, seed=1), 79).intervals() == {}


def test_small_images_are_refused() -> None:
    metric = sliced_wasserstein()
    for real in (True, False):
        metric.update(images(4, size=15), real)
    with pytest.raises(ValueError, match="at least 16 pixels a side, got 15x15"):
        metric.compute()
