"""Laws of all metrics, whatever they see: batches, stored references, refusals, order of better and worse."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from equipoise import metrics
from equipoise.metrics import SetMetric, kid
from equipoise.spec import names

NEEDS_A_FILE = {"lpips_diversity"}  # test_metrics_lpips.py; metrics of generators: test_metrics_of_generators.py
ALL = [getattr(metrics, name) for name in names(metrics) if name not in NEEDS_A_FILE]
CHOICES = [make for make in ALL if isinstance(make(), SetMetric)]
COMPARING = [make for make in CHOICES if make().needs_real]
SEEING_VECTORS = [make for make in CHOICES if make().sees != "images"]
each = pytest.mark.parametrize("make", CHOICES)
each_comparing = pytest.mark.parametrize("make", COMPARING)


def normal(n: int, d: int, seed: int = 0, shift: float = 0.0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def images(n: int, channels: int = 3, size: int = 16, seed: int = 0, shift: float = 0.0) -> Tensor:
    """Smooth random images: coarse noise, enlarged."""
    coarse = torch.rand(n, channels, 4, 4, generator=torch.Generator().manual_seed(seed)) + shift
    return (torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear") * 200).clamp(0, 255).byte()


def drawn(metric: SetMetric, seed: int, shift: float = 0.0, larger: int = 0) -> Tensor:
    """Rows as the metric sees them, enough for all of them, of a size, moved by so much."""
    if metric.sees == "images":
        return images(100, size=16 + larger, seed=seed, shift=shift)
    return normal(1000, 5 + larger, seed, shift)


def labels(rows: Tensor) -> Tensor:
    """A class for each row that its values tell."""
    middle = rows.flatten(1).float().mean(1)
    return (middle > middle.median()).long()


def feed(metric: SetMetric, rows: Tensor, real: bool, batch: int = 1000, classes: Tensor | None = None) -> SetMetric:
    known = labels(rows) if classes is None else classes
    for part, label in zip(rows.split(batch), known.split(batch), strict=True):
        metric.update(part, real, label if metric.labelled else None)
    return metric


def values(make, real: Tensor, generated: Tensor, batch: int = 1000) -> dict[str, float]:
    return feed(feed(make(), real, True, batch), generated, False, batch).compute()


def held(metrics: list, name: str) -> tuple[float, float]:
    """Of metrics of many draws: the share of intervals that hold the mean value, and their width over what it takes."""
    values = np.array([metric.compute()[name] for metric in metrics])
    low, high = np.array([metric.intervals()[name] for metric in metrics]).T
    within = (low <= values.mean()) & (values.mean() <= high)
    return float(within.mean()), float((high - low).mean() / (2 * 1.96 * values.std(ddof=1)))


def both(make) -> tuple[Tensor, Tensor]:
    return drawn(make(), 1), drawn(make(), 2, 0.2)


@each
def test_values_are_floats(make) -> None:
    found = values(make, *both(make))
    assert found
    assert all(type(value) is float for value in found.values())


@each
@pytest.mark.parametrize("batch", [1, 7, 128])
def test_values_do_not_depend_on_batching(make, batch: int) -> None:
    real, generated = both(make)
    assert values(make, real, generated, batch) == pytest.approx(values(make, real, generated), rel=1e-9, abs=1e-12)


@each
def test_sides_may_come_interleaved(make) -> None:
    real, generated = both(make)
    mixed, size = make(), len(real) // 4 + 1
    for a, b, la, lb in zip(*(x.split(size) for x in (real, generated, labels(real), labels(generated))), strict=True):
        feed(mixed, b, False, classes=lb)
        feed(mixed, a, True, classes=la)
    assert mixed.compute() == pytest.approx(values(make, real, generated), rel=1e-9, abs=1e-12)


@each_comparing
def test_a_stored_reference_replaces_the_real_side(make, tmp_path) -> None:
    real, generated = both(make)
    first = feed(make(), real, True)
    stored = {name: tensor.contiguous() for name, tensor in first.reference().items()}
    save_file(stored, tmp_path / "reference.safetensors")
    second = feed(make(), drawn(make(), 9), True)
    second.load_reference(load_file(tmp_path / "reference.safetensors"))
    expected = values(make, real, generated)
    assert feed(second, generated, False).compute() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@each_comparing
def test_a_stored_reference_can_be_added_to(make) -> None:
    real, generated = both(make)
    half, second = len(real) // 2, make()
    known = labels(real)
    second.load_reference(feed(make(), real[:half], True, classes=known[:half]).reference())
    feed(second, real[half:], True, classes=known[half:])
    expected = values(make, real, generated)
    assert feed(second, generated, False).compute() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@each
def test_updates_do_not_keep_the_caller_s_memory(make) -> None:
    real, generated = both(make)
    expected = values(make, real, generated)
    kept = feed(feed(make(), real, True), generated, False)
    real.zero_()
    generated.zero_()
    assert kept.compute() == expected


@each
def test_what_is_added_after_a_value_counts(make) -> None:
    real, generated = both(make)
    grown, half, known = feed(make(), real, True), len(generated) // 2 + 10, labels(generated)
    if "infinity" not in make.__name__:
        feed(grown, generated[:half], False, classes=known[:half]).compute()
        feed(grown, generated[half:], False, classes=known[half:])
        assert grown.compute() == pytest.approx(values(make, real, generated), rel=1e-9, abs=1e-12)


@each
def test_too_few_rows_are_refused(make) -> None:
    rows = drawn(make(), 1)
    one = feed(feed(make(), rows[:5], True), rows[:1], False)
    got = "got 5 real and 1 generated" if one.needs_real else r"got 1 generated"
    with pytest.raises(ValueError, match=f"at least 2 rows on a side, {got}$"):
        one.compute()
    with pytest.raises(ValueError, match=r"got 0 real$"):
        make().reference()


@each
def test_rows_of_another_dimension_are_refused(make) -> None:
    mixed = feed(make(), drawn(make(), 1), True)
    with pytest.raises(ValueError, match=r"one dimension, got \S+ after"):
        feed(mixed, drawn(make(), 1, larger=2), False)


@each_comparing
def test_a_reference_of_another_dimension_is_refused(make) -> None:
    other = feed(make(), drawn(make(), 1, larger=2), True).reference()
    short = feed(make(), drawn(make(), 1), False)
    short.load_reference(other)
    with pytest.raises(ValueError, match="one dimension"):
        short.compute()


@pytest.mark.parametrize("make", SEEING_VECTORS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("side", [True, False])
def test_rows_that_are_not_finite_are_refused(make, value: float, side: bool) -> None:
    real, generated = both(make)
    (real if side else generated)[17, 2] = value
    with pytest.raises(ValueError, match="needs finite"):
        values(make, real, generated)


@pytest.mark.parametrize("make", [make for make in CHOICES if make().sees == "images"])
def test_images_in_floats_are_refused(make) -> None:
    with pytest.raises(ValueError, match=r"uint8 images \[n, c, h, w\], got torch.float32"):
        make().update(torch.zeros(2, 3, 16, 16), False, torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("make", [make for make in CHOICES if make().labelled])
def test_labels_are_asked_for(make) -> None:
    with pytest.raises(ValueError, match="needs labels with the images"):
        make().update(drawn(make(), 1), real=False)


@each_comparing
def test_a_foreign_reference_is_refused(make) -> None:
    with pytest.raises(ValueError, match=r"got \['x'\]"):
        make().load_reference({"x": torch.zeros(2, 2)})


@each
def test_far_away_or_copied_images_score_worse(make) -> None:
    """A distance tells both; diversity tells copies alone, and precision images far away alone."""
    real, good = drawn(make(), 1), drawn(make(), 2)
    far, copies = drawn(make(), 3, 0.8), real[:1].expand_as(good)
    scored = lambda rows: feed(feed(make(), real, True), rows, False, classes=labels(good)).compute()
    expected, *bad = (next(iter(scored(rows).values())) for rows in (good, far, copies))
    assert min(bad) < expected if make().higher else max(bad) > expected


@each
def test_an_interval_holds_its_value(make) -> None:
    metric = feed(feed(make(), drawn(make(), 1), True), drawn(make(), 2, 0.2), False)
    found = metric.compute()
    for name, (low, high) in metric.intervals().items():
        assert low <= found[name] <= high
        assert low < high or low == found[name]


@each
def test_every_value_has_an_interval_which_is_always_the_same(make) -> None:
    found = [make(size=100) if make is kid else make() for _ in range(2)]  # kid: where two subsets fit
    for metric in found:
        feed(feed(metric, drawn(metric, 1), True), drawn(metric, 2, 0.2), False)
    first, again = found
    assert first.intervals().keys() == first.compute().keys()
    assert first.intervals() == again.intervals() == first.intervals()
