"""Studies: unfair ones are refused; the same table comes out whoever does the work, however often it is killed."""

import csv
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import study_pages
from PIL import Image
from scipy import stats

from equipoise import cli, presets, report
from equipoise.cli import study_display
from equipoise.recipe import Recipe
from equipoise.report import study_spectra
from equipoise.report.study_results import results
from equipoise.runs import planning
from equipoise.runs.forecast import Pace
from equipoise.study import Search, Study, begin, begun, carry_out, costs, read, runs_of, scales, shipped, tuning
from equipoise.study import __main__ as study_main
from equipoise.study.comparison import (
    agreement,
    probability_better,
    ranks,
    significance,
    standings,
    summary,
)
from equipoise.study.files import of_plain, to_plain
from equipoise.study.plan import has_ended, jobs
from equipoise.study.spaces import drawn, ranges_in
from equipoise.study.tuning import space
from equipoise.study.work import work
from equipoise.study.workers import Child, mourn

BASE = {
    "images": 64,
    "batch": 16,
    "size": "8",
    "network": "mlp(width=8, depth=1, z_dim=4)",
    "penalties": [],
    "features": "pixels(size=2)",
    "score": ["fd"],
    "score_images": 32,
    "score_every": 32,
    "sample_every": 64,
    "save_every": 16,
}
ROOT = Path(__file__).parent.parent
PYTHON = sys.executable, "-m", "equipoise"
ROWS = {"hinge": {"loss": "hinge"}, "least squares": {"loss": "least_squares"}}


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory):
    """A few images, on which runs begin at once."""
    file = tmp_path_factory.mktemp("data") / "tiny.npz"
    np.savez(file, images=np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), dtype=np.uint8))
    BASE["data"] = str(file)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study of two rows and two columns."""
    return done(small(columns={"slow": {"lr_g": 1e-4}, "fast": {"lr_g": 1e-3}}), tmp_path_factory.mktemp("s") / "a")


def small(**changes) -> Study:
    return Study(**{"base": BASE, "rows": ROWS, "seeds": (0, 1)} | changes)


def done(study: Study, out: Path) -> Path:
    begin(study, out, threads=1)
    for _ in work(out):
        pass
    return out


def rows(out: Path) -> list[dict[str, str]]:
    """The table without what depends on the clock."""
    report.write(out)
    with (out / "results.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"rows": {}}, "needs rows"),
            ({"seeds": ()}, "different whole numbers from 0 up, at least one"),
            ({"seeds": (1, 1)}, "different whole numbers"),
            ({"rows": {"a": {"los": "hinge"}}}, "row 'a': a recipe has no field 'los' .did you mean 'loss'"),
            ({"base": BASE | {"seed": 3}}, "base sets seed: say seeds = "),
            ({"rows": {"a": {"images": 9}}}, "row 'a' sets images, which has to be equal in all rows"),
            ({"columns": {"a": {"score": ["fd"]}}}, "column 'a' sets score, which has to be equal in all runs"),
            ({"columns": {"a": {"loss": "hinge"}}}, "row 'hinge' and column 'a' both set loss"),
            ({"rows": {"a": {}, "b": {}}}, "cells 'a' and 'b' are equal"),
            ({"rows": {"a": {"d_steps": 1}, "b": {}}}, "cells 'a' and 'b' are equal"),
            ({"rows": {"a": {"loss": "hinge()"}, "b": {"loss": "hinge"}}}, "cells 'a' and 'b' are equal"),
            ({"rows": {"a": {"loss": "hinge(margin=1.0)"}, "b": {"loss": "hinge"}}}, "cells 'a' and 'b' are equal"),
            (
                {"rows": {"a": {"penalties": "r1(weight=1)"}, "b": {"penalties": ["r1(weight=1.0)"]}}},
                "cells 'a' and 'b' are equal",
            ),
            (
                {"rows": {"a": {"penalties": "r1(2)"}, "b": {"penalties": "r1(weight=2)"}}},
                "cells 'a' and 'b' are equal",
            ),
            ({"base": BASE | {"minutes": 3}}, "base sets images and minutes"),
            ({"seeds": (-1,)}, "whole numbers from 0 up"),
            ({"base": {"batch": 16}}, "the base needs a length"),
            ({"rows": {"a b": {"loss": "hinge"}, "a_b": {}}}, "'a b' and 'a_b' would share the folder"),
            ({"baseline": "hing"}, "no row is called 'hing' .did you mean 'hinge'"),
            ({"rows": {"a": {"lr_d": "log(1e-4, 1e-2)"}}}, "is a range, and the study has no .search."),
            ({"search": Search(trials=2)}, "a search needs ranges"),
            ({"rows": {"a": {"preset": "sngn"}}}, "there is no preset 'sngn'"),
            ({"rows": {"a": {"loss": "hinge"}, "b": {"lr_d": -1.0}}}, "lr_d must be above 0"),
        ],
    )
    def test_studies_that_compare_nothing_or_unfairly(self, changes, message):
        with pytest.raises(ValueError, match=message):
            small(**changes)

    def test_a_search_needs_a_length_in_images(self):
        base = {name: value for name, value in BASE.items() if name != "images"}
        with pytest.raises(ValueError, match="a search needs a length in images"):
            small(base=base | {"minutes": 3}, rows={"a": {"lr_d": "log(1e-4, 1e-2)"}}, search=Search(trials=2))

    @pytest.mark.parametrize(
        "text", ["log(2, 1)", "log(0, 1)", "uniform(1)", "one_of()", "log(low=1, high=2)", "log(1, 2, 3)"]
    )
    def test_ranges_that_are_none(self, text):
        with pytest.raises(ValueError, match=r"must be|no range"):
            drawn({"lr_d": text}, np.random.default_rng(0))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("rows = 3 =", "Expected"),
            ("[row.a]", "a study has no 'row' .did you mean 'rows'"),
            ("[rows.a]\nloss = 'hinge'\n[search]\ntrial = 3", "a search has no 'trial' .did you mean 'trials'"),
            ("[rows.a]\n[scales.small]\nrows = ['b']", "names 'b', which is none of the rows"),
        ],
    )
    def test_files(self, tmp_path, text, message):
        file = tmp_path / "study.toml"
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            read(file, "small" if "scales" in text else None)

    def test_a_file_that_is_missing_and_a_scale_that_is(self):
        with pytest.raises(
            ValueError, match=r"no such file: nowhere.toml; studies that come along: .*sngan-robustness"
        ):
            read("nowhere.toml")
        with pytest.raises(ValueError, match="has no scale 'tiny'"):
            read(shipped()[0], "tiny")

    @pytest.mark.parametrize(
        ("changes", "what"),
        [
            ({"seeds": (0,)}, "seeds"),
            ({"rows": {"hinge": {"loss": "hinge"}}}, "rows.least squares"),
            ({"rows": ROWS | {"hinge": {"loss": "wasserstein"}}}, "rows.hinge"),
            ({"columns": {"fast": {"lr_g": 1e-3}}}, "columns"),
        ],
    )
    def test_a_folder_that_holds_something_else(self, tmp_path, changes, what):
        begin(small(), tmp_path / "s", threads=1)
        for cell in small().cells:  # as if they were trained
            (tmp_path / "s" / cell.slug / "seed-0").mkdir(parents=True)
            (tmp_path / "s" / cell.slug / "seed-0" / "recipe.json").write_text("{}")
        before = (tmp_path / "s" / "study.json").read_bytes()
        with pytest.raises(ValueError, match=rf"another study; nothing was changed. It differs in {what}$"):
            begin(small(**changes), tmp_path / "s", threads=1)
        assert (tmp_path / "s" / "study.json").read_bytes() == before
        (tmp_path / "mine.txt").write_text("mine")
        with pytest.raises(ValueError, match="no folder of a study; nothing in it was touched"):
            begin(small(), tmp_path, threads=1)


def test_a_study_is_plain_data_and_back():
    study = small(columns={"a": {"lr_d": "log(1e-4, 1e-2)"}, "b": {}}, search=Search(trials=3), survives=2.5)
    assert to_plain(of_plain(json.loads(json.dumps(to_plain(study))))) == to_plain(study)


def test_rows_and_columns_go_before_the_base_and_presets_before_all():
    rows = {"a": {"loss": "wasserstein"}, "b": {"batch": 4}}
    study = Study({"preset": "sngan", "batch": 8, "images": 64}, rows, {"": {}, "timed": {"minutes": 2}}, (3,))
    a, b, timed, _ = (study.recipe(cell, seed=3) for cell in study.cells)
    assert (a.images, a.minutes, timed.images, timed.minutes) == (64, None, None, 2)
    assert (a.batch, a.loss, a.d_norm, a.seed) == (8, "wasserstein", "spectral", 3)
    assert (b.batch, b.loss) == (4, "hinge")


@pytest.mark.parametrize("name", shipped())
def test_studies_that_come_along_can_be_read_at_every_scale(name):
    study = read(name)
    assert study.title
    assert len(study.cells) > 1
    assert "small" in scales(name)
    for scale in scales(name):
        smaller = read(name, scale)
        assert len(smaller.seeds) >= 3
        assert sum(runs_of(smaller, cell) for cell in smaller.cells) < 600


class TestRanges:
    def test_draws_are_within_and_inside_calls(self):
        draw = np.random.default_rng(0)
        field = {"penalties": ["r1(weight=log(0.1, 100), every=one_of(1, 4))"], "lr_d": "log(1e-5, 1e-2)", "batch": 8}
        assert ranges_in(field) == ["log(0.1, 100)", "one_of(1, 4)", "log(1e-5, 1e-2)"]
        found = [drawn(field, draw) for _ in range(200)]
        rates = np.array([each["lr_d"] for each in found])
        assert 1e-5 <= rates.min() < 1e-4
        assert 1e-3 < rates.max() <= 1e-2
        assert stats.kstest(np.log10(rates), stats.uniform(-5, 3).cdf).pvalue > 0.01
        words = [re.fullmatch(r"r1\(weight=([\d.]+), every=([14])\)", each["penalties"][0]) for each in found]
        assert {match[2] for match in words} == {"1", "4"}
        assert all(0.1 <= float(match[1]) <= 100 for match in words)
        assert "batch" not in found[0]

    def test_whole_numbers_and_uniform_ones(self):
        draw = np.random.default_rng(0)
        found = [drawn({"batch": "whole(3, 5)", "lr_d": "uniform(0.1, 0.2)"}, draw) for _ in range(100)]
        assert {each["batch"] for each in found} == {3, 4, 5}
        assert all(0.1 <= each["lr_d"] <= 0.2 for each in found)


class TestComparison:
    def test_a_summary_is_students(self):
        found = summary([1.0, 2.0, 4.0])
        interval = stats.ttest_1samp([1.0, 2.0, 4.0], 0).confidence_interval()
        assert found.mean == pytest.approx(7 / 3)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
        assert np.isnan(summary([1.0]).half)
        assert summary([]) is None

    def test_significance_is_welchs_corrected_for_all_cells(self):
        rng = np.random.default_rng(0)
        scores = {("base", "c"): rng.normal(0, 1, 5).tolist()}
        scores |= {
            (name, "c"): rng.normal(mean, 1, 5).tolist() for name, mean in (("far", 20), ("near", 0), ("one", 0))
        }
        scores["one", "c"] = scores["one", "c"][:1]
        found = significance(scores, "base")
        plain = [stats.ttest_ind(scores[n, "c"], scores["base", "c"], equal_var=False).pvalue for n in ("far", "near")]
        assert found == pytest.approx({("far", "c"): 2 * plain[0], ("near", "c"): plain[1]})
        assert found["far", "c"] < 0.001
        assert found["near", "c"] > 0.05

    def test_scores_without_spread_differ_or_are_equal(self):
        scores = {("a", ""): [1.0, 1.0], ("b", ""): [1.0, 1.0], ("c", ""): [2.0, 2.0]}
        assert significance(scores, "a") == {("b", ""): 1.0, ("c", ""): 0.0}
        assert probability_better([8.0, 8.0], [7.0, 7.0], higher=True) == 1.0
        assert probability_better([8.0, 8.0], [7.0, 7.0], higher=False) == 0.0
        assert probability_better([8.0, 8.0], [8.0, 8.0], higher=True) == 0.5
        assert probability_better([8.0, 8.0, 8.0], [7.0, 7.3, 7.1], higher=True) > 0.99  # one side has a spread
        assert agreement({"a": [2.0, 2.0], "b": [2.0, 2.0], "c": [2.0, 2.0]}) is None

    def test_ranks_and_how_far_they_agree(self):
        alike = ranks([{"a": 1.0, "b": 2.0, "c": 3.0}] * 4, higher=False)
        assert [s.row for s in standings(alike)] == ["a", "b", "c"]
        assert standings(alike)[0].first == 1.0
        assert agreement(alike).w == pytest.approx(1)
        turned = ranks([{"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 3.0, "b": 2.0, "c": 1.0}], higher=True)
        assert agreement(turned).w == pytest.approx(0)
        assert ranks([{"a": None, "b": 5.0, "c": None}], higher=True) == {"a": [2.5], "b": [1.0], "c": [2.5]}
        assert agreement({"a": [1.0], "b": [2.0]}) is None

    def test_how_sure_a_difference_is(self):
        assert probability_better([1.0, 1.1, 0.9], [5.0, 5.2, 4.9], higher=False) > 0.999
        assert probability_better([1.0, 1.1, 0.9], [5.0, 5.2, 4.9], higher=True) < 0.001
        assert np.isnan(probability_better([1.0], [2.0, 3.0], higher=True))


class TestRuns:
    def test_every_cell_is_trained_with_every_seed_for_its_length(self, finished):
        study = begun(finished)
        folders = sorted(str(file.parent.relative_to(finished)) for file in finished.glob("*/*/recipe.json"))
        assert folders == sorted(f"{cell.slug}/seed-{seed}" for cell in study.cells for seed in study.seeds)
        found = rows(finished)
        assert len(found) == 8
        assert {row["images"] for row in found} == {"64"}
        assert {row["state"] for row in found} == {"finished"}
        assert len({row["value"] for row in found}) == 8

    def test_all_runs_are_scored_at_the_same_moments(self):
        base = {name: value for name, value in BASE.items() if name != "score_every"}
        study = small(base=base | {"images": 6400})
        assert {study.recipe(cell, seed).score_every for cell in study.cells for seed in study.seeds} == {640}

    def test_nothing_is_left_to_do(self, finished):
        assert all(has_ended(finished, job) for group in jobs(begun(finished), finished) for job in group)
        assert not list(work(finished))

    def test_the_page_says_what_its_files_say(self, finished):
        page = report.write(finished).read_text()
        values = {}
        for row in rows(finished):
            values.setdefault((row["row"], row["column"]), []).append(float(row["value"]))
        for found in values.values():
            mean = np.mean(found)
            assert f"{mean:.3g}"[:4] in page
        assert page.count("<summary>") == 4
        assert "8 of 8 runs have ended" in page
        assert "http" not in re.sub(r"http-equiv|http://www.w3.org", "", page)

    def test_the_table_has_the_means_of_the_runs(self, finished):
        runs: dict[tuple[str, str], list[float]] = {}
        for row in rows(finished):
            runs.setdefault((row["row"], row["column"]), []).append(float(row["value"]))
        with (finished / "table.csv").open() as file:
            cells = {(row["row"], row["column"]): row for row in csv.DictReader(file)}
        assert cells.keys() == runs.keys()
        baseline = begun(finished).compared_with
        for cell, values in runs.items():
            found = [float(cells[cell][name]) for name in ("low", "mean", "high")]
            assert found == sorted(found)
            assert found[1] == pytest.approx(np.mean(values))
            assert cells[cell]["runs"] == str(len(values))
            assert (cells[cell]["p"] == "") == (cell[0] == baseline)
        for column in begun(finished).columns:
            assert [row["best"] for (_, other), row in cells.items() if other == column].count("True") == 1

    def test_the_table_for_a_paper(self, finished):
        report.write(finished)
        text = (finished / "table.tex").read_text()
        assert text.count(r"\toprule") == 1
        assert len(re.findall(r"\$.*? \\pm .*?\$ \(\d/2\)|\\mathbf", text)) >= 4
        assert r"least squares &" in text

    def test_it_grows_by_rows_and_seeds_and_what_was_trained_is_kept(self, finished, tmp_path):
        shutil.copytree(finished, tmp_path / "s")
        before = {file: file.stat().st_mtime_ns for file in (tmp_path / "s").glob("*/*/recipe.json")}
        more = {"rows": ROWS | {"logistic": {"loss": "non_saturating"}}, "seeds": (0, 1, 2), "title": "More"}
        out = done(begun(tmp_path / "s").changed(**more), tmp_path / "s")
        assert {file: file.stat().st_mtime_ns for file in before} == before
        assert len(rows(out)) == 3 * 2 * 3
        assert [row for row in rows(out) if row["row"] in ROWS and row["seed"] in "01"] == rows(finished)

    def test_two_that_work_at_once_share_the_runs(self, finished, tmp_path):
        begin(begun(finished), tmp_path / "two", threads=1)
        at_it = {name: work(tmp_path / "two") for name in "ab"}
        did: dict[str, set[str]] = {"a": set(), "b": set()}
        while at_it:  # turn by turn, so that each finds the other at a run
            for name in [*at_it]:
                if event := next(at_it[name], None):
                    did[name].add(event.run)
                else:
                    del at_it[name]
        assert len(did["a"]) > 1 < len(did["b"])
        assert not did["a"] & did["b"]
        assert rows(tmp_path / "two") == rows(finished)

    def test_two_workers_are_one(self, finished, tmp_path):
        study = begun(finished)
        for event in carry_out(study, tmp_path / "two", workers=2, threads=1):
            assert event.ended != "failed"
        assert rows(tmp_path / "two") == rows(finished)

    def test_cells_that_are_measured_otherwise_are_left_out(self, finished, tmp_path):
        shutil.copytree(finished, tmp_path / "copy")
        file = tmp_path / "copy" / "hinge--slow" / "seed-1" / "metrics.jsonl"
        file.write_text(file.read_text().replace('"n_real": 64', '"n_real": 999'))
        page = report.write(tmp_path / "copy").read_text()
        assert "measured in another way than their column: hinge, slow, seed 1" in page

    def test_a_crash_is_a_result_and_the_rest_goes_on(self, tmp_path):
        breaks = "def pair():\n    '''Breaks.'''\n    return lambda shape: 1 / 0\n"
        (tmp_path / "mine.py").write_text(breaks)
        study = small(rows=ROWS | {"broken": {"network": f"{tmp_path / 'mine.py'}:pair"}}, seeds=(0,))
        out = done(study, tmp_path / "s")
        failure = json.loads((out / "broken" / "seed-0" / "failure.json").read_text())
        assert failure["kind"] == "refused"
        assert "division by zero" in failure["reason"]
        states = {row["row"]: row["state"] for row in rows(out)}
        assert states == {"hinge": "finished", "least squares": "finished", "broken": "refused"}
        assert "division by zero" in (out / "report.html").read_text()

    def test_survivors_are_those_that_reach_a_score(self, finished, tmp_path):
        strict = done(small(survives=1e-9, seeds=(0,)), tmp_path / "s")
        assert {row["survived"] for row in rows(strict)} == {"False"}
        assert "0/1" in report.write(strict).read_text()

    def test_minutes_become_one_length_for_all_seeds_of_a_cell(self, tmp_path):
        base = {name: value for name, value in BASE.items() if name not in ("images", "score_every")}
        study = small(base=base | {"minutes": 0.002}, rows={"a": {}})
        out = done(study, tmp_path / "s")
        recipes = [json.loads(file.read_text())["recipe"] for file in out.glob("*/*/recipe.json")]
        length = json.loads((out / "a" / "images.json").read_text())
        assert [recipe["images"] for recipe in recipes] == [length] * 2
        assert [recipe["score_every"] for recipe in recipes] == [-(-length // max(1, min(10, length // 32)))] * 2

    def test_the_networks_that_are_timed_are_those_that_are_trained(self, tmp_path, monkeypatch):
        timed = []
        slow = lambda recipe, *_, **__: timed.append(recipe.network) or Pace(image=6.0, scored=1e-3)
        monkeypatch.setattr(sys.modules["equipoise.study.work"], "measure_pace", slow)
        few = {"data": "builtin", "features": "pixels", "score": ["fd"], "score_images": 10, "minutes": 6}
        study = small(base=few, rows={"a": {}}, seeds=(0,))
        out = done(study, tmp_path / "s")
        (file,) = out.glob("*/*/recipe.json")
        recipe = json.loads(file.read_text())["recipe"]
        assert recipe["images"] == 60
        assert timed == [recipe["network"]]
        assert "g_width=32" in recipe["network"]  # as in six minutes that are not slow


RANGES = {"lr_d": "log(1e-4, 1e-2)", "lr_g": 1e-3}


def test_spectra_of_all_rows_are_drawn_layer_by_layer(monkeypatch, tmp_path):
    study = small(base=BASE | {"instruments": ["spectrum"], "instruments_every": 64}, about="What is known.")
    out = done(study, tmp_path / "s")
    page = report.write(out).read_text()
    (line, *others) = study_spectra.plots(results(out))[0].lines
    assert len(others) == 1
    assert (line.band[0] <= line.y).all()
    assert (line.y <= line.band[1]).all()
    assert line.y[0] == 1.0
    assert "What is known." in page
    assert page.count("Squared singular values relative to the largest") == 2  # an mlp of two layers
    text = documented(out, monkeypatch, tmp_path)
    assert "![Squared singular values of each layer](mine.png)" in text
    with Image.open(tmp_path / "mine.png") as picture:
        assert picture.width > 400


def documented(folder, monkeypatch, tmp_path):
    """The page of docs/studies of a study that is called "mine"."""
    monkeypatch.setattr(study_pages, "STUDIES", tmp_path)
    monkeypatch.setattr(study_pages, "source", lambda study: ("mine", "small", study))
    monkeypatch.setattr(sys, "argv", ["study_pages.py", str(folder)])
    study_pages.main()
    return (tmp_path / "mine.md").read_text()


def test_the_pages_of_the_documentation_are_made_of_folders(finished, monkeypatch, tmp_path):
    text = documented(finished, monkeypatch, tmp_path)
    assert "8 of 8 runs" in text
    assert len(re.findall(r"\(\d/2\)", text)) == 4
    assert "| Cell | Images | Time in training |" in text
    assert (tmp_path / "mine.html").read_bytes() == (finished / "report.html").read_bytes()
    assert "![Samples of every row](mine-samples.png)" in text
    with Image.open(tmp_path / "mine-samples.png") as samples:
        assert np.asarray(samples.convert("L"))[30:, 110:].std() > 10


def test_a_row_that_could_not_begin_may_be_changed(tmp_path):
    begin(small(rows=ROWS | {"new": {"loss": "energy"}}), tmp_path / "s", threads=1)
    out = done(begun(tmp_path / "s"), tmp_path / "s")
    assert {row["state"] for row in rows(out) if row["row"] == "new"} == {"refused"}
    out = done(begun(out).changed(rows=ROWS | {"new": {"loss": "non_saturating"}}), out)
    assert {row["state"] for row in rows(out)} == {"finished"}
    with pytest.raises(ValueError, match=r"It differs in rows\.new$"):
        begin(small(rows=ROWS | {"new": {"loss": "wasserstein"}}), out, threads=1)


class TestSearch:
    def test_the_best_setting_of_a_random_search_is_trained_with_all_seeds(self, tmp_path):
        study = small(rows={"a": RANGES}, search=Search(trials=3))
        out = done(study, tmp_path / "s")
        score = lambda folder: [json.loads(line)["fd"] for line in (folder / "metrics.jsonl").read_text().splitlines()][
            -1
        ]
        rate = lambda folder: json.loads((folder / "recipe.json").read_text())["recipe"]["lr_d"]
        trials = sorted((out / "a").glob("trial-*"))
        assert len(trials) == 3
        assert len({rate(folder) for folder in trials}) == 3
        best = min(trials, key=score)
        assert {rate(folder) for folder in (out / "a").glob("seed-*")} == {rate(best)}
        tried = [row for row in rows(out) if row["trial"]]
        assert len(rows(out)) - len(tried) == 2
        assert [float(row["value"]) for row in tried] == sorted(score(folder) for folder in trials)
        assert {row["setting"] for row in rows(out) if row["seed"]} == {f"lr_d {rate(best)}"} == {tried[0]["setting"]}
        page = (out / "report.html").read_text()
        assert all(f"lr_d {rate(folder)}" in page for folder in trials)

    def test_halving_stops_the_worse_and_resumes_the_better(self, tmp_path):
        base = BASE | {"images": 144, "save_every": 16}
        study = small(base=base, rows={"a": RANGES}, seeds=(0,), search=Search(trials=3, method="halving"))
        out = done(study, tmp_path / "s")
        seen = sorted(
            int(max(f.stem for f in folder.glob("checkpoints/[0-9]*.pt"))) for folder in out.glob("a/trial-*")
        )
        assert seen == [48, 48, 144]
        assert runs_of(study, study.cells[0]) == pytest.approx(1 + (3 * 48 + 96) / 144)

    @pytest.mark.parametrize("images", [143, 161])
    def test_rungs_end_where_scores_come(self, tmp_path, images):
        study = small(
            base=BASE | {"images": images},
            rows={"a": RANGES},
            seeds=(0,),
            search=Search(trials=4, method="halving", keep=2),
        )
        out = done(study, tmp_path / "s")
        assert all(has_ended(out, job) for group in jobs(study, out) for job in group)

    def test_winners_are_confirmed_by_runs_that_did_not_choose_them(self, tmp_path):
        out = done(small(rows={"a": RANGES}, search=Search(trials=2)), tmp_path / "s")
        seeds = lambda kind: {
            json.loads(file.read_text())["recipe"]["seed"] for file in out.glob(f"a/{kind}-*/recipe.json")
        }
        assert not seeds("trial") & seeds("seed")

    def test_rows_without_ranges_are_not_searched(self, tmp_path):
        study = small(rows={"usual": {"lr_d": 1e-3}, "tuned": RANGES}, seeds=(0,), search=Search(trials=2))
        out = done(study, tmp_path / "s")
        assert sorted(folder.name for folder in (out / "usual").iterdir()) == ["seed-0"]
        assert sorted(folder.name for folder in (out / "tuned").iterdir()) == ["seed-0", "trial-0", "trial-1"]

    def test_settings_are_a_function_of_the_seed(self, tmp_path):
        found = [
            [job.recipe.lr_d for job in next(jobs(study, tmp_path))]
            for study in [small(rows={"a": RANGES}, search=Search(trials=4, seed=seed)) for seed in (0, 0, 1)]
        ]
        assert found[0] == found[1] != found[2]


class TestCommand:
    FILE = """
