"""Features: what every one of them promises, and that distances between them rank damage as an eye does."""

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, linear

from equipoise import data
from equipoise.metrics import features
from equipoise.metrics.features import classifier, mobilenet_v2
from equipoise.metrics.frechet import distance
from equipoise.metrics.full_precision import exact
from equipoise.metrics.kept import Moments
from equipoise.spec import names

FILES = ("clip", "dinov2", "inception", "resnet56")  # their weights may have to be downloaded
LIGHT = [name for name in names(features) if name not in FILES]
each = pytest.mark.parametrize("look", [getattr(features, name)() for name in LIGHT], ids=LIGHT)


@cache
def held_out() -> tuple[Tensor, Tensor]:
    clothes = data.load("builtin", data.Format(1, 28, 28), labels=True).held_out
    assert clothes.images is not None
    return clothes.images, clothes.labels.tensor()


def clothes(count: int = 2000) -> Tensor:
    return held_out()[0][:count]


def noise(n: int, c: int, h: int, w: int, seed: int = 0) -> Tensor:
    return torch.randint(256, (n, c, h, w), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def distances(name: str, *others: Tensor) -> np.ndarray:
    """Distances of other images from half of the real ones, in units of that between the two halves."""
    look, (real, rest) = getattr(features, name)(), clothes(1600).chunk(2)
    one, *all_others = (Moments.of(look(images)) for images in (real, rest, *others))
    itself, *values = (distance(one, other) for other in all_others)
    return np.array(values) / itself


def test_the_namespace_lists_the_features_only() -> None:
    assert names(features) == sorted([*LIGHT, *FILES])
    assert LIGHT == ["builtin", "mobilenet", "pixels", "random"]


@each
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [(28, 28), (37, 53), (4, 6), (8, 8), (300, 20)])
def test_any_channels_and_size_give_finite_float32_rows(look, channels: int, size: tuple[int, int]) -> None:
    rows = look(noise(3, channels, *size))
    assert rows.dtype == torch.float32
    assert rows.isfinite().all()
    assert rows.shape[0] == 3
    assert rows.shape[1] == (look.dim or 64 * channels)
    assert not rows.requires_grad


@each
def test_no_images_give_no_rows(look) -> None:
    assert look(noise(0, 3, 16, 16)).shape == (0, look.dim or 192)


@each
def test_extract_takes_floats_between_the_grey_levels_and_passes_gradients_on(look) -> None:
    images = noise(2, 3, 32, 32)
    torch.testing.assert_close(look.extract(images.float()), look(images), rtol=1e-4, atol=1e-5)
    between = (images.float() * 0.99 + 0.3).requires_grad_()
    rows = look.extract(between)
    assert not torch.equal(rows, look(images))
    rows.square().sum().backward()
    assert between.grad is not None
    assert between.grad.isfinite().all()
    assert (between.grad != 0).any(1).float().mean() > 0.5


@pytest.mark.parametrize(
    ("name", "network", "classes"), [("builtin", classifier, 10), ("mobilenet", mobilenet_v2, 1001)]
)
def test_logits_are_the_last_layer_s(name: str, network, classes: int) -> None:
    look, head = getattr(features, name)(), network.pretrained(torch.device("cpu"))[-1]
    rows = look(noise(3, 3, 16, 16))
    with torch.autocast("cpu", torch.bfloat16):
        logits = look.logits(rows)
    assert logits.shape == (3, classes)
    torch.testing.assert_close(logits, linear(rows, head.weight, head.bias))


@pytest.mark.parametrize("name", ["pixels", "random"])
def test_features_of_no_classes_have_no_logits(name: str) -> None:
    assert getattr(features, name)().logits is None


@each
def test_a_row_does_not_depend_on_its_batch(look) -> None:
    images = noise(70, 3, 32, 32)
    alone = torch.cat([look(image[None]) for image in images[60:]])
    torch.testing.assert_close(look(images)[60:], alone, rtol=1e-4, atol=1e-5)


@each
def test_autocast_and_gradient_mode_of_the_caller_do_not_matter(look) -> None:
    images = noise(4, 1, 28, 28)
    with torch.autocast("cpu", torch.bfloat16):
        inside = look(images)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, look(images))


@pytest.fixture
def convolution() -> Iterator[Any]:
    before = torch.backends.cudnn.conv.fp32_precision
    yield torch.backends.cudnn.conv
    torch.backends.cudnn.conv.fp32_precision = before


