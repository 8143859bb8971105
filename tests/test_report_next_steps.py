"""The commands on the page do what they say: the command line understands them, and they mean this run."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_report import make

from equipoise import presets, spec
from equipoise.cli.running import parse as parse_command
from equipoise.recipe import differences
from equipoise.report.next_steps import commands
from equipoise.report.record import read

OWN = {
    "data": "/my photos",
    "penalties": ("r1(weight=5)", "r2"),
    "mirror": True,
    "lr_g": "decay(1e-3, share=0.25)",
    "lr_d": 3e-4,
    "ema_images": "linear(0, 100)",
    "images": 1500,
    "optimizer": "adam(beta1=0.5)",
    "channels": 3,
}


@pytest.mark.parametrize("preset", spec.names(presets))
@pytest.mark.parametrize("own", [{}, OWN], ids=["as it is", "changed"])
def test_the_command_to_resume_gives_the_same_recipe(tmp_path: Path, preset: str, own: dict[str, Any]) -> None:
    recipe = replace(getattr(presets, preset)(), **own)
    recipe = replace(recipe, images=recipe.images or 1000, labels=bool(recipe.labels))
    run = make(tmp_path / "my run", chosen={}, recipe=recipe.to_json())
    what, line = commands(read(run))[0]
    assert what == "Resume training"
    command = parse_command(shlex.split(line)[1:])
    assert command.out == run
    assert differences(command.recipe, recipe) == []


def test_what_was_chosen_is_left_to_be_chosen(tmp_path: Path) -> None:
    recipe = {**presets.default().to_json(), "size": "28", "images": 1000, "labels": True}
    run = make(tmp_path / "run", chosen={"size": "so", "images": "so", "labels": "so"}, recipe=recipe)
    assert commands(read(run))[0][1] == f"equipoise train --labels --out {run}"  # the usual is --no-labels


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_other_commands_are_known(tmp_path: Path, number: int) -> None:
    run = make(tmp_path / "my run")
    _, line = commands(read(run))[number]
    command = parse_command(shlex.split(line)[1:])
    assert str(run) in [str(getattr(command, name, "")) for name in ("run_folder", "images", "folder")]
