"""README, architecture and presets say what is true: Python runs, commands parse, what is named is there."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from test_architecture import KINDS, LAYERS, SRC
from torch import nn

from equipoise import layers, losses, networks, optimizers, penalties, presets, schedules, spec
from equipoise.cli import running

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PARTS = (slice(None), slice(2), slice(2, None))  # of the batches: a whole run, its beginning, its end
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]


class Generator(nn.Module):
    z_dim = 2

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(2, 16)

    def forward(self, z):
        return self.net(z).tanh().unflatten(1, (1, 4, 4))


def names():
    """What the blocks of the README take as given: toy networks, a few batches, its first loss and penalty."""
    torch.manual_seed(0)
    G = Generator()
    features = nn.Flatten(), nn.Linear(16, 8), nn.LeakyReLU(0.2), nn.Linear(8, 8), nn.LeakyReLU(0.2), nn.Linear(8, 4)
    D = nn.Sequential(*features, nn.LeakyReLU(0.2), nn.Linear(4, 1), nn.Flatten(0))
    A = nn.Sequential(nn.Flatten(), nn.Linear(16, 2), G)
    real = torch.rand(4, 1, 4, 4) * 2 - 1
    parts = {"loss": losses.hinge(), "r1": penalties.r1(weight=1.0), "optimizers": optimizers}
    parts |= {"fake": G(torch.randn(4, 2))}
    return {"G": G, "D": D, "A": A, "real": real, "batches": [real] * 3, **parts}


@pytest.mark.parametrize("block", PYTHON, ids=range(len(PYTHON)))
def test_python_blocks_run(block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = names()
    exec(compile(block, "README.md", "exec"), given)
    for name in ("loss_d", "loss_g"):
        assert given.get(name, torch.zeros(())).isfinite()
    if "state" in given:
        assert given["state"].seen == 12


def test_the_game_of_ones_own_resumes_exactly(tmp_path, monkeypatch):
    """As the comment in its last lines says: the state and the batches after `state.seen`."""
    monkeypatch.chdir(tmp_path)
    block = next(block for block in PYTHON if "state_dict" in block)
    loading = block.replace("for stats", "state.load_state_dict(torch.load('state.pt', weights_only=True))\nfor stats")
    whole, first, second = (names() | {"batches": list(torch.rand(3, 4, 1, 4, 4))[part]} for part in PARTS)
    exec(compile(block, "README.md", "exec"), whole)
    exec(compile(block, "README.md", "exec"), first)
    exec(compile(loading, "README.md", "exec"), second)
    assert second["state"].seen == 12
    for net in ("A", "D"):
        pairs = zip(whole["state"].nets[net].parameters(), second["state"].nets[net].parameters(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("equipoise ")])
def test_commands_parse(command):
    _, *arguments = shlex.split(command, comments=True)
    assert running.parse(arguments)


@pytest.mark.parametrize("module", KINDS, ids=spec.kind)
def test_the_table_names_every_component(module):
    table = " ".join(line for line in README.splitlines() if line.startswith("| "))
    for name in spec.names(module):
        assert re.search(rf"\b{name.replace('_', '[-_]')}\b", table), f"{spec.kind(module)}.{name}"


def test_the_files_that_the_architecture_names_exist():
    files = [file.as_posix() for folder in (SRC, ROOT / "tests") for file in folder.rglob("*")]
    named = re.findall(r"`([\w/]+\.(?:py|css|html\.jinja))`", ARCHITECTURE)
    missing = [name for name in named if not any(file.endswith(f"/{name}") for file in files)]
    assert len(named) > 50
    assert not missing


def test_the_layers_of_the_architecture_are_those_that_are_enforced():
    rows = [line.split("|")[1:3] for line in ARCHITECTURE.splitlines() if line.startswith("| L")]
    written: dict[int, set[str]] = {}
    for level, modules in rows:
        written.setdefault(int(level.strip()[1]), set()).update(re.findall(r"`(\w+)/?`", modules))
    assert [written[level] for level in sorted(written)] == LAYERS


def test_the_table_of_parts_has_all_layers():
    (row,) = re.findall(r"^\| layers \| (.*) \|$", README, re.MULTILINE)
    assert {*row.split(", ")} == {name for name, layer in vars(layers).items() if isinstance(layer, type)}


PROSE = {"README": README} | {name: getattr(presets, name).__doc__ for name in spec.names(presets)}


@pytest.mark.parametrize("text", PROSE.values(), ids=PROSE)
def test_calls_in_prose_can_be_built(text):
    modules = {"loss": losses, "network": networks, "penalties": penalties, "lr-g": schedules}
    for flag, call in re.findall(r'--(loss|network|penalties|lr-g)\s+"([^"]+)"', text):
        if ".py:" not in call:
            spec.build(call, modules[flag], schedules.lasting(1000))
