"""Samples and scores of labelled runs: which image has which label, and that unconditional runs see none."""

import json
from itertools import pairwise
from math import pi

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from equipoise import cli, runs
from equipoise.interpolation import lerp, slerp
from equipoise.metrics.generation import generate, latents, to_uint8
from equipoise.parts import Parts
from equipoise.recipe import Recipe
from equipoise.runs import RunFolder, Sampler, pictures, sheet
from equipoise.runs.folder import read_rows
from equipoise.runs.pictures import safe

NETWORK = """
import torch
from torch import nn
from torch.nn.functional import one_hot


class Told(nn.Module):
    def __init__(self, shape):
        super().__init__()
        kind, size = shape.labels
        self.kind, self.size = kind, size

    def told(self, x, labels):
        assert (labels is None) == (self.kind == "none"), "a label where there is none, or none where there is one"
        if labels is None:
            return x
        numbers = one_hot(labels, self.size) if labels.dtype == torch.int64 else labels
        assert numbers.shape[1:] == (self.size,)
        return torch.cat([x, numbers.to(x)], 1)


class Generator(Told):
    z_dim = 2

    def __init__(self, shape):
        super().__init__(shape)
        self.shape = shape[:3]
        self.layer = nn.Linear(2 + self.size, shape[0] * shape[1] * shape[2])

    def forward(self, z, labels=None):
        return torch.tanh(self.layer(self.told(z, labels))).unflatten(1, self.shape)


class Discriminator(Told):
    def __init__(self, shape):
        super().__init__(shape)
        self.layer = nn.Linear(self.size + shape[0] * shape[1] * shape[2], 1)

    def forward(self, x, labels=None):
        return self.layer(self.told(x.flatten(1), labels)).squeeze(1)


def net():
    return lambda shape: (Generator(shape), Discriminator(shape))
"""
LABELS = {
    "classes": {"labels": np.arange(24) % 3, "classes": np.array(["T-shirt/top", "dress", "bag"])},
    "attributes": {"labels": np.arange(24)[:, None] // [1, 2] % 2, "names": np.array(["smile", "glasses"])},
    "vectors": {"labels": np.linspace([10, -3], [40, 3], 24), "names": np.array(["age", "height"])},
    "none": {"labels": np.arange(24) % 3},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A short run of each kind of labels, and one that has labels but was not asked to use them."""
    top = tmp_path_factory.mktemp("kinds")
    (top / "mine.py").write_text(NETWORK)
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 9), dtype=np.uint8)
    for kind, labels in LABELS.items():
        np.savez(top / f"{kind}.npz", images=images, **labels)
        [*runs.train(recipe(top, kind), top / kind)]
    return top


def recipe(top, kind, **changes):
    few = {"batch": 4, "g_batch": 4, "images": 8, "score_images": 8, "features": "pixels(size=2)", "size": "8x9"}
    every = dict.fromkeys(("score_every", "sample_every", "save_every"), 8)
    plain = {"d_norm": "none", "precision": "float32", "channels": 1, "labels": kind != "none"}
    return Recipe(data=str(top / f"{kind}.npz"), network=f"{top}/mine.py:net", **few | every | plain | changes)


KINDS = ["classes", "attributes", "vectors"]


def drawn(sampler, sheet):
    return torch.cat(list(sampler.draw(*sheet[:2])))


class TestRuns:
    @pytest.mark.parametrize("kind", [*KINDS, "none"])
    def test_the_context_says_what_labels_mean(self, folders, kind):
        labels = json.loads((folders / kind / "recipe.json").read_text())["labels"]
        assert labels["kind"] == kind
        assert labels["names"] == [str(name) for name in LABELS[kind].get("classes", LABELS[kind].get("names", []))]
        assert len(labels["examples"]) == (64 if kind in ("attributes", "vectors") else 0)
        if kind == "vectors":
            assert labels["mean"] == pytest.approx([25, 0])
            assert labels["std"] == pytest.approx(LABELS[kind]["labels"].std(0))

    def test_samples_need_no_data(self, folders, monkeypatch):
        monkeypatch.setattr("equipoise.runs.real_images.load", lambda *_: pytest.fail("opened the data"))
        sampler = Sampler(folders / "vectors")
        assert len(drawn(sampler, sheet(sampler, 3))) == 3

    def test_an_unconditional_run_never_sees_labels(self, folders):
        """The networks of that run fail when they are given a label."""
        assert Sampler(folders / "none").labels(3) is None
        assert runs.evaluate(folders / "none", count=4)["n_fake"] == 4
        with pytest.raises(ValueError, match="there is no label 'dress': the run was trained without labels"):
            Sampler(folders / "none").labels(3, ["dress"])

    @pytest.mark.parametrize("broken", [None, {}, {"kind": "classes"}, {"kind": "classes", "names": []}])
    def test_a_context_without_meaning_is_refused(self, folders, tmp_path, broken):
        context = json.loads((folders / "classes" / "recipe.json").read_text())
        (tmp_path / "recipe.json").write_text(json.dumps(context | {"labels": broken}))
        with pytest.raises(ValueError, match="is not what training wrote: labels have kind, names"):
            RunFolder(tmp_path).context()

    def test_other_labels_in_the_same_place_are_refused(self, folders, tmp_path):
        images = np.load(folders / "classes.npz")["images"]
        (tmp_path / "mine.py").write_text(NETWORK)
        np.savez(tmp_path / "classes.npz", images=images, **LABELS["classes"])
        [*runs.train(recipe(tmp_path, "classes"), tmp_path / "x")]
        np.savez(tmp_path / "classes.npz", images=images, **LABELS["classes"] | {"labels": np.arange(24) % 2})
        with pytest.raises(ValueError, match="was started with other images or labels than"):
            [*runs.train(recipe(tmp_path, "classes"), tmp_path / "x")]
        np.savez(tmp_path / "classes.npz", images=images, labels=LABELS["vectors"]["labels"])
        with pytest.raises(ValueError, match="labels do not agree with those of training"):
            runs.evaluate(tmp_path / "x", count=4)

    @pytest.mark.parametrize("kind", KINDS)
    def test_scores_are_of_images_with_the_labels_of_the_data(self, folders, kind, monkeypatch):
        asked = []

        def generate(G, z, labels, seed, range):
            asked.append(labels)
            return Parts(lambda _: torch.zeros(len(z), 1, 8, 9, dtype=torch.uint8), 1)

        monkeypatch.setattr("equipoise.runs.scoring.generate", generate)
        runs.evaluate(folders / kind, count=7, seed=5)
        values = LABELS[kind]["labels"]
        values = values.astype(bool) if kind == "attributes" else values
        rows = Sampler(folders / kind).meaning.for_networks(torch.from_numpy(values)).tolist()
        assert len(asked[0]) == 7
        assert all(any(row == pytest.approx(other) for other in rows) for row in asked[0].tolist())


class NoisyGenerator(torch.nn.Module):
    """Draws noise inside, in two amounts."""

    z_dim = 3

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 15)

    def forward(self, z, labels=None):
        x = self.layer(z).unflatten(1, (1, 3, 5))
        shift = 0 if labels is None else labels[:, None, None, None]
        return torch.tanh(x + 0.3 * torch.randn_like(x) + 0.2 * torch.rand(len(z), 1, 1, 1) + shift)


class TestNoiseInsideTheGenerator:
    """A stochastic generator gives the images of a seed, whatever else happens."""

    def images(self, count, seed=0, G=None, labels=None):
        G = G or NoisyGenerator().eval().requires_grad_(False)
        return torch.cat([*generate(G, latents(G, count, 0), labels, seed)])

    @pytest.mark.parametrize("labelled", [False, True])
    def test_an_image_does_not_depend_on_how_many_are_made(self, labelled):
        G = NoisyGenerator().eval()
        labels = lambda count: torch.arange(count) % 2 if labelled else None
        wanted = {count: self.images(count, G=G, labels=labels(count)) for count in (1, 10, 64, 100, 128)}
        assert all(len(images) == count for count, images in wanted.items())
        assert torch.equal(wanted[1], wanted[128][:1])
        assert all(torch.equal(wanted[count][:10], wanted[10]) for count in (64, 100))
        assert torch.equal(wanted[100], wanted[128][:100])

    def test_seeds_and_batches_differ(self):
        class Noise(NoisyGenerator):
            def forward(self, z, labels=None):
                return super().forward(torch.zeros_like(z))

        G = Noise().eval()
        images = self.images(128, G=G)
        assert not torch.equal(images[:64], images[64:])
        assert not torch.equal(images, self.images(128, seed=1, G=G))

    def test_global_random_state_is_neither_read_nor_changed(self):
        G = NoisyGenerator().eval()
        torch.manual_seed(1)
        before = torch.get_rng_state()
        first = self.images(70, G=G)
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(2)
        assert torch.equal(self.images(70, G=G), first)

    def test_a_generator_without_noise_runs_once_a_batch(self):
        G, sizes = torch.nn.Sequential(torch.nn.Linear(3, 12), torch.nn.Unflatten(1, (3, 2, 2))), []
        G.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
        G.z_dim = 3
        assert self.images(70, G=G).shape == (70, 3, 2, 2)
        assert sizes == [64, 6]


class TestSheets:
    @pytest.mark.parametrize("kind", KINDS)
    def test_labels_in_turn(self, folders, kind):
        names = {"classes": ("dress", "0"), "attributes": ("smile", "none"), "vectors": ("31.5,0", "-1,2")}[kind]
        units = {"classes": [1, 0], "attributes": [[1, 0], [0, 0]], "vectors": [[31.5, 0], [-1, 2]]}[kind]
        sampler = Sampler(folders / kind)
        found = sheet(sampler, 3, names)
        assert found.labels.tolist() == [units[0], units[1], units[0]]
        assert found.columns is None
        assert torch.equal(found.latents, sampler.latents(3))

    def test_by_default_all_classes_or_examples_of_the_data(self, folders):
        assert sheet(Sampler(folders / "classes"), 4).labels.tolist() == [0, 1, 2, 0]
        sampler = Sampler(folders / "vectors")
        found = sheet(sampler)
        assert [tuple(row) for row in found.labels.tolist()] == list(sampler.meaning.examples)
        assert sheet(Sampler(folders / "none")).labels is None

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_network_is_told_labels_in_its_own_units(self, folders, kind):
        sampler = Sampler(folders / kind)
        z, labels, _ = sheet(sampler, 5)
        same = torch.allclose(labels.double(), sampler.meaning.for_networks(labels).double())
        assert same == (kind != "vectors")
        values = sampler.net(z, sampler.meaning.for_networks(labels))
        assert torch.equal(drawn(sampler, (z, labels)), to_uint8(values))

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_row_a_label_of_the_same_latents(self, folders, kind):
        sampler = Sampler(folders / kind)
        z, labels, columns = sheet(sampler, rows=True, count=5)
        height = 3 if kind == "classes" else 8
        assert columns == 5
        assert len(z) == len(labels) == 5 * height
        grid = z.unflatten(0, (height, 5))
        assert torch.equal(grid, sampler.latents(5).expand(height, -1, -1))
        assert all(len(row.unique(dim=0)) == 1 for row in labels.unflatten(0, (height, 5)))
        assert torch.equal(labels[::5], sampler.labels(height))

    @pytest.mark.parametrize("way", ["spherical", "linear"])
    @pytest.mark.parametrize("kind", ["classes", "none"])
    def test_each_row_goes_from_one_latent_point_to_the_next(self, folders, kind, way):
        sampler = Sampler(folders / kind)
        z, labels, columns = sheet(sampler, 4, interpolate=way)
        points, paths = sampler.latents(9), z.unflatten(0, (8, 4))
        assert columns == 4
        torch.testing.assert_close(paths[:, 0], points[:-1])
        torch.testing.assert_close(paths[:, -1], points[1:])
        inside = {"linear": lerp, "spherical": slerp}[way](points[:-1], points[1:], torch.tensor(1 / 3))
        torch.testing.assert_close(paths[:, 1], inside)
        assert labels is None or labels.tolist() == [number % 3 for number in range(8) for _ in range(4)]

    def test_one_label_stays_along_the_way(self, folders):
        found = sheet(Sampler(folders / "classes"), 2, ("bag",), interpolate="linear")
        assert found.labels.tolist() == [2] * 16

    @pytest.mark.parametrize(
        ("kind", "names", "ends"),
        [
            ("classes", ("dress", "bag", "0"), [[0, 1, 0], [0, 0, 1], [1, 0, 0]]),
            ("attributes", ("smile", "glasses"), [[1, 0], [0, 1]]),
            ("vectors", ("10,0", "20,5"), [[10, 0], [20, 5]]),
        ],
    )
    def test_between_labels(self, folders, kind, names, ends):
        sampler = Sampler(folders / kind)
        z, labels, columns = sheet(sampler, 5, names, interpolate="spherical")
        rows = labels.unflatten(0, (len(names) - 1, 5))
        assert columns == 5
        for row, (first, last) in zip(rows, pairwise(torch.tensor(ends).double()), strict=True):
            torch.testing.assert_close(row, first + torch.linspace(0, 1, 5)[:, None].double() * (last - first))
        points = sampler.latents(len(names) - 1)
        assert torch.equal(z, points.repeat_interleave(5, 0))
        assert len(drawn(sampler, (z, labels))) == len(z)

    def test_the_ends_between_classes_are_the_classes(self, folders):
        sampler = Sampler(folders / "classes")
        z, labels, _ = sheet(sampler, 3, ("dress", "bag"), interpolate="linear")
        whole = drawn(sampler, (z[:2], torch.tensor([1, 2])))
        assert torch.equal(drawn(sampler, (z, labels))[[0, 2]], whole)

    def test_rows_and_interpolation_together(self, folders):
        sampler = Sampler(folders / "classes")
        z, labels, _ = sheet(sampler, 3, ("dress", "bag"), rows=True, interpolate="linear")
        assert labels.tolist() == [1, 1, 1, 2, 2, 2]
        assert torch.equal(z[:3], z[3:])
        torch.testing.assert_close(z[[0, 2]], sampler.latents(2))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"rows": True}, "was trained without labels, so there is no row for each"),
            ({"count": 0}, "count must be at least 1, not 0"),
            ({"interpolate": "sperical"}, r"there is no interpolation 'sperical' \(did you mean 'spherical'"),
            ({"count": 1, "interpolate": "linear"}, "count must be at least 2, not 1"),
        ],
    )
    def test_mistakes(self, folders, options, message):
        with pytest.raises(ValueError, match=message):
            sheet(Sampler(folders / "none"), **options)


POINTS = st.lists(st.floats(-10, 10), min_size=3, max_size=3).map(lambda x: torch.tensor(x, dtype=torch.float64))
SHARES = torch.linspace(0, 1, 6, dtype=torch.float64)


class TestWays:
    @given(POINTS, POINTS)
    def test_both_go_from_a_to_b(self, a, b):
        for way in (slerp, lerp):
            path = way(a[None], b[None], SHARES)
            assert path.isfinite().all()
            torch.testing.assert_close(path[0], a, atol=1e-7, rtol=0)
            torch.testing.assert_close(path[-1], b, atol=1e-7, rtol=0)

    @pytest.mark.parametrize("angle", [1e-5, 0.3, pi / 2, 3.0])
    def test_equal_steps_are_equal_angles_at_one_norm(self, angle):
        a, b = torch.tensor([3.0, 0.0]).double(), 3 * torch.tensor([np.cos(angle), np.sin(angle)])
        path = slerp(a[None], b[None], SHARES)
        torch.testing.assert_close(path.norm(dim=1), torch.full((6,), 3.0).double())
        torch.testing.assert_close(torch.atan2(path[:, 1], path[:, 0]), SHARES * angle, rtol=1e-6, atol=1e-12)

    @pytest.mark.parametrize("factor", [2.0, 1.0, -1.0, 0.0])
    def test_parallel_points_are_joined_by_a_line(self, factor):
        a = torch.randn(4, 5, dtype=torch.float64)
        torch.testing.assert_close(slerp(a, factor * a, SHARES[:4]), lerp(a, factor * a, SHARES[:4]))

    def test_a_line(self):
        path = lerp(torch.zeros(1, 2), torch.tensor([[2.0, 4.0]]), torch.tensor([0.0, 0.25, 1.0]))
        assert path.tolist() == [[0, 0], [0.5, 1], [2, 4]]

    def test_the_middle_of_a_right_angle(self):
        """White 2016: the middle of two normal points stays as far out as they are, a line's does not."""
        a, b, half = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor(0.5)
        torch.testing.assert_close(slerp(a, b, half), torch.full((2,), 0.5**0.5))
        torch.testing.assert_close(lerp(a, b, half).norm(), torch.tensor(0.5**0.5))


class TestCommands:
    def sample(self, folders, kind, out, *flags):
        return cli.main(["sample", str(folders / kind), "--out", str(out), "--device", "cpu", *flags])

    def test_a_picture_has_one_row_a_label(self, folders, tmp_path):
        assert self.sample(folders, "classes", tmp_path / "x.png", "--rows", "--labels", "bag", "1") == 0
        with Image.open(tmp_path / "x.png") as picture:
            assert picture.size == (8 * 9, 2 * 8)

    def test_files_are_what_their_names_say_in_any_case(self, tmp_path):
        images = torch.tensor([10, 20, 30, 0], dtype=torch.uint8)[:, None, None].expand(1, 4, 8, 8)  # of no opacity
        pictures.write(images, None, tmp_path / "x.JPG")
        pictures.write(images, None, tmp_path / "x.NPZ")
        with Image.open(tmp_path / "x.JPG") as picture, np.load(tmp_path / "x.NPZ") as arrays:
            assert (picture.mode, picture.getpixel((4, 4))) == ("RGB", (255, 255, 255))
            assert np.array_equal(arrays["images"], images)

    @pytest.mark.parametrize("flags", [[], ["--labels", "dress", "bag"]])
    def test_a_picture_of_ways(self, folders, tmp_path, flags):
        flags = ["--interpolate", "spherical", "--count", "5", *flags]
        assert self.sample(folders, "classes", tmp_path / "x.png", *flags) == 0
        with Image.open(tmp_path / "x.png") as picture:
            assert picture.size == (5 * 9, 8 * (1 if "--labels" in flags else 8))

    def test_files_are_named_by_class_and_otherwise_by_number(self, folders, tmp_path):
        assert self.sample(folders, "classes", tmp_path / "a", "--count", "3") == 0
        names = sorted(file.name for file in (tmp_path / "a").iterdir())
        assert names == ["000000-T-shirt-top.png", "000001-dress.png", "000002-bag.png"]
        for kind in ("attributes", "vectors", "none"):
            assert self.sample(folders, kind, tmp_path / kind, "--count", "2") == 0
            assert sorted(file.name for file in (tmp_path / kind).iterdir()) == ["000000.png", "000001.png"]
        mixed = ["--labels", "dress", "bag", "--interpolate", "linear", "--count", "2"]
        assert self.sample(folders, "classes", tmp_path / "mixed", *mixed) == 0
        assert sorted(file.name for file in (tmp_path / "mixed").iterdir()) == ["000000.png", "000001.png"]

    @pytest.mark.parametrize(
        ("kind", "flags", "labels"),
        [
            ("classes", ["--labels", "dress"], [1, 1]),
            ("attributes", ["--labels", "glasses", "none"], [[0, 1], [0, 0]]),
            ("vectors", ["--labels", "-12,2.5"], [[-12, 2.5], [-12, 2.5]]),
        ],
    )
    def test_arrays_hold_labels_in_the_users_units(self, folders, tmp_path, kind, flags, labels):
        assert self.sample(folders, kind, tmp_path / "x.npz", "--count", "2", *flags) == 0
        with np.load(tmp_path / "x.npz") as arrays:
            assert arrays["labels"].tolist() == labels

    def test_samples_are_data_again(self, folders, tmp_path):
        from equipoise.data import inspect

        for kind in KINDS:
            assert self.sample(folders, kind, tmp_path / f"{kind}.npz") == 0
            assert inspect(tmp_path / f"{kind}.npz", labels=True).labels.meaning.kind == kind

    @pytest.mark.parametrize(
        ("kind", "label", "message"),
        [
            ("classes", "dres", "there is no class 'dres' (did you mean 'dress'?)"),
            ("attributes", "smiel", "there is no attribute 'smiel' (did you mean 'smile'?)"),
            ("vectors", "1", "a label of this run is 2 numbers joined by commas: age,height, not '1'"),
            ("none", "dress", "there is no label 'dress'"),
        ],
    )
    def test_a_wrong_label_gets_one_line(self, folders, tmp_path, capsys, kind, label, message):
        assert self.sample(folders, kind, tmp_path / "x.png", "--labels", label) == 1
        errors = capsys.readouterr().err
        assert message in errors
        assert errors.count("\n") == 1
        assert not (tmp_path / "x.png").exists()

    @pytest.mark.parametrize(
        ("name", "written"),
        [("a/b\\c:d", "a-b-c-d"), ("..", ""), ("café 1.5", "café-1.5"), ("x" * 300, "x" * 50), ("b\udce9d", "b-d")],
    )
    def test_names_that_file_systems_take(self, name, written):
        assert safe(name) == written


class TestPerClass:
    def test_each_class_is_compared_with_its_own(self, folders, capsys):
        before = len(list(read_rows(folders / "classes" / "metrics.jsonl")))
        flags = ["--features", "pixels(size=4)", "--device", "cpu", "--metrics", "fd,intra_fd"]
        assert cli.main(["evaluate", str(folders / "classes"), *flags]) == 0
        assert "intra-FD of T-shirt/top (pixels(size=4))" in capsys.readouterr().out
        rows = list(read_rows(folders / "classes" / "metrics.jsonl"))
        assert len(rows) == before + 1
        assert rows[-1]["intra_fd"] == pytest.approx(np.mean([rows[-1][f"intra_fd.{number}"] for number in range(3)]))
        assert (rows[-1]["n_real"], rows[-1]["n_fake"]) == (24, 24)
        assert cli.main(["evaluate", str(folders / "classes"), *flags]) == 0
        assert len(list(read_rows(folders / "classes" / "metrics.jsonl"))) == before + 1

    def test_a_class_that_is_right_scores_zero_and_others_do_not(self, folders, monkeypatch):
        images = torch.from_numpy(np.load(folders / "classes.npz")["images"])[:, None]
        real = images[::3]  # those of class 0, whatever was asked for
        labelled = [(real, torch.full((8,), number)) for number in range(3)]
        monkeypatch.setattr("equipoise.runs.outputs.generated", lambda *_: Parts(labelled.__getitem__, 3))
        row = runs.evaluate(folders / "classes", metrics=["intra_fd"], features="pixels(size=3)")
        assert row["intra_fd.0"] == pytest.approx(0, abs=1e-6)
        assert min(row["intra_fd.1"], row["intra_fd.2"]) > 1e-3

    def test_a_conditional_generator_is_compared_with_other_images(self, folders):
        flags = {"metrics": ["memorization"], "features": "pixels(size=3)"}
        other = runs.evaluate(folders / "classes", against=folders / "classes.npz", **flags)
        assert not (folders / "classes" / "nearest.png").exists()  # these are not its training images
        assert runs.evaluate(folders / "classes", **flags)["nearest"] == pytest.approx(other["nearest"])
        assert (folders / "classes" / "nearest.png").exists()

    @pytest.mark.parametrize("kind", ["attributes", "vectors", "none"])
    def test_runs_without_classes_are_refused(self, folders, kind, capsys):
        assert cli.main(["evaluate", str(folders / kind), "--metrics", "intra_fd"]) == 1
        assert "one of intra_fd needs classes (--labels), and" in capsys.readouterr().err
