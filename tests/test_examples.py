"""The examples: they run as they are, what they print moves, and they are short.

Some have loops of their own, others are games for ours: these resume exactly.
"""

import ast
import importlib.util
from copy import deepcopy
from itertools import islice
from pathlib import Path

import pytest
import torch
from test_training import assert_equal
from torch import nn

from equipoise import data
from equipoise.training import steps

EXAMPLES = Path(__file__).parent.parent / "examples"
FILES = sorted(EXAMPLES.glob("*.py"))
GAMES = ("bigan", "codec", "distillation", "table")
every_example = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
every_loop = pytest.mark.parametrize("path", [path for path in FILES if path.stem not in GAMES], ids=lambda p: p.stem)
every_game = pytest.mark.parametrize("name", GAMES)


def load(name):
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def functions_of(path):
    """The functions of an example by name, parsed."""
    return {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


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


@pytest.mark.filterwarnings("ignore::FutureWarning:lightning")
def test_lightning_module_comes_closer_to_the_data(capsys):
    pytest.importorskip("lightning", reason="needs lightning: pip install '.[examples]'")
    first, last = load("lightning_module").main(steps=60)
    assert first > 30
    assert last < 0.6 * first


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


def loops_of(path):
    """The training loop of an example: a `training_step`, else what repeats in `main`."""
    steps = [node for node in ast.walk(ast.parse(path.read_text())) if getattr(node, "name", "") == "training_step"]
    return steps or [node for node in ast.walk(functions_of(path)["main"]) if isinstance(node, ast.For)][:1]


@every_example
def test_the_loop_is_short(path):
    (loop,) = loops_of(path)
    assert loop.end_lineno - loop.lineno + 1 <= 25


@every_loop
def test_the_loop_is_its_own(path):
    tree = ast.parse(path.read_text())
    ours = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "equipoise" in node.module]
    taken = {name for node in ours for name in [*node.module.split(".")[1:2], *(alias.name for alias in node.names)]}
    assert taken <= {
        "augment",
        "data",
        "games",
        "losses",
        "metrics",
        "networks",
        "norms",
        "penalties",
        "features",
        "fd",
    }
    assert "equipoise.games" not in {node.module for node in ours}  # `games` is for `adaptive_weight` alone


def starting(name):
    """What starts an example's game: the state before the first round, the players and batches."""
    example = load(name)
    if name == "bigan":
        clothes = data.load("builtin", data.Format(1, 28, 28))
        return lambda: example.start(clothes)
    if name == "codec":
        return lambda: example.start(begin=2 * example.BATCH)
    if name == "distillation":
        teacher = example.taught(rounds=3, seed=0)
        return lambda: example.start(teacher)
    return example.start


@every_game
def test_a_resumed_game_is_the_same_game(name):
    start = starting(name)
    play = lambda state, players, batches, rounds: [*islice(steps(state, batches(state.seen), players), rounds)]
    (whole, *game), (first, *_), (second, *_) = start(), start(), start()
    told = play(whole, *game, 5)
    assert_equal(play(first, *game, 2), told[:2])
    second.load_state_dict(deepcopy(first.state_dict()))
    assert_equal(play(second, *game, 3), told[2:])
    assert_equal(second.state_dict(), whole.state_dict())


@every_game
def test_game_and_loop_have_at_most_40_lines(name):
    functions = functions_of(EXAMPLES / f"{name}.py")
    assert {"start", "main"} <= {*functions}
    ours = [functions[part] for part in ("game", "start", "main") if part in functions]
    assert sum(node.end_lineno - node.lineno + 1 for node in ours) <= 40


@every_example
def test_a_file_is_short(path):
    assert len(path.read_text().splitlines()) < 130


def test_encoder_and_generator_come_to_invert_each_other(capsys):
    (first, _), (error, of_others) = load("bigan").main(rounds=200)
    assert error < 0.95 * first
    assert error < 0.97 * of_others
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_the_codec_learns(capsys):
    first, last = load("codec").main(rounds=80)
    assert last["error"] < 0.8 * first["error"]
    assert last["loss_d"] < 1  # least squares of a discriminator that knows nothing: four heads, 1/4 each
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_the_codecs_adversarial_term_begins_late_and_the_discriminator_at_once():
    example = load("codec")
    state, players, batches = example.start(begin=2 * example.BATCH)
    told = [*islice(steps(state, batches(), players), 3)]
    assert ["codec.adversarial" in stats for stats in told] == [False, False, True]
    assert all(stats["d.gradient"] > 0 for stats in told)
    shapes = [logits.shape for logits, _ in state.nets["D"](example.signals(0))]
    assert len(set(shapes)) == len(shapes) == 4


def test_the_student_comes_close_to_its_teacher(capsys):
    first, last, goal = load("distillation").main(rounds=200)
    assert last < 0.1 * first
    assert last < 2 * goal
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_the_teacher_stays_as_it_was_and_is_in_no_checkpoint():
    example = load("distillation")
    teacher = example.taught(rounds=3, seed=0)
    before = deepcopy(teacher.state_dict())
    state, players, batches = example.start(teacher)
    [*islice(steps(state, batches(), players), 3)]
    assert any(isinstance(module, nn.BatchNorm1d) for module in teacher.modules())
    assert not any(module.training for module in teacher.modules())
    assert_equal(teacher.state_dict(), before)
    assert {*state.state_dict()["nets"]} == {"S", "D"}


def test_the_generator_learns_the_correlations_of_a_table(capsys):
    example = load("table")
    first, last = example.main(rounds=250)
    assert last < 0.4 * first
    assert len(capsys.readouterr().out.splitlines()) == 5
    made = example.Generator()(torch.randn(16, example.Z_DIM))
    assert made.shape == example.rows(0, 16).shape
    torch.testing.assert_close(made[:, 4:].sum(1), torch.ones(16))


@every_example
def test_the_docstring_says_how_to_run_it(path):
    assert f"    python examples/{path.name}\n" in ast.get_docstring(ast.parse(path.read_text()), clean=False)
