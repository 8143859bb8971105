"""The examples: they run as they are, what they print moves, and their loops stay short and their own."""

import ast
import importlib.util
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
FILES = sorted(EXAMPLES.glob("*.py"))
every_example = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def load(name):
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_plain_loop_reaches_every_mode(capsys):
    (share_first, modes_first), (share, modes) = load("plain_loop").main(steps=300)
    assert share_first < 0.05
    assert modes_first < 4
    assert share > 0.15
    assert modes == 8
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[-1] == f"step   300: {share:4.0%} of samples near a mode, 8 of 8 modes"


def test_accelerate_loop_comes_closer_to_the_data(capsys):
    pytest.importorskip("accelerate", reason="needs accelerate: pip install '.[examples]'")
    first, last = load("accelerate_loop").main(steps=40, cpu=True)
    assert first > 30
    assert last < 0.5 * first
    assert len(capsys.readouterr().out.splitlines()) == 4


@pytest.fixture(scope="module")
def reconstructions():
    """The first and the last quality of an autoencoder, with the discriminator and without."""
    main = load("patch_autoencoder").main
    return main(steps=100, warm_up=40), main(steps=100, weight=0)


def test_the_autoencoder_learns_to_reconstruct(reconstructions):
    for first, last in reconstructions:
        assert last["error"] < 0.3 * first["error"]


def test_the_discriminator_learns_while_nothing_fools_it(reconstructions):
    _, (_, alone) = reconstructions
    assert alone["loss_d"] < 1.7  # the hinge loss of a discriminator that knows nothing is 2


def test_the_adversarial_loss_sharpens_the_reconstructions(reconstructions):
    (_, adversarial), (_, alone) = reconstructions
    assert adversarial["sharpness"] > 1.1 * alone["sharpness"]
    assert adversarial["loss_d"] > alone["loss_d"]


def test_the_discriminator_answers_with_a_map():
    example = load("patch_autoencoder")
    images = example.torch.zeros(2, 1, 28, 28)
    assert example.autoencoder()(images).shape == images.shape
    assert example.patch_discriminator()(images).shape == (2, 1, 7, 7)


@every_example
def test_the_loop_is_short(path):
    loops = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.For)]
    assert len(loops) == 1
    assert loops[0].end_lineno - loops[0].lineno + 1 <= 25


@every_example
def test_the_loop_is_its_own(path):
    tree = ast.parse(path.read_text())
    ours = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "equipoise" in node.module]
    taken = {name for node in ours for name in [*node.module.split(".")[1:2], *(alias.name for alias in node.names)]}
    assert taken <= {"augment", "data", "losses", "metrics", "norms", "penalties", "features", "fd"}


@every_example
def test_the_docstring_says_how_to_run_it(path):
    assert f"    python examples/{path.name}\n" in ast.get_docstring(ast.parse(path.read_text()), clean=False)
