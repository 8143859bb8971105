"""The pages of docs/studies, from the folders of studies that have been carried out.

python scripts/study_pages.py runs/sngan-robustness runs/ttur     writes NAME.md of each, and copies its report.html
"""

import argparse
import json
import re
from pathlib import Path

import numpy as np
from matplotlib import pyplot

from equipoise import report
from equipoise.report import study_spectra
from equipoise.report.study_page import survival, verdict
from equipoise.report.study_results import results
from equipoise.report.study_tables import costs, matrix
from equipoise.report.tables import Entry, Table
from equipoise.report.themes import THEMES
from equipoise.study import read, scales, shipped
from equipoise.study.files import to_plain

ROOT = Path(__file__).parent.parent
STUDIES = ROOT / "docs" / "studies"
PAGE = """# {title}

`equipoise study {name} --scale {scale}`: {ended} of {runs} runs, {threads} thread a run, torch {torch}. The scale is
made for a CPU: images, networks and lengths are far smaller than the paper's, so that it says what matters early, not
who wins in the end. [The whole page]({file}.html) has curves, samples, ranks, costs and all recipes.

**The paper.** {about}

**Here.** {note}{found} {survival}

{picture}{tables}

Means over seeds with half of their 95 per cent interval, survivors in brackets; the best of a column bold; an asterisk
where a row differs from {baseline} by more than chance (Welch's test, p below 0.05 after Benjamini and Hochberg's
correction).

{costs}

The time of a run in training, the mean over seeds with half of its 95 per cent interval.
"""


