"""Any two sets of images, and files of statistics: on the command line and in Python."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from equipoise import cli, metrics
from equipoise.data import Format, inspect, load
from equipoise.metrics import features
from equipoise.metrics.kept import Moments
from equipoise.runs import evaluate_images, write_statistics
from equipoise.runs.nearest import nearest_picture
from equipoise.runs.outputs import FromLatents
from equipoise.runs.references import RealImages
from equipoise.runs.scoring import Scorer
from equipoise.runs.statistics_files import read_statistics
from equipoise.spec import build, several


def noise(count, seed=0, shape=(3, 16, 16), low=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, 256, (count, *shape), dtype=torch.uint8, generator=generator)


@pytest.fixture
def sets(tmp_path):
    """Real images, others of their kind and darker ones, as arrays and as a folder."""
    np.save(tmp_path / "real.npy", noise(60, 0, low=128))
    np.save(tmp_path / "alike.npy", noise(50, 1, low=128))
    (tmp_path / "dark").mkdir()
    for number, image in enumerate(noise(40, 2)):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / "dark" / f"{number}.png")
    return tmp_path


def score(capsys, *words):
    status = cli.main(["evaluate", *map(str, words), "--json", "--device", "cpu"])
    out, err = capsys.readouterr()
    assert status == 0, err
    assert out.count("\n") == 1
    return json.loads(out)


class TestSets:
    def test_two_sets_of_any_form(self, sets, capsys):
        calls = "fd,kid(subsets=5, size=20),precision_recall(k=2)"
        options = ("--against", sets / "real.npy", "--metrics", calls, "--features", "pixels(size=4)")
        alike, dark = (score(capsys, sets / name, *options) for name in ("alike.npy", "dark"))
        assert (alike["n_real"], alike["n_fake"], dark["n_fake"]) == (60, 50, 40)
        assert alike["metrics"] == ["fd", "kid(subsets=5, size=20)", "precision_recall(k=2)"]
        assert alike["fd"] < dark["fd"]
        assert alike["kid"] < dark["kid"]
        assert alike["precision"] > dark["precision"]
        assert alike["scores"]["recall"] == {"sees": "features", "higher": True, "n_real": 60, "n_fake": 50}
        low, high = dark["intervals"]["precision"]
        assert low <= dark["precision"] <= high

    def test_the_value_is_that_of_the_parts(self, sets):
        row = evaluate_images(sets / "alike.npy", sets / "real.npy", ["fd"], "pixels(size=4)")
        look, metric = features.pixels(4), metrics.fd()
        for name, real in (("real", True), ("alike", False)):
            metric.update(look(torch.from_numpy(np.load(sets / f"{name}.npy"))), real)
        assert row["fd"] == pytest.approx(metric.compute()["fd"], rel=1e-9)

    def test_images_of_another_size_are_resized_to_those_that_are_scored(self, sets, tmp_path):
        np.save(tmp_path / "large.npy", noise(30, 3, (3, 32, 32), low=128))
        row = evaluate_images(sets / "alike.npy", tmp_path / "large.npy", ["fd", "ms_ssim"], "pixels")
        assert row["fd"] > 0

    def test_the_default_is_fd_and_kid_by_what_people_see(self, sets):
        row = evaluate_images(sets / "dark", sets / "real.npy")
        assert (row["metrics"], row["features"]) == (["fd", "kid"], "mobilenet")
        assert row["fd"] > 1

    def test_classes_of_both_sides(self, tmp_path, capsys):
        for name, seed in (("a", 0), ("b", 1)):
            images = torch.cat([noise(12, seed), noise(12, seed + 10, low=100)]).numpy()
            np.savez(tmp_path / f"{name}.npz", images=images, labels=np.arange(24) // 12, classes=["dark", "light"])
        options = ("--against", tmp_path / "a.npz", "--metrics", "intra_fd", "--features", "pixels(size=2)", "--labels")
        row = score(capsys, tmp_path / "b.npz", *options)
        assert row["classes"] == ["dark", "light"]
        assert row["intra_fd"] == pytest.approx((row["intra_fd.0"] + row["intra_fd.1"]) / 2)

    def test_the_table_names_values_intervals_and_the_card(self, sets, capsys):
        words = ["evaluate", str(sets / "dark"), "--against", str(sets / "real.npy"), "--features", "pixels"]
        assert cli.main([*words, "--metrics", "kid(subsets=4, size=10)"]) == 0
        out = capsys.readouterr().out
        assert "KD (pixels)" in out
        assert "95 % interval" in out
        assert "kid(subsets=4, size=10)" in out
        assert "n_real" in out

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["{dark}"], "is no run folder; images are scored --against others"),
            (["{dark}", "--against", "{none}"], "no such file or folder"),
            (["{dark}", "--against", "{real}", "--metrics", "fdi"], "metrics has no 'fdi'"),
            (["{dark}", "--against", "{real}", "--metrics", "fd,fd"], "each metric needs a name of its own: fd, fd"),
            (["{dark}", "--against", "{real}", "--metrics", "fid", "--features", "pixels"], "defined on inception"),
            (["{dark}", "--against", "{real}", "--metrics", "reconstruction"], "measures a generator itself"),
            (["{dark}", "--against", "{real}", "--metrics", "inception_score", "--features", "pixels"], "a classifier"),
            (["{dark}", "--against", "{real}", "--metrics", "intra_fd"], "needs classes"),
            (["{text}", "--against", "{real}"], "has no image"),
        ],
    )
    def test_what_cannot_be_scored_is_said_in_one_line(self, sets, capsys, words, message):
        (sets / "text").mkdir()
        (sets / "text" / "readme.txt").write_text("no image")
        paths = {"dark": sets / "dark", "real": sets / "real.npy", "none": sets / "none", "text": sets / "text"}
        assert cli.main(["evaluate", *(word.format(**paths) for word in words)]) == 1
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1


class TestStatistics:
    def test_a_file_stands_for_its_images(self, sets, capsys):
        assert cli.main(["stats", str(sets / "real.npy"), "--out", str(sets / "x.npz"), "--features", "pixels"]) == 0
        assert capsys.readouterr().out == f"{sets / 'x.npz'}\n"
        options = ("--metrics", "fd", "--features", "pixels")
        stored = score(capsys, sets / "dark", "--against", sets / "x.npz", *options)
        direct = score(capsys, sets / "dark", "--against", sets / "real.npy", *options)
        assert stored["fd"] == pytest.approx(direct["fd"], rel=1e-9)
        assert stored["n_real"] == 60
        assert stored["intervals"].keys() == direct["intervals"].keys()

    def test_files_of_pytorch_fid_and_of_stylegan(self, sets):
        rows = features.pixels(2)(noise(100)).double()
        mean, covariance = rows.mean(0).numpy(), np.cov(rows.numpy().T)
        np.savez(sets / "ttur.npz", mu=mean, sigma=covariance)
        record = {"num_items": 100, "raw_mean": rows.sum(0).numpy(), "raw_cov": (rows.T @ rows).numpy()}
        (sets / "style.pkl").write_bytes(pickle.dumps({"capture_all": False, "all_features": None, **record}))
        ttur, style = (read_statistics(sets / name) for name in ("ttur.npz", "style.pkl"))
        assert (ttur.count, style.count) == (None, 100)
        expected = Moments.of(rows)
        torch.testing.assert_close(ttur.moments.covariance, expected.covariance)
        torch.testing.assert_close(style.moments.covariance * 100 / 99, expected.covariance)
        torch.testing.assert_close(style.moments.mean, expected.mean)
        for name in ("ttur.npz", "style.pkl"):
            assert evaluate_images(sets / "dark", sets / name, ["fd"], "pixels(size=2)")["fd"] > 0

    def test_nothing_is_overwritten(self, sets):
        write_statistics(sets / "real.npy", sets / "x.npz", "pixels")
        with pytest.raises(ValueError, match=r"x.npz exists and was not touched"):
            write_statistics(sets / "dark", sets / "x.npz", "pixels")
        with pytest.raises(ValueError, match=r"to an .npz file, not to .*x.csv"):
            write_statistics(sets / "dark", sets / "x.csv", "pixels")

    def test_other_features_and_metrics_are_refused(self, sets):
        write_statistics(sets / "real.npy", sets / "x.npz", "pixels(size=2)")
        with pytest.raises(ValueError, match=r"statistics of pixels\(size=2\) features, not of random"):
            evaluate_images(sets / "dark", sets / "x.npz", ["fd"], "random")
        with pytest.raises(ValueError, match=r"enough for fid, fd and fd_infinity alone, not for the rows of features"):
            evaluate_images(sets / "dark", sets / "x.npz", ["fd", "kid"], "pixels(size=2)")
        np.savez(sets / "y.npz", mu=np.zeros(5), sigma=np.eye(5))
        with pytest.raises(
            ValueError, match=r"y.npz holds statistics of 5 dimensions, and mobilenet features have 1280"
        ):
            evaluate_images(sets / "dark", sets / "y.npz", ["fd"], "mobilenet")

    @pytest.mark.parametrize("sigma", [np.eye(3), np.full((2, 2), np.nan)])
    def test_nonsense_is_refused(self, tmp_path, sigma):
        np.savez(tmp_path / "x.npz", mu=np.zeros(2), sigma=sigma)
        with pytest.raises(ValueError, match=r"mu must be \[d\] and sigma \[d, d\], finite"):
            read_statistics(tmp_path / "x.npz")

    def test_code_in_a_pickle_is_not_run(self, tmp_path):
        class Bomb:
            def __reduce__(self):
                return exec, (f"open({str(tmp_path / 'boom')!r}, 'w')",)

        (tmp_path / "x.pkl").write_bytes(pickle.dumps({"num_items": Bomb()}))
        with pytest.raises(ValueError, match=r"builtins.exec, which is not allowed"):
            read_statistics(tmp_path / "x.pkl")
        assert not (tmp_path / "boom").exists()


def test_the_picture_of_nearest_images_shows_copies(tmp_path):
    """A generator of training images: beside each stands the image itself."""
    real = noise(30, 5)
    np.save(tmp_path / "real.npy", real)
    found = RealImages(load(inspect(tmp_path / "real.npy"), Format(3, 16, 16)))
    scorer = Scorer(found, "pixels(size=16)", torch.device("cpu"), ("memorization",))

    class Copies(torch.nn.Module):
        z_dim = 2

        def __init__(self):
            super().__init__()
            self.images = torch.nn.Parameter(real / 127.5 - 1)

        def forward(self, z):
            return self.images[: len(z)]

    tiles = (
        torch.from_numpy(np.array(nearest_picture(Copies(), scorer, FromLatents("G", found.dataset), 0)))
        .unfold(0, 16, 16)
        .unfold(1, 16, 16)
    )
    assert tiles.shape == (8, 6, 3, 16, 16)
    assert torch.equal(tiles[:, 0], tiles[:, 1])
    assert not torch.equal(tiles[:, 0], tiles[:, 2])
    assert scorer.score([real], 30).values()["memorization"] == 1


MINE = """
class Says:
    def __init__(self, **values):
        self.values = values

    def update(self, rows, real):
        pass

    def compute(self):
        return self.values


