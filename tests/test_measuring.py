"""Instruments in runs: what they write, and that a run is the same run with them."""

from dataclasses import replace

import pytest
import torch
from small_runs import finish, lines, same_state, small
from test_translation import beside, recipe_of, unpaired  # noqa: F401

from equipoise import instruments, presets, runs, spec
from equipoise.critic import Critic
from equipoise.presets.published import published
from equipoise.runs import RunFolder, Session
from equipoise.runs.folder import read_rows
from equipoise.runs.measuring import LISTED, Bench, few

SPECTRAL = published(network="dcgan(d_feature_norm='none')", loss="hinge", d_norm="spectral")
WEIGHTS = ("effective_rank", "lipschitz_bound(steps=2)", "spectrum(top=2, steps=4)")
ALL = (*WEIGHTS, "sigma_error", "lipschitz_estimate(points=3)", "gradient_norms(points=3)", "js_estimate")
MEASURED = {"instruments": (*ALL, "transport_gap"), "instruments_every": 8}


def without(rows):
    """Rows but for what instruments say."""
    return [{key: value for key, value in row.items() if key != "instruments"} for row in rows]


@pytest.fixture(scope="module")
def recipe(arrays):
    return small(replace(SPECTRAL, labels=True), arrays, save_every=8)


@pytest.fixture(scope="module")
def measured(recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "measured"
    finish(replace(recipe, **MEASURED), out)
    return out


def test_a_run_is_the_same_with_instruments_and_without(recipe, measured, tmp_path):
    finish(recipe, tmp_path / "plain")
    assert same_state(measured, tmp_path / "plain")
    plain, rows = lines(tmp_path / "plain" / "stats.jsonl"), lines(measured / "stats.jsonl")
    assert without(rows)[1:] == plain
    assert lines(measured / "metrics.jsonl") == lines(tmp_path / "plain" / "metrics.jsonl")


def test_rows_say_what_was_measured_of_whom(measured):
    rows = [row for row in read_rows(measured / "stats.jsonl") if "instruments" in row]
    assert [row["seen"] for row in rows] == [0, 8, 16, 24]
    assert (measured / "stats.jsonl").read_text().count('"seen": 0,') == 1
    for row in rows:
        assert [*row["instruments"]] == ["G", "D"]
        assert {*row["instruments"]["D"]} == {spec.name_of(call) for call in MEASURED["instruments"]}
        assert {*row["instruments"]["G"]} == {"effective_rank", "lipschitz_bound", "spectrum"}
    of_d = rows[-1]["instruments"]["D"]
    assert sum(of_d["gradient_norms"]["counts"]) == 3 * 60
    assert rows[0]["instruments"]["D"]["spectrum"] != of_d["spectrum"]


def test_what_is_written_is_what_the_instrument_says_of_the_last_state(recipe, measured):
    session = Session(RunFolder(measured).recipe(), measured)
    session.state.load_state_dict(session.restore())
    found = instruments.lipschitz_bound(Critic(session.state.nets["D"]))
    last = [*read_rows(measured / "stats.jsonl")][-1]["instruments"]["D"]
    spectra = instruments.effective_rank(session.state.nets["D"])
    assert last["effective_rank"] == pytest.approx(spectra)
    assert last["lipschitz_bound"].keys() == found.keys()
    assert last == session.bench.measure(session.state.nets)["D"]


def test_a_resumed_run_has_the_same_rows(recipe, measured, tmp_path):
    stopped = replace(recipe, **MEASURED)
    for _ in range(2):
        for progress in runs.train(stopped, tmp_path / "x"):
            if progress.seen >= 12:
                break
    finish(stopped, tmp_path / "x")
    assert lines(tmp_path / "x" / "stats.jsonl") == lines(measured / "stats.jsonl")
    assert same_state(measured, tmp_path / "x")


@pytest.mark.parametrize(
    ("preset", "whom"),
    [
        ("cyclegan", ["D_a", "D_b", "G_ab", "G_ba"]),
        ("pix2pix", ["D", "G"]),
        ("lapgan", ["D_0", "D_1", "G"]),
        ("pggan", ["D", "G"]),
    ],
)
def test_games_with_other_networks_are_measured_too(preset, whom, unpaired, beside, arrays, tmp_path):  # noqa: F811
    made, calls = getattr(presets, preset)(), WEIGHTS if preset == "lapgan" else (*WEIGHTS, "gradient_norms(points=3)")
    if preset in ("lapgan", "pggan"):
        recipe = replace(small(made, arrays), growth="none")
    else:
        recipe = recipe_of(preset, str(unpaired if preset == "cyclegan" else beside))
    session = Session(replace(recipe, instruments=calls, instruments_every=4), tmp_path / "x")
    found = session.bench.measure(session.state.nets)
    assert sorted(found) == whom
    judges = [name for name in found if name.startswith("D")]
    assert all(("gradient_norms" in found[name]) == (preset != "lapgan") for name in judges)
    if preset == "cyclegan":
        assert len({found[name]["gradient_norms"]["mean"] for name in judges}) == 2


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        (("sigma_error",), "the instrument sigma_error has nothing to measure here: no layer of .* is spectrally"),
        (("spectrum", "spectrum(top=3)"), "each instrument needs a name of its own: spectrum, spectrum"),
        (("spectre",), r"instruments has no 'spectre' \(did you mean 'spectrum'\?\)"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_written(calls, message, arrays, tmp_path):
    recipe = replace(small(presets.dcgan(), arrays), instruments=calls)
    with pytest.raises(ValueError, match=message):
        Session(recipe, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_an_instrument_of_ones_own(arrays, tmp_path):
    (tmp_path / "mine.py").write_text(
        "def margin(k=2.0):\n"
        '    """k (mean D(x) - mean D(G(z)))."""\n'
        "    return lambda critic, real, fake: {'margin': k * (critic(real).mean() - critic(fake).mean()).item()}\n"
    )
    call = f"{tmp_path / 'mine.py'}:margin(k=3.0)"
    finish(replace(small(SPECTRAL, arrays), instruments=(call,), instruments_every=8), tmp_path / "x")
    rows = [row["instruments"] for row in read_rows(tmp_path / "x" / "stats.jsonl") if "instruments" in row]
    assert len(rows) == 4
    assert all([*row] == ["D"] and isinstance(row["D"]["margin"]["margin"], float) for row in rows)


def test_an_open_interval_is_chosen_where_there_are_instruments(arrays, tmp_path):
    recipe = replace(small(SPECTRAL, arrays), images=200, score_every=200)
    assert Session(recipe, tmp_path / "x").recipe.instruments_every is None
    assert Session(replace(recipe, instruments=("spectrum",)), tmp_path / "x").recipe.instruments_every == 10


def test_an_instrument_that_measures_nothing_any_more_is_named_once(measured, caplog):
    session = Session(RunFolder(measured).recipe(), measured)

    def broken(*given):
        raise ValueError("there is nothing to see")

    session.bench.instruments = {"spectrum": broken}
    assert session.bench.measure(session.state.nets) == session.bench.measure(session.state.nets) == {}
    assert caplog.messages == ["spectrum could not be measured: there is nothing to see"]


def test_networks_that_broke_are_left_out_of_a_row(measured):
    session = Session(RunFolder(measured).recipe(), measured)
    with torch.no_grad():
        next(weight for weight in session.state.nets["D"].parameters() if weight.ndim > 1).fill_(float("nan"))
    found = session.bench.measure(session.state.nets)
    assert "spectrum" in found["G"]
    assert "spectrum" not in found.get("D", {})


def test_histograms_are_whole(recipe, measured):
    session = Session(RunFolder(measured).recipe(), measured)
    bench = Bench(["gradient_norms(bins=100, points=2)"], session.outputs, session.device)
    found = bench.measure(session.state.nets)["D"]["gradient_norms"]
    assert (len(found["counts"]), len(found["edges"]), sum(found["counts"])) == (100, 101, 120)


def test_long_lists_are_thinned_with_both_ends():
    assert few([1.0, 2.0]) == [1.0, 2.0]
    kept = few([float(n) for n in range(1000)])
    assert (len(kept), kept[0], kept[-1]) == (LISTED, 0.0, 999.0)
    assert few(2.0) == 2.0
    assert torch.tensor(kept).diff().min() > 0
