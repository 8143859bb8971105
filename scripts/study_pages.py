"""The pages of docs/studies, from the folders of studies that have been carried out.

python scripts/study_pages.py runs/sngan-robustness runs/ttur     copies each report.html, and writes the index anew
"""

import argparse
import json
import shutil
from pathlib import Path

from equipoise import report
from equipoise.report.study_page import survival, verdict
from equipoise.report.study_results import results
from equipoise.report.study_tables import matrix
from equipoise.study import read, scales, shipped
from equipoise.study.files import to_plain

ROOT = Path(__file__).parent.parent
STUDIES = ROOT / "docs" / "studies"
HEAD = """# Studies

What papers on stable GANs compare, carried out again by `equipoise study NAME`. Each comes along as a file with the
paper's own lengths and widths, and with smaller scales for a CPU; what stands here was run at those, on images and
networks far smaller than the papers', so that it says what matters early, not who wins in the end. Each page has the
curves, the samples, the costs, the failures and all recipes.

```sh
equipoise study sngan-robustness --scale small --out runs/sngan-robustness
```
"""
ENTRY = """
## {title}

`equipoise study {name} --scale {scale}`: {ended} of {runs} runs, {threads} thread a run, torch {torch}.
[The whole page]({page}.html).

**The paper.** {about}

**Here.** {found} {survival}

{table}
"""


def entry(folder):
    """What the index says of a study; its page is copied."""
    found = results(folder)
    context = json.loads((folder / "study.json").read_text())
    name, scale = source(found.study)
    page = f"{name}-{scale}"
    shutil.copy(report.write(folder), STUDIES / f"{page}.html")
    return ENTRY.format(
        title=found.study.title,
        name=name,
        scale=scale,
        page=page,
        ended=found.ended,
        runs=len(found.outcomes),
        threads=context["threads"],
        torch=context["versions"]["torch"],
        about=found.study.about,
        found=verdict(found),
        survival=survival(found),
        table=table(matrix(found, found.metrics[0])),
    )


def source(study):
    """The file and the scale that a study is of."""
    every = [(name, scale) for name in shipped() for scale in scales(name)]
    return next((name, scale) for name, scale in every if to_plain(read(name, scale)) == to_plain(study))


def table(scores):
    """The scores as Markdown: survivors in brackets, the best bold, an asterisk where a row differs from the first."""
    columns = scores.columns if len(scores.columns) > 1 else [scores.title]
    lines = [f"| {scores.title} | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for row, values in scores.rows:
        cells = [mark(value) for value in values]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def mark(value):
    """A cell."""
    text = f"**{value.text}**" if value.best else value.text
    return f"{text}{'*' * value.significant} ({value.survivors})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    STUDIES.mkdir(parents=True, exist_ok=True)
    entries = [entry(folder) for folder in parser.parse_args().folders]
    (STUDIES / "README.md").write_text(HEAD + "".join(entries))


if __name__ == "__main__":
    main()