def clash():
    return Says(fd=1.0)


def reserved():
    return Says(seed=1.0)


def broken():
    return Says(mine=float("nan"))
"""


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("clash", "there are two values called 'fd'"),
        ("reserved", "there are two values called 'seed'"),
        ("broken", "mine is nan, no finite number"),
    ],
)
def test_values_of_ones_own_that_cannot_stand_in_a_row_are_refused(sets, call, message):
    (sets / "mine.py").write_text(MINE)
    with pytest.raises(ValueError, match=message):
        evaluate_images(sets / "dark", sets / "real.npy", ["fd", f"{sets}/mine.py:{call}"], "pixels")


def test_whole_numbers_are_whole():
    with pytest.raises(ValueError, match=r"k must be a whole number, not 3.5"):
        build("precision_recall(k=3.5)", metrics)


def test_a_metric_that_was_fed_is_not_fed_again():
    used, look = metrics.fd(), features.pixels(2)
    metrics.evaluate([noise(20)], [noise(20, 1)], [used], look)
    with pytest.raises(ValueError, match="fd was fed before, and would add to it: make a new one"):
        metrics.evaluate([noise(20)], [noise(20, 1)], [used], look)


def test_flags_of_generators_are_refused_for_images(sets, capsys):
    words = ["evaluate", str(sets / "dark"), "--against", str(sets / "real.npy"), "--count", "10"]
    assert cli.main(words) == 1
    assert "--count is for a run's generator, and" in capsys.readouterr().err


def test_equal_images_leave_no_room_for_precision():
    metric = metrics.precision_recall()
    for real in (True, False):
        metric.update(torch.ones(20, 4), real)
    with pytest.raises(ValueError, match="every real row has k=3 others equal to it"):
        metric.compute()


class Noise(torch.nn.Module):
    """Images of z's first value."""

    z_dim = 2

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, z):
        return (z[:, :1, None, None] * self.scale).tanh().expand(-1, 3, 16, 16)


def test_evaluate_in_python_takes_a_generator_or_images():
    real, look = [noise(40, 0), noise(20, 1)], features.pixels(2)
    chosen = [metrics.fd(), metrics.kid(subsets=3, size=10)]
    row = metrics.evaluate(Noise(), real, chosen, look, held_out=[noise(30, 2)], count=50)
    assert (row["n_real"], row["n_fake"], row["real_n"]) == (60, 50, 30)
    assert row["real_fd"] < row["fd"]
    same = metrics.evaluate(real, real, [metrics.fd()], look)
    assert same["fd"] == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="ppl measures a generator itself, and these are images only"):
        metrics.evaluate(real, real, [metrics.ppl()], look)


def test_a_list_of_calls():
    assert several("fd") == ["fd"]
    assert several(" fd , kid(subsets=5, size=2),") == ["fd", "kid(subsets=5, size=2)"]
    assert several("mine.py:f(g(1, 2), [3]),r1") == ["mine.py:f(g(1, 2), [3])", "r1"]