NOTES = {  # what the numbers of a page say beside its scores
    "objectives": """
        After 1,000 updates the hinge loss with spectral normalisation is ahead in four seeds of five, the
        non-saturating loss with R1 in the fifth; least squares and the relativistic loss follow, and which of these
        three is better is chance. WGAN-GP and the KL divergence are behind in every seed: their samples still lack
        parts of garments, those of the others are garments with rough edges. It is a matter of time too: the curves
        of all six still fall.
    """,
    "weight-normalization": """
        Weight normalisation is ahead of the vanilla model in every seed, by 4 per cent (the paper: 10), and falls
        fastest of all at first. Batch normalisation, though, reconstructs best here, by 15 per cent, which is the
        contrary of the paper: there the error of batch normalisation rises again from about iteration 30,000 on, while
        weight normalisation still falls after 140,000; of such a rise nothing is seen in these 1,000 updates. Looked
        at, all three draw coarse garments, those of batch normalisation the smoothest.
    """,
    "growing-parts": """
        After 1,250 updates up to 16x16 with one finding against the paper and one with it. Without the equalized
        learning rate the score is three times as good in every seed, and recall, near 0 in all other rows, 0.15 to 0.2:
        weights that start small move further under Adam at the same rate, which counts in so short a run. Without
        fade-in it ranks last in every seed: the levels begin with a jump. Which statistics D sees, none among them,
        makes no difference beyond chance, nor does pixel normalisation; without growth the score is a little better for
        the same images. The samples are coarse blots of garments, and why statistics over everything won cannot be seen
        at this scale.
    """,
    "ttur": """
        At this length one rate for both is best, and a discriminator of half the rate is nearly as good; five times
        slower it lags behind, four times faster its generator learns nothing for half of the run and catches up then.
        Fifty times slower, which 1,500 updates are too few for, the generator draws a grey pattern. The paper compares
        runs that are hundreds of times as long, where what counts is stability late on; nothing here contradicts it,
        and nothing bears it out.
    """,
    "created-equal": """
        The non-saturating GAN is best after an equal search, with an F1 of about 0.9 (of a wider tolerance than
        the paper's), and the minimax one is near it (0.8 to 0.9): as the paper has it, nothing that came later
        beats it. Not all are equal at this length, though: WGAN has an F1 of 0.4 to 0.7; DRAGAN's images come
        within the tolerance with one seed of three, those of WGAN-GP and least squares with none, after nine
        settings each and 2,000 updates.
    """,
    "stacked-modes": """
        After 1,000 updates, of 2,000 images, which are coarse garments by then (the non-saturating ones blots): the
        relativistic loss and spectral normalisation are far ahead of the non-saturating loss, with and without R1, as
        in the paper. What it found of the relativistic loss with R1 alone, that it fails, is a matter of a long run:
        here it finds as many modes as with R1 and R2.
    """,
    "penalty-points": """
        That there is a penalty matters, where it is taken hardly: every one of the seven brings the distance on the
        Swiss roll from 0.19 to about 0.09 or 0.10, and on the eight Gaussians from 0.28 to 0.16 to 0.20; their
        intervals overlap. On the Gaussians R1 and both penalties on lines differ from none by more than chance. The
        proofs of Mescheder et al. say that R1 or R2 is enough, which agrees with this.
    """,
    "mixtures": """
        As Gulrajani et al. found, the critic with clipped weights is too simple: clouds over the whole plane, on every
        set. The gradient penalty finds all eight Gaussians, and so does the relativistic loss with R1 and R2; for 25
        Gaussians and the Swiss roll 2,000 updates are too few for both, which have drawn outlines by then. The plain
        GAN is better there, and traces the Swiss roll whole, but shares its points unevenly among the eight, from run
        to run otherwise. Spectral normalisation with the hinge loss has collapsed to a streak or a spot on all
        three.
    """,
    "sngan-robustness": """
        Spectral normalisation survives in all settings, as in the paper, and is the most even of all: its worst
        run of 18 has an FD of 19.4, that of the others 20.6 (orthonormal), 21.6 (no stabiliser), 23.0 (batch),
        27.0 (layer), 28.2 (clipping), 37.4 (weight normalisation) and 98.4 (WGAN-GP). Looked at, its images are
        garments in D and E, pieces of garments in F, coarse blots in A. WGAN-GP is the one that fails, by seeds
        more than by settings: among the best with two seeds, it draws stripes with the third in A, B, E and
        also in F, where an FD of 29.9 just passes; in the paper it fails in D, E and F. The lost run of weight
        normalisation, in C, draws blurred blots, while its discriminator's loss stays at 2 log 2. Where the
        paper is not borne out: without a stabiliser all runs survive, and with the larger rates, D to F, every
        method but clipping does better than in A to C, since 600 updates are few. The Inception score's mean
        over D to F is 2.15 (batch), 2.08 (spectral, orthonormal), 2.02 (layer), 1.95 (weight), 1.94 (none),
        1.78 (WGAN-GP), 1.51 (clipping). It depends on the network: with DCGAN's, no feature normalisation in
        the discriminator, one run each, spectral normalisation is stuck in F (FD 35 to 43, with the hinge and
        the standard loss, at two widths), where the paper's network trains.
    """,
    "default": """
        After half a minute a run the default is ahead of all presets in every seed, by a quarter over the f-GAN
        (Kullback-Leibler), the next. The default before it, the relativistic loss with R1 and R2 at half the learning
        rates, had come to 4.7 here. Measured in another way, since they learn from labels or see 32x32 pixels, means of
        three seeds: acgan 3.7, sngan-projection 5.3, sagan 8.9, r3gan 13.0, pggan 13.5, biggan 23.6, biggan-deep 24.3.
        The half minute is of processor time and a forecast of training alone: with scores, and beside other work on the
        machine, runs took 27 to 100 seconds of the clock. CIFAR-10, emoji and micrographs:
        [default at scale sets](default-sets.md).
    """,
    "default-sets": """
        CIFAR-10, 1,545 emoji and 364 micrographs of blood at 32x32, three quarters of a minute of processor time each,
        the presets that are nearest to the default on the built-in images and two well-known ones. The default has the
        best mean on each of the three: by 6 per cent before WGAN-GP on CIFAR-10, level with it on emoji, by 4 per cent
        before the f-GAN on micrographs, where a run of each is lost; of these differences only that from DCGAN and
        least squares on emoji is more than chance. After so short a time all pictures are coarse. How the default goes
        on after minutes: [results](../results.md).
    """,
    "sngan-speed": """
        The question is time, which the scores after 100 updates say nothing of. Seconds of 100 updates, means of three
        seeds, which differ by up to a quarter on a machine with other work beside: spectral normalisation 16.7,
        clipping 17.0, singular value clipping 17.4, no stabiliser 17.7, orthonormal 18.4, weight normalisation 18.8,
        WGAN-GP 24.2. As in the paper, the gradient penalty alone is dear: 1.4 times none, and 1.4 by the paper's chart
        too; the others are as fast as each other within what seeds differ by.
    """,
    "singular-values": """
        As in the paper. The share of a layer's squared singular values above a tenth of the largest, from the
        first convolution to the last, mean over three seeds: spectral normalisation 0.67, 1.00, 0.98, 1.00,
        0.66, 0.70, 0.30; orthonormal 0.58, 1.00, 0.71, 1.00, 0.85, 1.00, 1.00; no stabiliser 0.46, 0.67, 0.46,
        0.50, 0.21, 0.26, 0.12; weight normalisation 0.38, 0.42, 0.23, 0.21, 0.07, 0.09, 0.05; weight clipping
        0.33, 0.29, 0.08, 0.06, 0.03, 0.03, 0.05. Under weight normalisation and clipping a layer uses fewer
        directions than without a stabiliser.
    """,
}


def write(folder):
    """The page of a study; that of its folder is copied beside it."""
    found = results(folder)
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
        note=" ".join([*NOTES.get(file, "").split(), ""]),
        found=verdict(found),
        survival=survival(found),
        picture=picture(found, file),
        tables="\n\n".join(tables([matrix(found, metric) for metric in found.metrics])),
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
