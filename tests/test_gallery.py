"""The gallery: its settings are presets that assemble, and its page is made from run folders."""

import importlib.util
from pathlib import Path

import pytest
import torch
from PIL import Image

from equipoise import presets
from equipoise.data import inspect
from equipoise.runs import choose, train
from equipoise.runs.real_images import load_dataset
from equipoise.runs.rehearsal import rehearse
from equipoise.spec import names

SPEC = importlib.util.spec_from_file_location("gallery", Path(__file__).parent.parent / "benchmarks" / "gallery.py")
gallery = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(gallery)


def test_settings_are_for_every_preset_and_no_other():
    of_latents = [name for name in names(presets) if getattr(presets, name)().domains == "none"]
    assert sorted(gallery.SETTINGS) == sorted(name.replace("_", "-") for name in of_latents)
    assert set(gallery.NOTES) <= set(gallery.SETTINGS)


@pytest.mark.parametrize("name", gallery.SETTINGS)
def test_every_setting_assembles_at_the_shared_budget(name):
    recipe = gallery.recipe(name)
    source = inspect(recipe.data, bool(recipe.labels), recipe.strict)
    recipe, _ = choose(recipe, source, torch.device("cpu"))
    rehearse(recipe, load_dataset(recipe).meaning.space, torch.device("cpu"))
    assert f"--images {recipe.images} " in gallery.LENGTHS.get(name, gallery.USUAL)
    own = "--d-steps" in gallery.SETTINGS[name]
    assert own or recipe.d_steps == getattr(presets, name.replace("-", "_"))().d_steps


def test_the_page_in_the_repository_shows_these_commands():
    page = (Path(__file__).parent.parent / "docs" / "gallery.md").read_text()
    assert all(f"```sh\n{gallery.command(name)}\n```" in page for name in gallery.SETTINGS)
    assert all(note in page for note in gallery.NOTES.values())


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A folder with the run of one of two presets."""
    words = "--network 'mlp(width=8, depth=1, z_dim=2)' --batch 16"
    monkeypatch.setattr(gallery, "SETTINGS", {"gan": words, "dcgan": words})
    few = "--images 16 --precision float32 --features pixels --score-images 2"
    monkeypatch.setattr(gallery, "USUAL", few)
    monkeypatch.setattr(gallery, "LENGTHS", {})
    for _ in train(gallery.recipe("gan"), tmp_path / "gan"):
        pass
    return tmp_path


def test_the_page_is_made_from_run_folders(runs):
    gallery.write_page(runs, runs / "gallery.md")
    page = (runs / "gallery.md").read_text()
    assert page.count("\n## ") == 1
    assert "equipoise train builtin --preset gan" in page
    assert "\n| preset | FD (builtin) at the start |" in page
    assert "![Samples of gan](gallery/gan.png)" in page
    with Image.open(runs / "gallery" / "gan.png") as row:
        assert row.size == (12 * 28 * 2, 28 * 2)


def test_the_page_keeps_what_it_said_of_runs_that_are_gone(runs):
    gallery.write_page(runs, runs / "gallery.md")
    first = (runs / "gallery.md").read_text()
    (runs / "gan").rename(runs / "gone")
    for _ in train(gallery.recipe("dcgan"), runs / "dcgan"):
        pass
    gallery.write_page(runs, runs / "gallery.md")
    page = (runs / "gallery.md").read_text()
    assert [line for line in page.splitlines() if line.startswith("## ")] == ["## gan", "## dcgan"]
    assert first[first.index("\n## gan") :] in page
    assert page.startswith(first[: first.index("\n## gan")].rstrip("\n"))


def test_the_page_refuses_a_run_with_other_settings(runs, monkeypatch):
    monkeypatch.setitem(gallery.SETTINGS, "gan", gallery.SETTINGS["gan"] + " --lr-g 0.5")
    with pytest.raises(ValueError, match=r"remove it: lr_g: 'decay\(0\.1, share=0\.5\)' there, 0\.5 here"):
        gallery.write_page(runs, runs / "gallery.md")
