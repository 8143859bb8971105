"""Scores with their cards, and the real images that they compare with: looked at once, kept, found again."""

import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image
from small_runs import CPU, PLAIN, finish, lines, small
from test_networks import SMALL

from equipoise import cache, data, runs, spec
from equipoise.data import Dataset
from equipoise.metrics import features
from equipoise.metrics.metric import Subject
from equipoise.runs.references import RealImages, fingerprint
from equipoise.runs.scoring import Scorer

MINE = """
class Brightness:
    sees, higher = "images", True

    def __init__(self):
        self.means = {True: 0.0, False: 0.0}

    def update(self, rows, real):
        self.means[real] += rows.float().mean().item()

    def compute(self):
        return {"brightness": self.means[False] / self.means[True]}


class Size:
    def measure(self, subject, features):
        self.size = sum(weight.numel() for weight in subject.G.parameters())

    def compute(self):
        return {"size": self.size}


def brightness():
    return Brightness()


def size():
    return Size()
"""


@pytest.fixture
def evaluated(finished, tmp_path):
    """The finished run, to which evaluations add rows."""
    return shutil.copytree(finished[0], tmp_path / "evaluated")


def a_dataset(arrays, labels=False):
    return runs.real_images.load_dataset(small(PLAIN, arrays, size="12x10", channels=3, range="bytes", labels=labels))


def some_images():
    return [torch.randint(256, (40, 3, 12, 10), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)]


def values(scorer, images):
    return scorer.score(images, 40).values()


def counting(name="pixels(size=3)"):
    """Features, and a list of how many images they looked at each time."""
    plain, looks = spec.build(name, features), []
    logits = lambda vectors: vectors[:, :5]
    return replace(
        plain, extract=lambda images: looks.append(len(images)) or plain.extract(images), logits=logits
    ), looks


def scorer(dataset, counted, *names):
    made = Scorer(RealImages(dataset), "builtin", CPU, names)
    made.features = counted
    return made


class TestScores:
    def test_evaluate_adds_a_row_with_its_card(self, evaluated):
        before = len(lines(evaluated / "metrics.jsonl"))
        row = runs.evaluate(evaluated, count=10, features="random")
        assert {
            "fd",
            "kid",
            "features",
            "features_hash",
            "resizer",
            "n_real",
            "n_fake",
            "reference",
            "weights",
            "versions",
        } <= row.keys()
        assert (row["n_real"], row["n_fake"], row["features"]) == (60, 10, "random(seed=0)")
        assert len(lines(evaluated / "metrics.jsonl")) == before + 1

    def test_the_same_is_not_measured_twice(self, evaluated):
        first = runs.evaluate(evaluated, count=12, features="pixels(size=4)")
        before = len(lines(evaluated / "metrics.jsonl"))
        assert runs.evaluate(evaluated, count=12, features="pixels(size=4)") == first
        assert len(lines(evaluated / "metrics.jsonl")) == before
        assert runs.evaluate(evaluated, count=12, features="pixels(size=4)", seed=1) != first

    def test_held_out_images_score_far_better_than_an_untrained_generator(self, tmp_path):
        recipe = replace(PLAIN, network=SMALL["sn_resnet"], images=64, precision="float32", score_images=64)
        finish(recipe, tmp_path / "x")
        row = runs.evaluate(tmp_path / "x", count=200)
        assert row["features"] == "builtin"
        assert row["real_fd"] * 20 < row["fd"]

    def test_references_are_kept_and_give_the_same_score(self, arrays, monkeypatch):
        dataset, images = a_dataset(arrays), some_images()
        first = values(Scorer(RealImages(dataset), "pixels(size=2)", CPU, ("fd", "kid")), images)
        monkeypatch.setattr(Dataset, "take", lambda dataset, indices: pytest.fail("looked at the real images again"))
        assert values(Scorer(RealImages(dataset), "pixels(size=2)", CPU, ("fd", "kid")), images) == first

    def test_real_features_are_extracted_once_for_all_metrics(self, arrays, monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        counted, looks = counting()
        for names, seen in (
            (("fd", "kid"), 60),  # both sides at once
            (("kid", "fd", "fd_infinity"), 60),  # from the cache
            (("kid(subsets=9)", "precision_recall"), 60),  # what is kept is the same
            (("inception_score",), 60),  # needs none
            (("intra_fd",), 120),
        ):
            assert scorer(a_dataset(arrays, labels=True), counted, *names).reference
            assert sum(looks) == seen, names

    def test_held_out_images_are_looked_at_once(self):
        dataset = runs.real_images.load_dataset(replace(PLAIN, size="28", channels=1, range="bytes", labels=False))
        counted, looks = counting()
        both = scorer(dataset, counted, "fd", "kid")
        assert both.reference
        looks.clear()
        assert both.floor(10_000).keys() == {"real_fd", "real_kid", "real_n"}
        assert sum(looks) == len(dataset.held_out)
        assert both.floor(300)["real_n"] == 300  # as many as are generated

    def test_a_card_names_the_scores_and_two_of_one_name_are_refused(self, arrays):
        real = RealImages(a_dataset(arrays))
        found = Scorer(real, "pixels", CPU, ("kid(size=20)", "fd"))
        assert found.card(8)["metrics"] == ["kid(size=20)", "fd"]
        assert [*values(found, some_images())["scores"]] == ["kid", "fd"]
        with pytest.raises(ValueError, match=r"needs a name of its own: kid, kid\(size=20\)"):
            Scorer(real, "pixels", CPU, ("kid", "kid(size=20)"))

    def test_a_metric_of_ones_own(self, arrays, tmp_path):
        (tmp_path / "mine.py").write_text(MINE)
        calls = (f"{tmp_path}/mine.py:brightness", f"{tmp_path}/mine.py:size")
        own = Scorer(RealImages(a_dataset(arrays)), "pixels", CPU, calls)
        G = torch.nn.Linear(4, 3 * 12 * 10)
        found = own.score(some_images(), 40, Subject(G)).values()
        assert found["brightness"] > 0
        assert found["size"] == 3 * 12 * 10 * 5
        assert found["scores"]["brightness"] == {"sees": "images", "higher": True}
        assert own.score(some_images(), 40, Subject(G)).values() == found
        with pytest.raises(ValueError, match="Size measures a generator itself, and these are images only"):
            own.score(some_images(), 40)


def test_a_damaged_reference_is_made_again(arrays, caplog):
    dataset, images = a_dataset(arrays), some_images()
    first = values(Scorer(RealImages(dataset), "pixels(size=3)", CPU, ("fd", "kid")), images)
    folder = cache.folder() / "references"
    for file in folder.iterdir():
        file.write_bytes(b"damaged")
    assert values(Scorer(RealImages(dataset), "pixels(size=3)", CPU, ("fd", "kid")), images) == first
    assert "is damaged and is made again" in caplog.text


def test_sets_too_large_for_memory_differ_by_any_file(tmp_path):
    for number in range(600):
        Image.new("L", (8, 8), number % 200).save(tmp_path / f"{number:03d}.png")
    seen = lambda: fingerprint(data.load(tmp_path, data.Format(1, 8, 8), memory_limit=0))
    first = seen()
    assert seen() == first
    Image.effect_noise((8, 8), 99.0).save(tmp_path / "001.png")  # none of the 256 that are looked at
    assert seen() != first
