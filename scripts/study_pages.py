"""The pages of docs/studies, from the folders of studies that have been carried out and from its notes.

python scripts/study_pages.py runs/sngan-robustness runs/ttur     writes NAME.md of each, and copies its report.html
"""

import argparse
import json
import re
import tomllib
from pathlib import Path

import numpy as np
from matplotlib import pyplot
from PIL import Image, ImageDraw

from equipoise import report
from equipoise.report import study_spectra
from equipoise.report.study_page import survival, verdict
from equipoise.report.study_results import results
from equipoise.report.study_tables import costs, matrix
from equipoise.report.tables import Entry, Table
from equipoise.study import Cell, read, scales, shipped
from equipoise.study.files import to_plain
from equipoise.themes import THEMES

ROOT = Path(__file__).parent.parent
STUDIES = ROOT / "docs" / "studies"
NOTES = STUDIES / "notes.toml"
STRIP, LABEL, GAP = 8, 110, 6  # samples beside each other; pixels
PAGE = """# {title}

`equipoise study {name} --scale {scale}`: {ended} of {runs} runs, {threads} thread a run, torch {torch}. The scale is
made for a CPU: images, networks and lengths are far smaller than published ones. It says what matters early, not who
wins in the end. [The whole page]({file}.html) has curves, samples, ranks, costs and all recipes.

**The claim.** {about}

**Here.** {note}{found} {survival}

{picture}{tables}{samples}

Means over seeds with half of their 95 per cent interval, survivors in brackets; bold is the best of those with
most survivors; an asterisk where a row differs from {baseline} by more than chance
(Welch's test, p below 0.05 after Benjamini and Hochberg's correction).

{costs}

The time of a run in training, the mean over seeds with half of its 95 per cent interval; the most memory that the
worker's process held meanwhile.
"""


def write(folder):
    """The page of a study; that of its folder is copied beside it."""
    found, notes = results(folder), tomllib.loads(NOTES.read_text())
    context = json.loads((folder / "study.json").read_text())
    name, scale, shared = source(found.study)
    file = name if scale == "small" else f"{name}-{scale}"
    whole = report.write(folder).read_text()
    for column, choices in shared.columns.items():  # data as the study's file has them, not where they lay
        here = found.study.columns[column]
        whole = whole.replace(here["data"], choices["data"]) if "data" in here else whole
    (STUDIES / f"{file}.html").write_text(whole)
    page = PAGE.format(
        title=found.study.title,
        name=name,
        file=file,
        scale=scale,
        baseline=found.study.compared_with,
        ended=found.ended,
        runs=len(found.outcomes),
        threads=context["threads"],
        torch=context["versions"]["torch"],
        about=found.study.about,
        note=" ".join([*notes.get(file, "").split(), ""]),
        found=verdict(found),
        survival=survival(found),
        picture=picture(found, file),
        tables="\n\n".join(tables([matrix(found, metric) for metric in found.metrics])),
        samples=samples(found, file),
        costs=in_markdown(costs(found)),
    )
    (STUDIES / f"{file}.md").write_text(page)


def wherever(study):
    """A study as text, wherever its data lie."""
    return re.sub(r'"data": "[^"]*"', '"data": ""', json.dumps(to_plain(study)))


def picture(found, name):
    """The spectra of all layers side by side, beside the page; its line in Markdown, none where none were measured."""
    plots = study_spectra.plots(found)
    if not plots:
        return ""
    figure, panels = pyplot.subplots(1, len(plots), figsize=(2 * len(plots), 2.4), sharey=True, layout="constrained")
    for axes, plot in zip(np.atleast_1d(panels), plots, strict=True):
        for line in plot.lines:
            colour = getattr(THEMES["light"], line.colour)
            axes.plot(line.x, line.y, color=colour, label=line.name, linestyle="--" if line.dashed else "-")
            if line.band:
                axes.fill_between(line.x, *line.band, color=colour, alpha=0.16, linewidth=0)
        axes.set_title(plot.title, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    shown = {name: line for axes in figure.axes for line, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(STUDIES / f"{name}.png", dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    return f"![Squared singular values of each layer]({name}.png)\n\n{plots[0].caption}\n\n"


def samples(found, name):
    """The newest samples of every cell, a strip each, beside the page; their line in Markdown, none where none are."""
    cells = {
        (row, column): strip(found.of(Cell(row, column))) for row in found.study.rows for column in found.study.columns
    }
    if not any(cells.values()):
        return ""
    wide = {
        column: max(at.width for (_, its), at in cells.items() if at and its == column)
        for column in found.study.columns
    }
    high = max(shown.height for shown in cells.values() if shown) + GAP
    whole = Image.new(
        "RGB", (LABEL + sum(wide.values()) + GAP * len(wide), high * (1 + len(found.study.rows))), "white"
    )
    words, left = ImageDraw.Draw(whole), LABEL
    for column, width in wide.items():
        words.text((left, high // 3), column, "black")
        for number, row in enumerate(found.study.rows, start=1):
            words.text((GAP, number * high + high // 3), row, "black")
            if shown := cells[row, column]:
                whole.paste(shown, (left, number * high))
        left += width + GAP
    whole.save(STUDIES / f"{name}-samples.png", optimize=True)
    return f"\n\n![Samples of every row]({name}-samples.png)\n\nThe newest samples of the first seed, none chosen."


def strip(outcomes):
    """The first row of the newest picture of the first seed that has some; None for points, and where none has.

    With labels, a class in each row, it is the first column, laid down.
    """
    record = next((outcome.record for outcome in outcomes if outcome.record and outcome.record.pictures), None)
    if record is None or record.of_points:
        return None
    height, *width = (int(side) for side in str(record.recipe["size"]).split("x"))
    with Image.open(record.pictures[-1][1]) as image:
        across = (width or [height])[0]
        if not record.recipe["labels"]:
            return image.convert("RGB").crop((0, 0, min(image.width, STRIP * across), height))
        laid = Image.new("RGB", (across * min(STRIP, image.height // height), height))
        for at in range(laid.width // across):
            laid.paste(image.crop((0, at * height, across, (at + 1) * height)), (at * across, 0))
        return laid


def source(study):
    """The file and the scale that a study is of, and the study as the file has it."""
    every = [(name, scale) for name in shipped() for scale in scales(name)]
    found = [(name, scale) for name, scale in every if wherever(read(name, scale)) == wherever(study)]
    if not found:
        raise ValueError(f"{study.title} is none of {', '.join(shipped())} at any scale, as they are now")
    return *found[0], read(*found[0])


def tables(scores):
    """The scores as Markdown: a table for each, or one of all where a study has one column."""
    if len(scores[0].columns) > 1:
        return [lines([of.title, *of.columns], of.rows) for of in scores]
    rows = [(row, [of.rows[at][1][0] for of in scores]) for at, (row, _) in enumerate(scores[0].rows)]
    return [lines(["", *(of.title for of in scores)], rows)]


def lines(head, rows):
    """A table: survivors in brackets, the best of a column bold, an asterisk where a row differs."""
    return in_markdown(Table("", head, [Entry(row, [mark(value) for value in values]) for row, values in rows]))


def in_markdown(table):
    """A table of the report."""
    rows = [table.head, ["---"] * len(table.head), *([entry.name, *entry.cells] for entry in table.entries)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def mark(value):
    """A cell."""
    text = f"**{value.text}**" if value.best else value.text
    return f"{text}{'*' * value.significant} ({value.survivors})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    STUDIES.mkdir(parents=True, exist_ok=True)
    for folder in parser.parse_args().folders:
        write(folder)


if __name__ == "__main__":
    main()
