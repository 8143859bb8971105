"""The pictures of instruments: which there are, what they show, and that a folder's nonsense breaks nothing."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from test_report import Parsed, full, make, stat

from equipoise.report import heat, write
from equipoise.report.heat import Heat, Spectra
from equipoise.report.plots import Plot, svg
from equipoise.report.readings import net_title, pictures, shares
from equipoise.report.record import Record, read
from equipoise.themes import THEMES

FIRST = "Discriminator: largest singular values"


def readings(at: float = 0.0) -> dict[str, Any]:
    norms = {"mean": 1.0 + at, "largest": 2.0, "edges": [0.0, 1.0, 2.0], "counts": [3.0, 1.0], "along": [1.0, 1.0]}
    of_d = {
        "spectrum": {"0.reshaped": [2.0 + at, 1.0], "0.operator": [3.0], "head.reshaped": [1.0]},
        "sigma_error": {f"layer.{n}": -0.001 * n for n in range(5)},
        "gradient_norms": norms,
        "lipschitz_bound": {"lipschitz_bound": 5.0 + at},
        "transport_gap": {"transport_gap": 1.0, "exact": 3.0, "dual": 2.0},
        "js_estimate": {"js_estimate": 0.5},
        "margin": {"margin": 0.1},
    }
    return {"D": of_d, "G": {"lipschitz_bound": {"lipschitz_bound": 7.0}}}


def measured(path: Path, *rows: dict[str, Any]) -> Record:
    stats = [{"seen": 0, "seconds": 0.0, "instruments": readings()}, *rows]
    return read(make(path / "run", stats=stats))


def row(seen: int, at: float = 0.5) -> dict[str, Any]:
    return {**stat(seen), "instruments": readings(at)}


def test_a_row_before_the_first_round_is_no_statistic(tmp_path: Path) -> None:
    record = measured(tmp_path, stat(100), row(200))
    assert [one["seen"] for one in record.stats] == [100, 200]
    assert [*record.readings] == [0, 200]


def test_every_instrument_has_its_pictures(tmp_path: Path) -> None:
    found = {picture.title: picture for picture in pictures(measured(tmp_path, row(200)))}
    assert [*found] == [
        FIRST,
        "Discriminator: norms of convolutions",
        "Discriminator: spectra",
        "Discriminator: sigma error",
        "Discriminator: gradient norms",
        "Lipschitz bound",
        "Transport gap",
        "JS estimate",
        "Margin",
    ]
    values, spectra, bound = (found[title] for title in (FIRST, "Discriminator: spectra", "Lipschitz bound"))
    assert isinstance(values, Heat)
    assert values.names == ["0", "head"]
    np.testing.assert_array_equal(values.values, [[2.0, 2.5], [1.0, 1.0]])
    assert isinstance(spectra, Spectra)
    assert [line.tolist() for line in spectra.layers["0"]] == [[2.0, 1.0], [2.5, 1.0]]
    assert isinstance(bound, Plot)
    assert [(line.name, line.y.tolist()) for line in bound.lines] == [
        ("Discriminator", [5.0, 5.5]),
        ("Generator", [7.0, 7.0]),
    ]
    gap = found["Transport gap"]
    assert isinstance(gap, Plot)
    assert [line.name.partition(": ")[2] for line in gap.lines] == ["transport gap", "exact", "dual"]


@pytest.mark.parametrize(("theme", "count"), [(THEMES["light"], 1), (THEMES["dark"], 3)], ids=THEMES)
def test_pictures_are_whole_and_the_same_each_time(theme: Any, count: int, tmp_path: Path) -> None:
    for picture in pictures(measured(tmp_path, *(row(100 * n) for n in range(1, count)))):
        draw: Any = svg if isinstance(picture, Plot) else heat.svg
        assert ElementTree.fromstring(draw(picture, theme)).tag.endswith("svg")
        assert draw(picture, theme) == draw(picture, theme)


def test_a_histogram_on_other_edges_keeps_its_mass() -> None:
    """Half of the counts of the first bin are in each half of it."""
    found = shares(np.array([0.0, 1.0, 2.0]), np.array([4.0, 1.0]), np.array([0.0, 0.5, 1.0, 2.0]))
    np.testing.assert_allclose(found, [1.0, 1.0, 0.5])


def test_networks_in_words() -> None:
    assert [net_title(net) for net in ("D", "G_ab", "teacher")] == ["Discriminator", "Generator ab", "Teacher"]


def test_the_page_shows_them_in_words_too(tmp_path: Path) -> None:
    run = make(tmp_path / "run", stats=[{"seen": 0, "seconds": 0.0, "instruments": readings()}, stat(100), row(200)])
    page = Parsed(write(run).read_text())
    assert "Instruments" in page.text
    texts = [str(image["alt"]) for image in page.all("img")]
    assert (
        "Discriminator: largest singular values against images seen: 0 from 2.00 to 2.50; head from 1.00 to 1.00"
        in texts
    )
    assert "Discriminator: spectra: at the end 0 from 2.50 to 1.00; head from 1.00 to 1.00" in texts
    assert "Discriminator: gradient norms against images seen: mean from 1.00 to 1.50" in texts


def test_a_run_without_instruments_has_no_such_section(tmp_path: Path) -> None:
    assert "Instruments" not in Parsed(write(full(tmp_path / "run")).read_text()).text


NONSENSE: list[Any] = [
    3,
    {"D": 3},
    {"D": {"spectrum": [1]}},
    {"D": {"spectrum": {"0.reshaped": "x"}}},
    {"D": {"spectrum": {"0.reshaped": [None]}}},
    {"D": {"spectrum": {"0.reshaped": []}}},
    {"D": {"gradient_norms": {"mean": 1.0}}},
    {"D": {"lipschitz_bound": {"lipschitz_bound": float("nan")}}},
    {"<b>": {"<i>": {"<u>": 1.0}}},
]


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_whatever_a_folder_says_there_are_pictures(nonsense: Any, tmp_path: Path) -> None:
    alone = read(make(tmp_path / "alone", stats=[{**stat(100), "instruments": nonsense}]))
    beside = measured(tmp_path, {**stat(100), "instruments": nonsense})
    assert len([*pictures(alone)]) < len([*pictures(beside)])


def test_whatever_a_folder_says_the_page_is_written(tmp_path: Path) -> None:
    rows = [{**stat(100 * at), "instruments": nonsense} for at, nonsense in enumerate(NONSENSE, 1)]
    assert "<u>" not in write(make(tmp_path / "run", stats=[*rows, row(2000)])).read_text()
