"""The page of results: its commands can be given, and it is made from run folders."""

import re
from pathlib import Path

import pytest
import results
from PIL import Image
from run_pages import recipe, words

from equipoise.cli import running
from equipoise.runs import train

ROOT = Path(__file__).parent.parent
FEW = "--images 32 --precision float32 --network 'mlp(width=8, depth=1, z_dim=2)' --batch 16 --features pixels"
SMALL = f"{FEW} --score-images 2 --score-every 16"


@pytest.mark.parametrize("name", results.RUNS)
def test_every_command_is_one(name):
    assert running.parse(words(results.command(name))).out == Path("runs/results") / name


def test_the_page_in_the_repository_shows_these_commands():
    page, _, lacking = (ROOT / "docs" / "results.md").read_text().partition("\n## Not run\n")
    shown = [name for name in results.RUNS if f"\n## {name}\n" in page]
    assert len(shown) > 5
    assert {*results.RUNS} - {*shown} == {*re.findall(r"[\w-]+", lacking.partition(":")[0])}
    for name in shown:
        assert f"```sh\n{results.command(name)}\n```" in page
        assert results.RUNS[name].note in page
        assert (ROOT / "docs" / "results" / f"{name}.png").exists()


def test_the_page_is_made_from_run_folders_and_keeps_what_is_gone(monkeypatch, tmp_path):
    monkeypatch.setattr(
        results,
        "RUNS",
        {
            "plain": results.Run(f"builtin {SMALL}", note="Looked at."),
            "classes": results.Run(f"builtin --labels {SMALL}", "FID 1.0"),
            "never": results.Run("builtin"),
        },
    )
    page = tmp_path / "results.md"
    for name in ("plain", "classes"):
        for _ in train(recipe(results.command(name)), tmp_path / name):
            pass
        results.write_page(tmp_path, page)
        (tmp_path / name).rename(tmp_path / f"{name}-gone")
    text = page.read_text()
    without, with_labels = text[: text.index("## With labels")], text[text.index("## With labels") :]
    assert "| [plain](#plain) | 32 |" in without
    assert with_labels.count("| [classes](#classes) | 32 |") == 1
    assert "| FID 1.0 |" in with_labels
    assert "Looked at." in text
    assert "never: see" in text
    with Image.open(tmp_path / "results" / "plain.png") as strip:
        assert strip.height == 28 * 8  # the whole sheet, which is smaller than what is cut out of large ones
