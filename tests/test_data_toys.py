"""Toy data: laws over all sets, and floats of any range from a file to the networks and back."""

from math import e, log, pi

import numpy as np
import pytest
import torch

from equipoise import metrics
from equipoise.data import Format, batches, inspect, load, toys
from equipoise.data.sources import is_toy
from equipoise.metrics import features, modes, wasserstein
from equipoise.metrics.generation import to_uint8
from equipoise.metrics.polygon import distances
from equipoise.ranges import BYTES, Range
from equipoise.recipe import Recipe
from equipoise.runs.choices import choose
from equipoise.runs.scoring import Scorer
from equipoise.spec import build, names

SMALL = {"triangles": "triangles(images=60)", "stacked": "stacked(images=400)"}
SETS = {name: build(SMALL.get(name, name), toys) for name in names(toys)}
POINTS = [name for name, toy in SETS.items() if toy.log_density]
WIDE = [
    *("ring(deviation=0.3)", "grid(side=2, deviation=0.4)", "gaussians_1d(centers=(-1, 2), deviation=0.5)"),
    *("swiss_roll(deviation=0.2)", "spiral(arms=1, deviation=0.2)"),
]


@pytest.mark.parametrize("name", SETS)
def test_the_same_seed_gives_the_same_and_another_seed_others(name):
    toy = SETS[name]
    (first, classes), (again, _), (other, _) = toy.draw(40, 0), toy.draw(40, 0), toy.draw(40, 1)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (classes is None) == (not toy.classes)
    assert classes is None or {*classes} <= {*range(len(toy.classes))}


@pytest.mark.parametrize("name", SETS)
def test_a_name_is_the_call_that_makes_the_set(name):
    again = build(SETS[name].name, toys)
    assert again.name == SETS[name].name
    assert np.array_equal(again.draw(5, 3)[0], SETS[name].draw(5, 3)[0])


@pytest.mark.parametrize("name", SETS)
def test_training_and_held_out_parts_differ_and_score_alike(name):
    toy = SETS[name]
    source = inspect(toy.name)
    look, held_out = source.typical, source.held_out()
    assert (source.count, held_out.count) == (toy.count, toy.held_out)
    assert not np.array_equal(source.reader.array[:20], held_out.reader.array[:20])
    recipe, _ = choose(Recipe(data=toy.name), source, torch.device("cpu"))
    assert recipe.score == toy.score
    assert recipe.height_width() == (look.height, look.width)
    assert Range.parse(recipe.range) == toy.range


@pytest.mark.parametrize("name", WIDE)
def test_densities_integrate_to_one(name):
    toy = build(name, toys)
    dimension, line = toy.draw(1, 0)[0].shape[1], np.linspace(-4, 4, 60)
    places = np.stack(np.meshgrid(*[line] * dimension), -1).reshape(-1, dimension)
    assert np.exp(toy.log_density(places)).sum() * (line[1] - line[0]) ** dimension == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("name", WIDE)
def test_samplers_follow_their_densities(name):
    """In each of 16 parts of space as many points as the density says; and other places are less likely."""
    toy = build(name, toys)
    points = toy.draw(20_000, 5)[0].astype(np.float64)
    dimension, side, fine = points.shape[1], 4, 12
    edges, middles = np.linspace(-4, 4, side + 1), (np.arange(side * fine) + 0.5) * 8 / (side * fine) - 4
    places = np.stack(np.meshgrid(*[middles] * dimension, indexing="ij"), -1).reshape(-1, dimension)
    mass = np.exp(toy.log_density(places)) * (8 / (side * fine)) ** dimension
    expected = np.histogramdd(places, [edges] * dimension, weights=mass)[0] * len(points)
    counts = np.histogramdd(points, [edges] * dimension)[0]
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected.max())
    assert toy.log_density(points[:500]).mean() > toy.log_density(points[:500] + 0.5).mean()


@pytest.mark.parametrize("name", ["ring", "grid", "gaussians_1d(centers=(-9, 0, 9), deviation=0.5)"])
def test_the_entropy_of_modes_that_do_not_meet(name):
    """-E log p = log k + d / 2 log(2 pi e s^2)."""
    toy = build(name, toys)
    points, _ = toy.draw(20_000, 1)
    entropy = log(len(toy.centers)) + points.shape[1] / 2 * log(2 * pi * e * toy.deviation**2)
    assert -toy.log_density(points).mean() == pytest.approx(entropy, abs=0.04)


@pytest.mark.parametrize("name", POINTS)
def test_points_lie_on_the_manifold_within_the_noise(name):
    toy = SETS[name]
    points, _ = toy.draw(1_000, 2)
    far = toy.distance(points) / toy.deviation
    assert far.max() < 5.5
    assert 0.3 < far.mean() < 1.4
    assert (toy.distance(points + 40 * toy.deviation) / toy.deviation).mean() > 10 or toy.deviation > 0.1