@pytest.mark.parametrize("before", ["ieee", "tf32"])
def test_convolutions_are_ieee_inside_and_as_before_afterwards(before: str, convolution) -> None:
    convolution.fp32_precision = before
    with suppress(KeyError), exact(torch.device("cpu")):
        inside = convolution.fp32_precision
        raise KeyError
    assert inside == "ieee"
    assert convolution.fp32_precision == before


@each
def test_rows_and_cards_are_reproducible(look) -> None:
    again = getattr(features, look.name.split("(")[0])()
    assert (again.name, again.hash, again.dim, again.resizer) == (look.name, look.hash, look.dim, look.resizer)
    assert len(look.hash) == 16
    assert int(look.hash, 16) >= 0
    assert torch.equal(again(noise(4, 3, 16, 16)), look(noise(4, 3, 16, 16)))


@pytest.mark.parametrize("name", LIGHT)
def test_making_features_draws_nothing_from_the_caller_s_generator(name: str) -> None:
    classifier.pretrained.cache_clear()
    before = torch.get_rng_state()
    getattr(features, name)()(noise(1, 1, 8, 8))
    assert torch.equal(torch.get_rng_state(), before)


def test_no_two_features_share_a_hash() -> None:
    looks = [features.random(), features.random(seed=1), features.pixels(), features.pixels(4)]
    looks += [features.builtin(), features.mobilenet(), features.mobilenet(size=160)]
    assert len({look.hash for look in looks}) == len({look.name for look in looks}) == len(looks)


def test_the_numbers_behind_random_features_never_change() -> None:
    assert features.random().hash == "17927af64f35a46d"


def test_seeds_draw_different_filters() -> None:
    images = noise(2, 3, 16, 16)
    assert not torch.allclose(features.random()(images), features.random(seed=1)(images))


def test_images_that_are_not_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"random\(seed=0\) features need uint8 images .*; floats are seen by pixels"):
        features.random()(torch.zeros(2, 3, 8, 8))
    with pytest.raises((ValueError, TypeCheckError)):
        features.pixels()(torch.zeros(2, 3, 8, 8, dtype=torch.int64))
    with pytest.raises(ValueError, match="size must be at least 1, not 0"):
        features.pixels(0)


def test_points_are_their_own_pixels_and_floats_are_seen_as_they_are() -> None:
    points = 100 * torch.randn(5, 2, 1, 1)
    assert torch.equal(features.pixels()(points), points.flatten(1))
    images = 100 * torch.randn(3, 2, 8, 8)
    assert torch.allclose(features.pixels()(images), images.flatten(1))


def test_pixels_are_the_means_of_the_grid() -> None:
    images = noise(2, 3, 16, 16)
    expected = images.numpy().reshape(2, 3, 8, 2, 8, 2).mean((3, 5)).reshape(2, -1) / 255
    np.testing.assert_allclose(features.pixels()(images), expected, rtol=1e-5)


def damaged(images: Tensor, kind: str, strength: int) -> Tensor:
    if kind == "blur":
        return interpolate(avg_pool2d(images.float(), strength), 28, mode="bilinear").byte()
    spread = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)) * 16 * strength
    return (images + spread).clamp(0, 255).byte()


@pytest.mark.parametrize("name", ["builtin", "random"])
@pytest.mark.parametrize(("kind", "least"), [("blur", (10, 30, 60)), ("noise", (3, 12, 40))])
def test_distances_grow_with_damage(name: str, kind: str, least: tuple[int, ...]) -> None:
    ratios = distances(name, *(damaged(clothes(1600)[800:], kind, strength) for strength in (2, 4, 7)))
    assert sorted(ratios) == list(ratios)
    assert (ratios > least).all()


@pytest.mark.parametrize("name", ["builtin", "pixels", "random"])
def test_noise_is_far(name: str) -> None:
    assert distances(name, noise(800, 1, 28, 28)) > 100


def test_the_classifier_knows_nine_of_ten_images_it_has_never_seen() -> None:
    chances = classifier.classify(clothes())
    assert torch.allclose(chances.sum(1), torch.ones(2000), atol=1e-5)
    assert (chances.argmax(1) == held_out()[1]).float().mean() >= 0.9


def test_the_classifier_s_logits_are_linear_in_the_features() -> None:
    images, head = clothes(8), classifier.pretrained(torch.device("cpu"))[-1]
    expected = (features.builtin()(images) @ head.weight.T + head.bias).softmax(1)
    torch.testing.assert_close(classifier.classify(images), expected)


def test_the_classifier_s_file_is_small() -> None:
    assert classifier.WEIGHTS.stat().st_size < 1_000_000
