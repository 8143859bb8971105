"""Pages of the theory: each script runs as it is at toy size, and what its page claims is true."""

import ast
import importlib
import re
from math import log
from pathlib import Path

import matplotlib
import pytest
from PIL import Image
from scipy.stats import wasserstein_distance

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted(path for path in (ROOT / "examples" / "theory").glob("*.py") if path.stem != "style")
DOCS = ROOT / "docs" / "theory"


@pytest.fixture
def load(monkeypatch):
    """A script as a module, with its neighbour `style`."""
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "theory"))
    return importlib.import_module


def test_js_stays_at_log_two_while_the_earth_movers_distance_falls(load, tmp_path):
    pytest.importorskip("ot")
    found = load("divergences").main(tmp_path, steps=100, count=32, thetas=(-1.0, 0.25))
    for theta, (js, emd) in found.items():
        assert js == pytest.approx(log(2), abs=1e-3)
        assert emd == pytest.approx(abs(theta), rel=1e-5)


def test_js_of_gaussians_that_coincide_and_that_are_far_apart(load):
    js = load("divergences").js_of_gaussians
    assert js(0.0, 0.15) == pytest.approx(0, abs=1e-9)
    assert js(3.0, 0.15) == pytest.approx(log(2), rel=1e-6)


def test_the_best_plan_costs_the_earth_movers_distance(load, tmp_path):
    plans, before = load("plans"), dict(matplotlib.rcParams)
    bad, best, area = plans.main(tmp_path)
    exact = wasserstein_distance(plans.PLACES, plans.PLACES, plans.SOURCE, plans.TARGET)
    assert best == pytest.approx(exact)
    assert area == pytest.approx(exact)
    assert bad > 2 * best
    assert dict(matplotlib.rcParams) == before
    for order in (plans.PLACES, plans.PLACES[::-1]):
        plan = plans.ordered(order)
        assert (plan.sum(1) == plans.SOURCE).all()
        assert (plan.sum(0) == plans.TARGET).all()


def test_the_better_the_discriminator_the_smaller_the_generators_gradient(load, tmp_path):
    found = load("critics").main(tmp_path, steps=40)
    assert found["best_minimax"] < 0.01
    assert found["best_least_squares"] < 0.01
    assert found["best_wasserstein"] == pytest.approx(1)
    assert found["wasserstein"] > 10 * found["minimax"]


def test_what_each_stabiliser_bounds(load, tmp_path):
    rows = load("stabilisers").main(tmp_path, steps=60)
    assert rows["clip"].weights.abs().max().item() <= 0.05 + 1e-6
    assert rows["clip"].rank < 0.5 * rows["spectral"].rank
    assert rows["penalty"].mean == pytest.approx(1, abs=0.35)
    assert rows["penalty"].bound > 2 * rows["penalty"].estimate
    assert rows["spectral"].estimate <= rows["spectral"].bound < 1.6


def test_random_pairs_lead_where_nothing_moves(load, tmp_path):
    pytest.importorskip("ot")
    outside, best, random = load("penalty_lines").main(tmp_path, count=30)
    assert outside > 0.2
    assert best < 1.1
    assert random > 2 * best


def test_the_orbits_of_the_dirac_gan(load, tmp_path):
    last = load("dirac_gan").main(tmp_path, steps=300)
    assert last["simultaneous"] > 1.6
    assert last["alternating"] == pytest.approx(1.5, abs=0.1)
    assert last["averaged"] < 0.6
    assert last["r1"] < 0.5
    assert last["overdamped"] > last["averaged"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_has_its_page_in_the_index_and_its_picture(path):
    page, index = (DOCS / f"{path.stem}.md").read_text(), (DOCS / "README.md").read_text()
    assert f"]({path.stem}.md)" in index
    assert f"python examples/theory/{path.stem}.py" in page
    assert f"python examples/theory/{path.stem}.py" in ast.get_docstring(ast.parse(path.read_text()))
    for file in re.findall(r"!\[[^\]]+\]\((\S+)\)", page):
        with Image.open(DOCS / file) as image:
            assert image.width >= 1200


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_functions_are_short(path):
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    assert max(node.end_lineno - node.lineno for node in functions) < 30
    assert all(ast.get_docstring(node) for node in functions if node.name != "__init__")