title = "two losses"
seeds = [0, 1]
[base]
{base}
[rows.hinge]
loss = "hinge"
[rows."least squares"]
loss = "least_squares"
"""

    @pytest.fixture
    def file(self, tmp_path):
        lines = [f"{name} = {json.dumps(value)}" for name, value in BASE.items()]
        path = tmp_path / "compare.toml"
        path.write_text(self.FILE.format(base="\n".join(lines)))
        return path

    def test_from_a_page_of_toml_to_the_answer(self, file, tmp_path, capsys):
        assert cli.main(["study", str(file), "--out", str(tmp_path / "s"), "--threads", "1"]) == 0
        said = capsys.readouterr().out
        assert said.count(" of 4 runs  ") == 4
        assert "table: " in said
        page = (tmp_path / "s" / "report.html").read_text()
        assert "two losses" in page
        assert cli.main(["study", "--out", str(tmp_path / "s")]) == 0  # nothing is left
        assert cli.main(["study", "--out", str(tmp_path / "s"), "--threads", "2"]) == 1
        assert "was begun with 1 threads a run, which all of its runs have, not with 2" in capsys.readouterr().err

    def test_the_dry_run_says_what_it_takes_and_writes_nothing(self, file, tmp_path, capsys):
        assert cli.main(["study", str(file), "--out", str(tmp_path / "s"), "-n"]) == 0
        said = capsys.readouterr().out
        assert re.search(r"the study takes about .* and [\d.,]+ [kM]B; nothing was written", said)
        assert "2 cells x 2 seeds" in said
        assert not (tmp_path / "s").exists()

    def test_a_script_for_slurm(self, file, tmp_path, capsys):
        words = ["study", str(file), "--out", str(tmp_path / "s"), "--workers", "4", "--threads", "2", "--on", "slurm"]
        assert cli.main(words) == 0
        script = capsys.readouterr().out
        assert "#SBATCH --array=1-4" in script
        assert script.rstrip().endswith(f"-P -m equipoise.study {tmp_path / 's'} cpu")
        assert subprocess.run(["sh", "-n"], input=script, text=True).returncode == 0
        assert begun(tmp_path / "s").title == "two losses"

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["study", "nothing"], "study needs a folder"),
            (["study", "--out", "nowhere"], "nowhere is no folder of a study"),
            (["study", "nothing", "--out", "x"], "no such file: nothing; studies that come along"),
        ],
    )
    def test_what_is_wrong_is_said_in_a_line(self, words, message, capsys):
        assert cli.main(words) == 1
        assert re.match(rf"equipoise: {message}.*\n$", capsys.readouterr().err)

    def test_data_that_is_missing_is_found_at_once(self, file, tmp_path, capsys):
        file.write_text(file.read_text().replace(BASE["data"], "nowhere/"))
        assert cli.main(["study", str(file), "--out", str(tmp_path / "s")]) == 1
        assert re.match(r"equipoise: hinge: no such file or folder", capsys.readouterr().err)
        assert not (tmp_path / "s").exists()

    def test_workers_say_which_images_are_broken_and_it_is_shown_once(self, file, tmp_path, capsys):
        worker = logging.LogRecord("equipoise.data", logging.WARNING, "", 0, "skipped %s", ("bad.png",), None)
        said = []
        study_main.Notes(said.append).emit(worker)
        (event,) = said
        assert event.note == "skipped bad.png"
        with study_display.progress(read(file), tmp_path) as show:
            show(event)
        assert capsys.readouterr().out == "skipped bad.png\n"

    def test_killed_at_random_it_ends_with_the_same_table(self, file, tmp_path):
        whole = done(read(file), tmp_path / "whole")
        command = [
            sys.executable,
            "-m",
            "equipoise",
            "study",
            str(file),
            "--out",
            str(tmp_path / "s"),
            "--threads",
            "1",
        ]
        wait = np.random.default_rng(0)
        for _ in range(3):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
            time.sleep(wait.uniform(2, 6))
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0
        assert rows(tmp_path / "s") == rows(whole)

    def test_a_signal_saves_and_the_same_command_goes_on(self, file, tmp_path):
        file.write_text(file.read_text().replace("images = 64", "images = 640"))
        command = [
            sys.executable,
            "-m",
            "equipoise",
            "study",
            str(file),
            "--out",
            str(tmp_path / "s"),
            "--threads",
            "1",
        ]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        while not list((tmp_path / "s").glob("*/*/checkpoints/*.pt")):
            time.sleep(0.05)
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert "to resume: equipoise study" in process.communicate(timeout=60)[1]
        assert process.returncode == 128 + signal.SIGTERM
        assert subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0
        assert {row["images"] for row in rows(tmp_path / "s")} == {"640"}


def test_a_score_that_somebody_asked_for_does_not_end_a_run(tmp_path):
    out = done(small(rows={"hinge": {"loss": "hinge"}}, seeds=(0,)), tmp_path / "s")
    (job,), file = next(jobs(begun(out), out)), out / "hinge" / "seed-0" / "metrics.jsonl"
    assert has_ended(out, job)
    of_training = [json.loads(line) for line in file.read_text().splitlines()]
    rest = [*of_training[:-1], of_training[-1] | {"when": "evaluate"}]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rest))
    assert not has_ended(out, job)


def test_a_worker_that_dies_twice_at_a_run_is_that_runs_result(tmp_path):
    dies = "import os\ndef pair():\n    '''Dies.'''\n    return lambda shape: os._exit(7)\n"
    (tmp_path / "mine.py").write_text(dies)
    study = small(rows={"dies": {"network": f"{tmp_path / 'mine.py'}:pair"}, "hinge": {"loss": "hinge"}}, seeds=(0,))
    events = [event for event in carry_out(study, tmp_path / "s", threads=1) if event.ended]
    assert {(event.run, event.ended) for event in events} == {("dies/seed-0", "failed"), ("hinge/seed-0", "done")}
    assert "status 7" in json.loads((tmp_path / "s" / "dies" / "seed-0" / "failure.json").read_text())["reason"]


def test_a_worker_that_dies_between_two_runs_is_followed_once(tmp_path):
    deaths, idle = {}, object.__new__(Child)
    idle.run, idle.seen = "", 0
    assert [*mourn(tmp_path, idle, "no memory", deaths)] == []
    with pytest.raises(OSError, match="a worker ended: no memory"):
        [*mourn(tmp_path, idle, "no memory", deaths)]


def test_a_problem_of_the_folder_is_no_result(tmp_path):
    study = small(rows={"hinge": {"loss": "hinge"}}, seeds=(0,))
    out = done(study, tmp_path / "s")
    run = out / "hinge" / "seed-0"
    (run / "metrics.jsonl").unlink()
    newest = max(run.glob("checkpoints/[0-9]*.pt"))
    newest.write_bytes(b"damaged")
    with pytest.raises(OSError, match="cannot be read"):
        list(carry_out(study, out, threads=1))
    assert not (run / "failure.json").exists()


def test_a_run_that_was_killed_while_its_first_file_was_written_begins(tmp_path):
    study = small(rows={"hinge": {"loss": "hinge"}}, seeds=(0,))
    (tmp_path / "s" / "hinge" / "seed-0").mkdir(parents=True)
    (tmp_path / "s" / "hinge" / "seed-0" / ".recipe.json.123").write_text("{")
    begin(study.changed(title=""), tmp_path / "other", threads=1)
    shutil.copy(tmp_path / "other" / "study.json", tmp_path / "s" / "study.json")
    assert [event.ended for event in work(tmp_path / "s") if event.ended] == ["done"]


class TestTuning:
    def test_space_is_around_the_recipe(self):
        rates = dict.fromkeys(("lr_g", "lr_d"), "decay(1e-3, share=0.5)")
        recipe = Recipe(penalties=("r1(weight=3.0, every=4)", "lecam"), batch=16, g_batch=16, **rates)
        assert space(recipe, ["lr"]) == dict.fromkeys(
            ("lr_g", "lr_d"), "decay(value=log(0.0001, 0.01, name='lr'), share=0.5)"
        )
        weighted = space(recipe, ["penalty weight"])["penalties"]
        assert weighted[0] == "r1(weight=log(0.3, 30.0), every=4)"
        assert re.fullmatch(r"lecam\(weight=log\(.*\)\)", weighted[1])
        assert space(replace(recipe, penalties=("r1(5, 4)",)), ["penalty weight"]) == {
            "penalties": ("r1(weight=log(0.5, 50.0), every=4)",)
        }
        assert space(replace(recipe, optimizer="adam"), ["beta1"]) == {"optimizer": "adam(beta1=uniform(0.0, 0.9))"}
        assert space(recipe, ["lr_d=log(1e-5, 1e-2)"]) == {"lr_d": "log(1e-5, 1e-2)"}
        assert space(recipe, ["batch"])["g_batch"] == space(recipe, ["batch"])["batch"]

    @pytest.mark.parametrize(
        "rate", ["linear(0.02, 0.0172)", "cosine(2e-2, 1e-2, images=100)", "steps((2e-2, 1e-2), (9,))"]
    )
    def test_rates_of_a_schedule_keep_their_ratio(self, rate):
        found = space(Recipe(lr_g=rate, lr_d=1e-3), ["lr"])
        values = [drawn(found, np.random.default_rng(seed)) for seed in range(4)]
        ends = [[float(x) for x in re.findall(r"0\.\d+", value["lr_g"])[:2]] for value in values]
        first = [float(x) for x in re.findall(r"\d[\d.e-]*", rate)[:2]]
        assert len({end[0] for end in ends}) == 4
        for (start, end), value in zip(ends, values, strict=True):
            assert start / end == pytest.approx(first[0] / first[1], rel=0.02)
            assert start / value["lr_d"] == pytest.approx(first[0] / 1e-3, rel=0.02)

    @pytest.mark.parametrize(
        ("recipe", "field", "message"),
        [
            (Recipe(), "lrr", "nothing to tune is called 'lrr'.*did you mean 'lr'"),
            (Recipe(optimizer="rmsprop"), "beta1", "rmsprop has no beta1 that could be tuned"),
            (Recipe(penalties=("r1(weight=cosine(2, 0.2))",)), "penalty weight", "has no weight that is a number"),
        ],
    )
    def test_what_cannot_be_tuned(self, recipe, field, message):
        with pytest.raises(ValueError, match=message):
            space(recipe, [field])

    def test_from_data_to_an_answer_with_how_sure_it_is(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(tuning, "STARTS", 0.5)
        monkeypatch.setattr(planning, "measure_pace", lambda *_: Pace(image=1e-4, scored=1e-5))
        words = ["tune", "ring", "--out", str(tmp_path / "t"), "--minutes", "0.2", "--trials", "2"]
        assert cli.main([*words, "--fields", "lr_d=log(3e-4, 1e-3)"]) == 0
        said = capsys.readouterr().out
        assert re.search(r"tuned: \w+ [\d.,]+ \(.* to .*\), \d seeds", said), said
        assert re.search(r"the best setting: --lr-d 0.\d+", said)
        assert re.search(r"\d+% sure that it is better", said)
        monkeypatch.setattr(tuning, "STARTS", 1e9)  # as if the machine had become slow
        assert cli.main([*words, "--fields", "lr_d=log(3e-4, 1e-3)"]) == 0
        assert cli.main([*words, "--fields", "lr"]) == 1
        assert "holds another study; nothing was changed. It differs in" in capsys.readouterr().err

    def test_networks_and_rates_are_those_of_one_run(self, arrays, tmp_path, monkeypatch):
        monkeypatch.setattr(planning, "measure_pace", lambda *_: Pace(image=1e-3, scored=1e-5))
        usual = replace(presets.default(), data=str(arrays), size="32")
        for minutes, width, rate in ((8.0, 16, "2e-3"), (12.0, 32, "1e-3")):
            study = tuning.tuning(usual, ["lr_d"], minutes, tmp_path / "x", "cpu", trials=2)
            assert f"g_width={width}" in study.base["network"]
            assert study.base["lr_g"] == f"decay({rate}, share=0.5)"
            assert ranges_in(study.rows[tuning.TUNED])

    def test_too_little_time_is_said(self, tmp_path, capsys):
        assert cli.main(["tune", BASE["data"], "--out", str(tmp_path / "t"), "--minutes", "0.01"]) == 1
        assert re.search(r"are too few for \d+ runs in turn: give --minutes \d+\.\d", capsys.readouterr().err)
        assert not (tmp_path / "t").exists()


def test_costs_name_the_cells_that_cannot_run():
    study = small(rows={"fine": {}, "refused": {"loss": "energy"}})
    fine, refused = costs(study, "cpu", threads=1)
    assert fine.seconds > 0
    assert fine.size > 1000
    assert "is a loss of energies" in refused.problem


def test_on_a_ray_cluster(tmp_path):
    from equipoise.study.workers import on_ray

    on_ray(small(), tmp_path / "ray", workers=2)
    assert rows(tmp_path / "ray") == rows(done(small(), tmp_path / "one"))
