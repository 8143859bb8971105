"""Channels and resizers, against their formulas and against Pillow."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from equipoise.metrics.features import preprocess

SHAPES = [(5, 7), (32, 32), (40, 13), (1, 2), (64, 100)]


def noise(n: int, c: int, h: int, w: int) -> Tensor:
    return torch.randint(256, (n, c, h, w), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_colours_become_grey_by_their_luma_and_alpha_shows_white() -> None:
    red = torch.tensor([200, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    assert preprocess.grey(red).item() == pytest.approx(59.8)
    clear, solid = (torch.cat([red, torch.full((1, 1, 1, 1), a, dtype=torch.uint8)], 1) for a in (0, 255))
    assert preprocess.rgb(clear).flatten().tolist() == [255, 255, 255]
    assert preprocess.rgb(solid).flatten().tolist() == [200, 0, 0]
    assert preprocess.rgb(red[:, :1]).flatten().tolist() == [200, 200, 200]


def test_any_other_number_of_channels_is_seen_as_its_mean() -> None:
    images = noise(2, 5, 3, 3)
    torch.testing.assert_close(preprocess.rgb(images), images.float().mean(1, keepdim=True).expand(-1, 3, -1, -1))


@pytest.mark.parametrize("shape", SHAPES[:4])
def test_tensorflow_s_resize_is_its_formula(shape: tuple[int, int]) -> None:
    images, size = noise(1, 2, *shape).float(), 19
    expected = np.empty((2, size, size))
    for i in range(size):
        for j in range(size):
            expected[:, i, j] = at(images[0].double().numpy(), i * shape[0] / size, j * shape[1] / size)
    np.testing.assert_allclose(preprocess.tensorflow_bilinear(images, size)[0], expected, atol=1e-3)


def at(image: np.ndarray, y: float, x: float) -> np.ndarray:
    top, left = int(y), int(x)
    below, right = min(top + 1, image.shape[1] - 1), min(left + 1, image.shape[2] - 1)
    over = image[:, top, left] * (1 - x + left) + image[:, top, right] * (x - left)
    under = image[:, below, left] * (1 - x + left) + image[:, below, right] * (x - left)
    return over * (1 - y + top) + under * (y - top)


@pytest.mark.parametrize("size", [19, 299])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "filter_"), [("clean", Image.BICUBIC), ("bilinear", Image.BILINEAR)])
def test_clean_and_bilinear_are_pillow_s_of_float32(name: str, filter_: int, shape: tuple[int, int], size: int) -> None:
    images = noise(1, 2, *shape)
    pillow = [Image.fromarray(plane.astype(np.float32)).resize((size, size), filter_) for plane in images[0].numpy()]
    expected = np.stack([np.asarray(plane).clip(0, 255) for plane in pillow])
    np.testing.assert_allclose(preprocess.resizer(name)(images.float(), size)[0], expected, atol=2e-3)


def test_values_are_standardised_by_channel() -> None:
    images = noise(2, 3, 4, 4).float()
    mean, deviation = (0.1, 0.2, 0.3), (1.0, 2.0, 4.0)
    expected = (images.double().numpy() / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(deviation, (3, 1, 1))
    np.testing.assert_allclose(preprocess.standardised(images, mean, deviation), expected, atol=1e-6)