@pytest.mark.parametrize("name", ["ring(count=5)", "grid(side=2)"])
def test_classes_are_the_modes_and_real_points_capture_all(name):
    toy = build(name, toys)
    points, classes = toy.draw(4_000, 0)
    nearest = np.linalg.norm(points[:, None] - np.array(toy.centers), axis=2).argmin(1)
    assert np.array_equal(nearest, classes)
    metric = build(toy.score[0], metrics, {name: getattr(toys, name) for name in names(toys)})
    metric.update(torch.from_numpy(points), real=False)
    values = metric.compute()
    assert values["modes"] == len(toy.centers)
    assert values["high_quality"] == pytest.approx(1 - np.exp(-4.5), abs=0.01)  # within three deviations in the plane


def test_modes_take_a_toy_set_or_points():
    by_set, by_points = modes(centers=toys.ring(4)), modes(centers=toys.ring(4).centers, deviation=0.02)
    points = torch.from_numpy(toys.ring(4).draw(200, 0)[0])
    for metric in (by_set, by_points):
        metric.update(points, real=False)
    assert by_set.compute() == by_points.compute()
    with pytest.raises(ValueError, match="centers of a mixture, and this set has none"):
        modes(centers=toys.swiss_roll())


def test_on_a_line_the_distance_is_exact():
    """W_1 between a mixture and itself moved by 1 is 1."""
    points = torch.from_numpy(toys.gaussians_1d().draw(1_500, 0)[0])
    metric = wasserstein()
    metric.update(points, real=True)
    metric.update(points + 1, real=False)
    assert metric.compute()["wasserstein"] == pytest.approx(1, rel=1e-5)


def test_triangles_are_on_their_manifold():
    images, _ = SETS["triangles"].draw(12, 3)
    assert images.shape == (12, 1, 28, 28)
    assert images.dtype == np.uint8
    assert distances(torch.from_numpy(images[:, 0] / 255).float()).max() < 0.75


def test_stacks_are_three_built_in_images_and_held_out_ones_are_of_others():
    toy, built_in = SETS["stacked"], inspect("builtin")
    pictures = {picture.tobytes() for picture in built_in.reader.array[:, 0]}
    training, held_out = toy.draw(30, 0)[0], toy.draw(30, 1)[0]
    assert training.shape == (30, 3, 28, 28)
    assert all(plane.tobytes() in pictures for plane in training.reshape(-1, 28, 28))
    assert not any(plane.tobytes() in pictures for plane in held_out.reshape(-1, 28, 28))
    metric = build(toy.score[0], metrics)
    metric.update(torch.from_numpy(toy.draw(300, 0)[0]), real=False)
    assert metric.compute()["modes"] > 200  # of 1,000; 300 samples of equal ones find 259


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("rang(count=8)", r"toys has no 'rang' \(did you mean 'ring'\?\)"),
        ("rign", "no such file or folder: rign; toys by name: gaussians_1d, grid, ring"),
        ("ring(number=3)", "unexpected keyword argument 'number'; its hyper-parameters: count=8"),
        ("ring(count=0)", "count must be at least 1, not 0"),
        ("ring(count=2.5)", "count must be a whole number, not 2.5"),
        ("spiral(deviation=0)", "deviation must be above 0"),
        ("gaussians_1d(centers=())", "number_of_centers must be at least 1"),
    ],
)
def test_what_is_no_toy_is_refused_in_a_line(data, message):
    with pytest.raises(ValueError, match=message) as caught:
        inspect(data)
    assert "\n" not in str(caught.value)


def test_a_toy_of_ones_own_is_a_function_in_a_file(tmp_path):
    own = tmp_path / "mine.py"
    own.write_text(
        "from equipoise.data import toys\n"
        "def two(apart=3.0):\n    return toys.gaussians_1d(centers=(0.0, apart))\n"
        "def none():\n    return 5\n"
    )
    source = inspect(f"{own}:two(apart=7)")
    assert (source.kind, source.toy.centers) == ("toy", [(0.0,), (7,)])
    with pytest.raises(ValueError, match="gives int, but a toy set is one of"):
        inspect(f"{own}:none")


def test_paths_are_no_toys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd(1)").mkdir()
    assert not is_toy("odd(1)")
    assert is_toy("odd(2)")


@pytest.mark.parametrize("text", ["bytes", "0.0:1.0", "-3.5:1e+30", "-0.1:0.2"])
def test_a_range_is_its_text(text):
    assert str(Range.parse(text)) == str(Range.parse(str(Range.parse(text))))


