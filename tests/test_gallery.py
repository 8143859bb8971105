"""The gallery: its settings are presets that assemble, and its page is made from run folders."""

from pathlib import Path

import gallery
import pytest
import torch
from PIL import Image
from run_pages import recipe

from equipoise import presets
from equipoise.data import inspect
from equipoise.runs import choose, train
from equipoise.runs.real_images import load_dataset
from equipoise.runs.rehearsal import rehearse
from equipoise.spec import names


def test_settings_are_for_every_preset_and_no_other():
    of_latents = [name for name in names(presets) if getattr(presets, name)().domains == "none"]
    on_builtin = {gallery.preset(name) for name, run in gallery.RUNS.items() if run.data == "builtin"}
    assert sorted(on_builtin) == sorted(name.replace("_", "-") for name in of_latents)


@pytest.mark.parametrize("name", gallery.RUNS)
def test_every_setting_assembles_at_the_shared_budget(name):
    if not (gallery.RUNS[name].data == "builtin" or Path(gallery.RUNS[name].data).exists()):
        pytest.skip("MNIST is not here")
    asked = recipe(gallery.command(name))
    source = inspect(asked.data, bool(asked.labels), asked.strict)
    chosen, _ = choose(asked, source, torch.device("cpu"))
    rehearse(chosen, load_dataset(chosen).meaning.space, torch.device("cpu"))
    assert chosen.images == gallery.RUNS[name].images
    own = "--d-steps" in gallery.RUNS[name].settings
    assert own or chosen.d_steps == getattr(presets, gallery.preset(name).replace("-", "_"))().d_steps


def test_the_page_in_the_repository_shows_these_commands():
    page = (Path(__file__).parent.parent / "docs" / "gallery.md").read_text()
    assert all(f"```sh\n{gallery.command(name)}\n```" in page for name in gallery.RUNS)
    assert all(run.note in page for run in gallery.RUNS.values())


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A folder with the run of one of two presets."""
    words = "--network 'mlp(width=8, depth=1, z_dim=2)' --batch 16 --features pixels"
    few = gallery.Run(words, images=16, precision="float32")
    monkeypatch.setattr(gallery, "RUNS", {"gan": few, "dcgan": few})
    for _ in train(recipe(gallery.command("gan")), tmp_path / "gan"):
        pass
    return tmp_path


def test_the_page_is_made_from_run_folders(runs):
    gallery.write_page(runs, runs / "gallery.md")
    page = (runs / "gallery.md").read_text()
    assert page.count("\n## ") == 2
    assert "equipoise train builtin --preset gan" in page
    assert "\n| preset | FD (builtin) at the start |" in page
    assert "![Samples of gan](gallery/gan.png)" in page
    with Image.open(runs / "gallery" / "gan.png") as row:
        assert row.size == (12 * 28 * 2, 28 * 2)


def test_the_page_keeps_what_it_said_of_runs_that_are_gone(runs):
    gallery.write_page(runs, runs / "gallery.md")
    first = (runs / "gallery.md").read_text()
    (runs / "gan").rename(runs / "gone")
    for _ in train(recipe(gallery.command("dcgan")), runs / "dcgan"):
        pass
    gallery.write_page(runs, runs / "gallery.md")
    page = (runs / "gallery.md").read_text()
    assert [line for line in page.splitlines() if line.startswith("## ")][1:] == ["## gan", "## dcgan"]
    assert first[first.index("\n## gan\n") :] in page
    assert page.startswith(first[: first.index("\n## gan\n")].rstrip("\n"))


def test_the_page_refuses_a_run_with_other_settings(runs, monkeypatch):
    few = gallery.RUNS["gan"]
    monkeypatch.setitem(gallery.RUNS, "gan", few._replace(settings=f"{few.settings} --lr-g 0.5"))
    with pytest.raises(ValueError, match=r"another run than its command makes: remove it \(lr_g\)"):
        gallery.write_page(runs, runs / "gallery.md")
