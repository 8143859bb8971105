"""Builds the site: `python scripts/build_docs.py [OUT]`, as `make docs` does; its first page is OUT/index.html.

The pages are those of docs/, the README as "Start", the changelog, the examples, and the reference, which is made from
the package itself. They are gathered in OUT.pages, with links that lead from one to the other, and built by Sphinx.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import reference

ROOT = Path(__file__).parent.parent
OUT = ROOT / "build" / "site"
MOVED = {
    "README.md": "start.md",
    "CHANGELOG.md": "changelog.md",
    "examples": "examples.md",
    "examples/theory": "examples.md",
}
"""Where pages that are not in docs/ stand in the site."""
LINK = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)\s]*)?\))")
PAGE = re.compile(r"\[([^\]]*)\]\((\w[\w./-]*\.md)\)")
FENCED = re.compile(r"^(```.*?^```)$", re.DOTALL | re.MULTILINE)


def main(out: Path = OUT) -> int:
    """Gathers and builds; a warning is an error."""
    pages = out.with_name(f"{out.name}.pages")
    shutil.rmtree(pages, ignore_errors=True)
    gather(pages)
    options = ("--builder", "html", "--conf-dir", ROOT / "docs", "--fail-on-warning", "--keep-going", "--quiet")
    built = subprocess.run([sys.executable, "-m", "sphinx", *options, pages, out], check=False)
    if not built.returncode:
        print(f"the site: {out / 'index.html'}")
    return built.returncode


def gather(pages: Path) -> None:
    """All pages of the site and their pictures, in a folder."""
    shutil.copytree(ROOT / "docs", pages, ignore=shutil.ignore_patterns("*.md", "*.py", "*.css"))
    sources = [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in MOVED if name.endswith(".md"))]
    made = {f"reference/{name}": page for name, page in reference.pages().items()} | {"examples.md": examples()}
    made["reference/index.md"] = relinked(ROOT / "docs" / "reference" / "README.md") + "\n" + reference.index()
    for name, page in ({placed(source): relinked(source) for source in sources} | made).items():
        write(pages / name, page)
    for page in pages.rglob("index.md"):
        page.write_text(page.read_text("utf-8") + navigation(page), "utf-8")


def write(file: Path, page: str) -> None:
    """A page, in a folder that may be new."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page, "utf-8")


def placed(file: Path) -> str:
    """Where a file of the repository stands in the site; raises ValueError for one that does not."""
    name = file.resolve().relative_to(ROOT).as_posix()
    if name not in MOVED and not name.startswith("docs/"):
        raise ValueError(f"{name} is no page or picture of the site")
    return MOVED.get(name) or name.removeprefix("docs/").replace("/README.md", "/index.md")


def navigation(index: Path) -> str:
    """What leads on from the first page of a folder: what it links to under each of its headings, then all others."""
    first, *headed = re.split(r"^## ", index.read_text("utf-8"), flags=re.MULTILINE)
    groups = {"": first, **{part.partition("\n")[0]: part for part in headed}}
    linked = {caption: {page: title for title, page in PAGE.findall(part)} for caption, part in groups.items()}
    known = {page for pages in linked.values() for page in pages}
    others = {page.name: "" for page in sorted(index.parent.glob("*.md")) if page.name not in {*known, index.name}}
    linked[""] = linked[""] | others
    return "".join(toctree(caption, pages) for caption, pages in linked.items() if pages)


def toctree(caption: str, pages: dict[str, str]) -> str:
    """A part of the navigation, for Sphinx."""
    lines = [f"{title} <{page}>" if title else page for page, title in pages.items()]
    return "\n".join(["\n```{toctree}", ":hidden:", *[f":caption: {caption}"] * bool(caption), "", *lines, "```", ""])


def relinked(source: Path) -> str:
    """A page whose links lead to where things stand in the site; blocks of code are left alone."""
    pieces = FENCED.split(source.read_text("utf-8"))
    here = Path(placed(source)).parent
    leads = lambda link: f"{link[1]}{os.path.relpath(placed(source.parent / link[2]), here)}{link[3]}"
    return "".join(piece if piece.startswith("```") else LINK.sub(leads, piece) for piece in pieces)


def examples() -> str:
    """The examples with what each shows."""
    files = sorted((ROOT / "examples").glob("*.py"))
    parts = [f"## {file.stem}\n\n{reference.prose(said(file))}\n\n```python\n{code(file)}\n```\n" for file in files]
    start = "# Examples\n\nLoops that do not use ours, and games of one's own: `python examples/NAME.py`.\n"
    return "\n".join([start, *parts])


def said(file: Path) -> str:
    """What a file says of itself."""
    return ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""


def code(file: Path) -> str:
    """A file without what it says of itself."""
    return re.sub(r'\A""".*?"""\n+', "", file.read_text("utf-8"), flags=re.DOTALL).strip()


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