def test_floats_go_to_networks_and_back_without_clipping():
    values = torch.tensor([-30.0, -3.0, 1.0, 5.0, 90.0])
    scale = Range(-3, 5)
    assert scale.to_networks(values)[1:4].tolist() == [-1, 0, 1]
    torch.testing.assert_close(scale.from_networks(scale.to_networks(values)), values)
    assert scale.to_bytes(values).tolist() == [0, 0, 128, 255, 255]
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(BYTES.from_networks(BYTES.to_networks(images)), images)
    assert torch.equal(to_uint8(BYTES.to_networks(images)), images)


def stored(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_float_images_of_many_channels_are_learnt_as_they_are(tmp_path):
    images = np.random.default_rng(0).normal(size=(20, 11, 12, 16)).astype(np.float32)
    file = stored(tmp_path / "fields.npz", images=images, range=[-6, 10])
    source = inspect(file)
    assert (source.typical.channels, source.typical.range) == (11, Range(-6, 10))
    dataset = load(source, Format(11, 12, 16, range=Range(-6, 10)))
    assert np.array_equal(dataset.take(range(20)).numpy(), images)
    streamed = load(source, Format(11, 12, 16, range=Range(-6, 10)), memory_limit=0)
    assert torch.equal(streamed.take([3, 4]), dataset.take([3, 4]))
    shown, _ = next(batches(dataset, 20, seed=0))
    assert sorted(shown.flatten().tolist()) == pytest.approx(sorted(((images - 2) / 8).flatten().tolist()), abs=1e-6)
    smaller = load(source, Format(11, 6, 8, range=Range(-6, 10))).take([0])
    assert smaller.shape == (1, 11, 6, 8)
    assert smaller.mean().item() == pytest.approx(images[0].mean(), abs=0.05)


def test_floats_of_the_unit_range_are_pictures_unless_a_range_is_stated(tmp_path):
    file = stored(tmp_path / "x.npz", images=np.random.default_rng(0).random((6, 9, 10)).astype(np.float32))
    assert inspect(file).typical.range == BYTES
    assert load(file, Format(1, 9, 10)).images.dtype == torch.uint8
    assert load(file, Format(1, 9, 10, range=Range(0, 1))).images.dtype == torch.float32


def test_the_range_of_points_is_that_of_their_extremes(tmp_path):
    np.save(tmp_path / "points.npy", np.array([[-4.0, 0.5, 2.0], [1.0, 3.0, 0.0]] * 20))
    source = inspect(tmp_path / "points.npy")
    assert (source.typical.channels, source.typical.height, source.typical.range) == (3, 1, Range(-4, 3))
    recipe, _ = choose(Recipe(data="points.npy"), source, torch.device("cpu"))
    assert (recipe.size, recipe.range, recipe.features) == ("1", "-4.0:3.0", "pixels")
    assert load(source, Format(3, 1, 1, range=Range(0, 1))).take([0]).flatten().tolist() == [-4.0, 0.5, 2.0]


def test_ranges_that_do_not_hold_are_refused(tmp_path):
    wide = stored(tmp_path / "wide.npz", images=np.full((4, 9, 9), 3.0))
    with pytest.raises(ValueError, match=r"floats beyond \[0, 1\] and \[-1, 1\], which need a range"):
        choose(Recipe(data=str(wide)), inspect(wide), torch.device("cpu"))
    with pytest.raises(ValueError, match="which need a range"):
        load(wide, Format(1, 9, 9))
    with pytest.raises(ValueError, match=r"goes from 3 to 3, out of range='0.0:2.0'"):
        load(wide, Format(1, 9, 9, range=Range(0, 2)))
    with pytest.raises(ValueError, match=r"holds bytes, and range='0\.0:1\.0' is one of floats"):
        load("builtin", Format(1, 28, 28, range=Range(0, 1)))
    with pytest.raises(ValueError, match="dequantize adds noise below one grey level"):
        batches(load(wide, Format(1, 9, 9, range=Range(0, 4))), 2, seed=0, dequantize=True)
    floats = metrics.Subject(torch.nn.Linear(1, 1), held_out=lambda count: (torch.zeros(2, 1, 9, 9), None))
    with pytest.raises(ValueError, match="reconstruction needs uint8 images"):
        metrics.reconstruction().measure(floats, features.pixels())


def test_points_are_scored_as_themselves():
    from equipoise.runs.references import RealImages

    dataset = load("ring", Format(2, 1, 1, range=SETS["ring"].range))
    scorer = Scorer(RealImages(dataset), "pixels", torch.device("cpu"), SETS["ring"].score)
    values = scorer.score([dataset.take(range(900))], 900).values()
    assert values["modes"] == 8
    assert values["high_quality"] > 0.97
