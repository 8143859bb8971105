"""The curves of a run: what is joined, what is marked, and that drawing them disturbs nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from equipoise.report.curves import axes, plots
from equipoise.report.plots import NOISY, Line, Mark, Plot, smooth, svg
from equipoise.report.record import Record
from equipoise.themes import THEMES, Theme

LIGHT = THEMES["light"]
Rows = Sequence[dict[str, Any]]


def score(seen: int, fd: float, features: str = "a", when: str = "training", **more: Any) -> dict[str, Any]:
    card = {"scores": {"fd": {"sees": "features"}}, "features": "random", "features_hash": features}
    return {"seen": seen, "when": when, "fd": fd, **card, **more}


def record(metrics: Rows, stats: Rows, *players: str) -> Record:
    training = [row for row in metrics if row["when"] == "training"]
    evaluations = [row for row in metrics if row["when"] == "evaluate"]
    context = {"players": {player: [player.upper()] for player in players}}
    return Record(Path("run"), context, stats, training, evaluations, [], [], Path("none"), 100)


def drawn(metrics: Rows, stats: Rows = (), axis: int = 0, players: tuple[str, ...] = ("d", "g")) -> dict[str, Plot]:
    run = record(metrics, [*stats], *players)
    return {plot.title: plot for plot in plots(run, axes(run)[axis])}


def test_the_best_is_marked_where_it_is() -> None:
    plot = drawn([score(0, 50.0), score(10, 7.0), score(20, 9.0)])["FD (random)"]
    assert plot.mark == Mark(10, 7.0, "best 7.00")
    assert b"best 7.00" in svg(plot, LIGHT)


def test_of_equal_scores_the_last_is_the_best() -> None:
    plot = drawn([score(0, 7.0), score(10, 7.0), score(20, 9.0)])["FD (random)"]
    assert plot.mark
    assert plot.mark.x == 10


def test_different_features_are_not_joined() -> None:
    plot = drawn([score(0, 50.0), score(10, 40.0), score(20, 3.0, "b"), score(30, 2.0, "b"), score(40, 30.0, "a")])[
        "FD (random)"
    ]
    assert [line.y.tolist() for line in plot.lines] == [[50.0, 40.0, 30.0], [3.0, 2.0]]
    assert len({line.colour for line in plot.lines}) == 2
    assert "cannot be compared" in plot.caption


def evaluation(real_fd: float, real_n: int | None = 10, features: str = "a", **more: Any) -> dict[str, Any]:
    return score(20, 8.0, features, "evaluate", real_fd=real_fd, real_n=real_n, **more)


def test_the_floor_is_that_of_the_same_features() -> None:
    assert drawn([score(0, 50.0), evaluation(1.25), evaluation(0.1, features="b")])["FD (random)"].floor == 1.25
    assert drawn([score(0, 50.0), evaluation(0.1, features="b")])["FD (random)"].floor is None


@pytest.mark.parametrize("differs", ["resizer", "n_real", "reference", "reference_hash", "dtype"])
def test_the_floor_is_that_against_the_same_real_images(differs: str) -> None:
    first = score(0, 50.0, **{differs: "one"})
    assert drawn([first, evaluation(1.25, **{differs: "one"})])["FD (random)"].floor == 1.25
    assert drawn([first, evaluation(1.25, **{differs: "other"})])["FD (random)"].floor is None


@pytest.mark.parametrize(
    ("training", "evaluated", "alike"),
    [
        (["fd"], ["fd", "kid"], True),
        (["fd", "kid(subsets=10)"], ["kid", "fd"], True),
        (["mine.py:fd(width=3)"], ["kid", "mine.py:fd(width=3)"], True),
        (["mine.py:fd(width=3)"], ["mine.py:fd"], False),
        (["fd"], ["mine.py:fd"], False),
        (["many(k=3)"], ["kid", "many(k=3)"], True),
        (["many(k=3)"], ["kid", "many"], False),
    ],
)
def test_the_floor_is_that_of_the_same_call(training: list[str], evaluated: list[str], alike: bool) -> None:
    plot = drawn([score(0, 50.0, metrics=training), evaluation(1.25, metrics=evaluated)])["FD (random)"]
    assert (plot.floor == 1.25) == alike


def test_the_floor_is_of_as_many_images_as_were_generated_where_there_is_a_choice() -> None:
    several = [evaluation(1.5, 100), evaluation(1.25, 100), evaluation(0.5, 1000)]
    plot = drawn([score(0, 50.0, n_fake=100), *several])["FD (random)"]
    assert plot.floor == 1.25
    assert "Dashed: 1.25, what 100 held-out real images score." in plot.caption
    assert "generated ones" not in plot.caption
    plot = drawn([score(0, 50.0, n_fake=2000), *several])["FD (random)"]
    assert plot.floor == 0.5
    expected = "Dashed: 0.500, what 1,000 held-out real images score. The scores are of 2,000 generated ones, and may"
    assert expected in plot.caption


def test_a_floor_of_unknown_many_images_is_not_drawn() -> None:
    assert drawn([score(0, 50.0), evaluation(1.25, None)])["FD (random)"].floor is None


def test_scores_that_are_no_numbers_are_left_out() -> None:
    rows = [score(0, 50.0), score(10, float("nan")), score(20, float("inf")), score(30, 40.0)]
    assert drawn(rows)["FD (random)"].lines[0].y.tolist() == [50.0, 40.0]


def test_seconds_are_those_of_the_statistics() -> None:
    stats = [{"seen": 10, "seconds": 2.0, "d.real": 0.5}, {"seen": 20, "seconds": 6.0, "d.real": 0.25}]
    plots = drawn([score(0, 50.0), score(15, 40.0)], stats, axis=1)
    assert plots["FD (random)"].lines[0].x.tolist() == [0.0, 4.0]
    assert plots["Mean logits"].lines[0].x.tolist() == [2.0, 6.0]
    assert plots["FD (random)"].x_label == "seconds"


def test_a_penalty_is_drawn_where_there_is_one() -> None:
    rows = lambda **penalty: [{"seen": seen, "d.loss": 1.0, **penalty} for seen in (1, 2)]
    assert [*drawn([], rows())] == ["Losses"]
    found = drawn([], rows(**{"d.r1": 0.5, "d.r1_2": 0.25, "g.path_length": 4.0}))
    assert [*found] == ["Losses", "Discriminator: r1", "Discriminator: r1_2", "Generator: path_length"]
    assert [line.y.tolist() for plot in found.values() for line in plot.lines] == [
        [1.0, 1.0],
        [0.5, 0.5],
        [0.25, 0.25],
        [4.0, 4.0],
    ]
    assert found["Generator: path_length"].caption == "Healthy: small beside the generator's loss, and steady."


def test_the_usual_game_has_the_plots_of_the_usual_game() -> None:
    row = {"seen": 1, "g.loss": 1.0, "d.loss": 2.0, "d.fake": -1.0, "d.real": 1.0, "g.gradient": 3.0, "d.gradient": 4.0}
    found = drawn([], [row, {"seen": 2, **row, "ada.p": 0.5}])
    assert {title: [(line.name, line.colour) for line in plot.lines] for title, plot in found.items()} == {
        "Losses": [("discriminator", "first"), ("generator", "second")],
        "Mean logits": [("real images", "first"), ("generated images", "second")],
        "Gradient norms": [("discriminator", "first"), ("generator", "second")],
        "Ada: p": [("p", "third")],
    }


def test_any_game_has_its_plots_and_colours_come_round() -> None:
    players = ("ae", "d1", "d2", "teacher")
    row = {f"{player}.loss": 1.0 for player in players} | {
        f"d{n}.{side}": n for n in (1, 2) for side in ("real", "fake")
    }
    found = drawn([], [{"seen": 1, **row, "ae.reconstruction": 0.5, "balance.k": 0.1}], players=players)
    assert [*found] == ["Losses", "Mean logits", "Ae: reconstruction", "Balance: k"]
    assert [line.name for line in found["Losses"].lines] == [*players]
    assert [line.colour for line in found["Losses"].lines] == ["first", "second", "third", "first"]
    assert [line.name for line in found["Mean logits"].lines] == [
        *("d1: real images", "d1: generated images", "d2: real images", "d2: generated images"),
    ]
    assert found["Ae: reconstruction"].caption == "A term of ae."
    assert found["Balance: k"].caption == "Adapted while training."
    assert all(svg(plot, LIGHT) for plot in found.values())


def test_statistics_that_are_no_numbers_are_gaps() -> None:
    rows = [{"seen": seen, "d.gradient": value} for seen, value in ((1, 5.0), (2, float("inf")), (3, None), (4, 7.0))]
    line = drawn([], rows)["Gradient norms"].lines[0]
    np.testing.assert_array_equal(line.y, [5.0, np.nan, np.nan, 7.0])
    ElementTree.fromstring(svg(drawn([], rows)["Gradient norms"], LIGHT))


def test_smoothing_keeps_a_constant_and_its_gaps() -> None:
    y = np.full(200, 3.0)
    y[50] = np.nan
    np.testing.assert_allclose(smooth(y), y)


def test_smoothing_is_a_mean_of_neighbours() -> None:
    y = np.random.default_rng(0).normal(size=100)
    np.testing.assert_allclose(smooth(y)[50], y[48:53].mean())


@pytest.mark.parametrize("low", [1e-4, 7.0, 950.0])
@pytest.mark.parametrize("ratio", [1.0, 1.01, 3.0, 30.0, 1e5])
@pytest.mark.parametrize("count", [1, NOISY])
def test_every_range_has_ticks(low: float, ratio: float, count: int) -> None:
    y = np.geomspace(low, low * ratio, count)
    drawing = svg(
        Plot("t", "c", "images seen", [Line("n", "first", np.arange(count) * 1e3, y)], log=True), LIGHT
    ).decode()
    assert drawing.count('id="ytick_') >= 2


def test_drawing_leaves_settings_alone_and_ignores_them() -> None:
    plot = Plot("t", "c", "images seen", [Line("n", "first", np.arange(9.0), np.arange(9.0))])
    plain, before = svg(plot, LIGHT), dict(matplotlib.rcParams)
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30, "lines.marker": "x"}):
        assert svg(plot, LIGHT) == plain


def test_a_plot_has_only_colours_of_its_theme() -> None:
    plot = drawn([score(0, 50.0), score(10, 7.0)])["FD (random)"]
    for name, theme in THEMES.items():
        (other,) = (theme for key, theme in THEMES.items() if key != name)
        assert theme.third.encode() in svg(plot, theme)
        assert not any(colour.encode() in svg(plot, theme) for colour in other)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
@pytest.mark.parametrize("text", ["ink", "soft", "first", "second", "third"])
@pytest.mark.parametrize("ground", ["page", "card"])
def test_text_can_be_read_on_its_ground(theme: Theme, text: str, ground: str) -> None:
    """WCAG 2.2, 1.4.3: a contrast of at least 4.5."""
    dark, light = sorted(luminance(getattr(theme, name)) for name in (text, ground))
    assert (light + 0.05) / (dark + 0.05) >= 4.5
