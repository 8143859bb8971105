"""The pages of docs/: links lead somewhere, commands parse, Python runs, studies are read; the reference is whole."""

import importlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import torch
from test_architecture import KINDS
from test_readme import names

from equipoise import cli, layers, losses, networks, penalties, schedules, spec
from equipoise.cli import running
from equipoise.study import shipped
from equipoise.study.files import of_plain

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
STUDIES = (ROOT / "docs" / "studies" / "README.md").read_text("utf-8")
HOWTO = {page.stem: page.read_text("utf-8") for page in (ROOT / "docs" / "howto").glob("*.md")} | {"studies": STUDIES}
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
WEB = ("https://", "http://")


def blocks(text, language):
    """The fenced blocks of a language."""
    return [code for kind, code in FENCED.findall(text) if kind == language]


def anchors(text):
    """What the headings of a page can be linked by, as code hosts and the site make it."""
    found = []
    for heading in re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.append(f"{name}-{found.count(name)}" if name in found else name)
    return found


def broken(page, root):
    """The links of a page that lead nowhere, or out of the folder that all pages are in."""
    text = page.read_text("utf-8")
    for link in LINK.findall(re.sub(r"`[^`\n]+`", "", FENCED.sub("", text))):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        inside = target.is_relative_to(root) and target.exists()
        if not link.startswith(WEB) and not (inside and (not anchor or anchor in anchors(target.read_text("utf-8")))):
            yield link


@pytest.fixture(scope="module")
def build():
    """The script that gathers the site, with its neighbours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        yield importlib.import_module("build_docs")


@pytest.fixture(scope="module")
def site(build, tmp_path_factory):
    """The pages as Sphinx gets them."""
    folder = tmp_path_factory.mktemp("site") / "pages"
    build.gather(folder)
    return folder


class TestLinks:
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
    def test_of_the_repository(self, page):
        assert not [*broken(page, ROOT)]

    def test_of_the_site(self, site):
        found = {str(page.relative_to(site)): [*broken(page, site)] for page in site.rglob("*.md")}
        assert not {page: links for page, links in found.items() if links}
        assert len(found) > len(PAGES) + len(KINDS)

    def test_what_is_broken_is_found(self, tmp_path):
        (tmp_path / "a.md").write_text(
            "# A b\n[here](#a-b) [there](b.md) ![x](x.png) [out](../c) `[code](d.md)`\n[no](#b)\n"
        )
        assert [*broken(tmp_path / "a.md", tmp_path)] == ["b.md", "x.png", "../c", "#b"]

    def test_every_page_is_in_the_navigation(self, site):
        known = {site / "index.md"}
        for index in site.rglob("index.md"):
            trees = re.findall(r"```\{toctree\}\n(.*?)```", index.read_text("utf-8"), re.DOTALL)
            entries = (line for tree in trees for line in tree.splitlines() if line and line[0] != ":")
            known |= {index.parent / re.sub(r".*<(.*)>", r"\1", entry) for entry in entries}
        assert known == {*site.rglob("*.md")}


class TestHowTos:
    @pytest.mark.parametrize("name", HOWTO)
    def test_commands_parse(self, name):
        for block in blocks(HOWTO[name], "sh"):
            for line in block.replace("\\\n", "").splitlines():
                program, *arguments = shlex.split(line.replace("> compare.sh", ""), comments=True)
                assert program == "equipoise"
                assert running.parse(arguments), line

    @pytest.mark.parametrize("name", HOWTO)
    def test_python_runs(self, name, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for block in blocks(HOWTO[name], "python"):
            given = names()
            exec(compile(block, f"{name}.md", "exec"), given)
            for term in ("loss_d", "loss_g"):
                assert given.get(term, torch.zeros(())).isfinite()

    @pytest.mark.parametrize("name", HOWTO)
    def test_studies_can_be_read(self, name):
        for block in blocks(HOWTO[name], "toml"):
            study = of_plain(tomllib.loads(block))
            assert all(study.recipe(cell, 0) for cell in study.cells if cell not in study.searched)

    def test_all_studies_that_come_along_are_listed(self):
        assert {*re.findall(r"^\| \[?`([\w-]+)`", STUDIES, re.MULTILINE)} == {*shipped()}

    def test_calls_can_be_built(self):
        modules = {"loss": losses, "network": networks, "penalties": penalties, "lr-g": schedules, "lr-d": schedules}
        for flag, call in re.findall(r'--(loss|network|penalties|lr-[gd])\s+"([^"]+)"', "".join(HOWTO.values())):
            if ".py:" not in call:
                assert spec.build(call, modules[flag], schedules.lasting(1000))

    def test_the_values_of_losses_are_those_that_they_have(self):
        rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \| (0|none) \|$", HOWTO["my-discriminator-wins"], re.MULTILINE)
        assert len(rows) == 6
        for name, alike, lowest in rows:
            d = getattr(losses, name)().d
            values = [d(torch.full((4,), c), torch.full((4,), c)).item() for c in torch.linspace(-2, 2, 81)]
            assert min(values) == pytest.approx(float(alike), abs=5e-4)
            real, fake = (1.0, 0.0) if name == "least_squares" else (50.0, -50.0)
            apart = d(torch.full((4,), real), torch.full((4,), fake)).item()
            assert apart == (-100 if lowest == "none" else pytest.approx(0, abs=1e-6))


class TestReference:
    @pytest.mark.parametrize("module", KINDS, ids=spec.kind)
    def test_every_component_has_formula_arguments_and_an_example(self, site, module):
        page = (site / "reference" / f"{spec.kind(module)}.md").read_text("utf-8")
        parts = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE))
        assert [*parts] == spec.names(module)
        for name, part in parts.items():
            assert f"{spec.kind(module)}.{name}(" in part
            assert "{.formula}" in part
            example = blocks(part, "sh")[0]
            assert running.parse(shlex.split(example)[1:])

    def test_every_layer_and_every_command(self, site):
        of_layers = anchors((site / "reference" / "layers.md").read_text("utf-8"))
        assert {name.lower() for name, member in vars(layers).items() if isinstance(member, type)} <= {*of_layers}
        commands = (site / "reference" / "commands.md").read_text("utf-8")
        assert anchors(commands)[1:] == [*cli.COMMANDS]
        assert commands.count("usage: equipoise ") == 1 + len(cli.COMMANDS)

    def test_docstrings_become_text(self, build):
        prose = build.reference.prose
        assert prose("a * b_c <d>\n\n* one\n  more\n* `x*y`\n\n>>> 1\n1") == (
            "a \\* b\\_c \\<d\\>\n\n* one more\n* `x*y`\n\n```pycon\n>>> 1\n1\n```\n"
        )
