"""Runs worth keeping, each with one command, and the page that shows them beside the published figures.

python benchmarks/results.py                        writes docs/results.md from the runs in runs/results
python benchmarks/results.py --run cells64 cifar    trains or resumes these first
"""

import argparse
import sys
from itertools import chain, takewhile
from typing import NamedTuple

from PIL import Image
from run_pages import ROOT, Told, recipe, told, train, write

from equipoise.report import numbers
from equipoise.report.record import number, score_title
from equipoise.report.tables import way_of

CIFAR = "data/cifar-10-batches-py"
INCEPTION = "--features inception --score fid inception_score --score-images 50000"
SHOWN, SIDE, FEWEST = 4, 256, 3  # moments of a run; about the pixels of each picture, and samples beside each other


class Run(NamedTuple):
    """What `equipoise train` is told but for the folder, the paper's figure at full length, what is worth knowing."""

    words: str
    published: str = ""
    note: str = ""


RUNS = {
    "builtin": Run(
        "builtin --minutes 5",
        note="What `make train` did in a fresh clone, six minutes with its set-up and a score of 10,000 images, 0.493 "
        "(0.456 to 0.530): garments and shoes of all kinds with their patterns and straps, a few of them ragged.",
    ),
    "cells64": Run(
        "data/cells64 --minutes 10",
        note="Red cells with their outlines and many with their pale middles, white ones with violet nuclei and "
        "granules, each elsewhere and of another shape. In two other runs of these networks 158 and, at half the "
        "learning rates, 234; with networks half as wide 233.",
    ),
    "cells96": Run(
        "data/cells96 --minutes 10",
        note="Red cells with their pale middles and round or dented outlines, white ones with violet nuclei, whose "
        "large ones are grained like cloth; FD still falls. With nine times the weight of R1: 384 after 64,128 images.",
    ),
    "cells128": Run(
        "data/cells128 --minutes 10",
        note="Red cells of all shapes, many of them melted together and some with a short scar, violet nuclei with "
        "darker and lighter parts, a few of them square; FD still falls. With sixteen times the weight of R1: 543.",
    ),
    "cells300": Run(
        "data/cells300 --minutes 10",
        note="The first 300 of the micrographs as they are, 640x480, cut to 128x128, mirrored and augmented since they "
        "are few, with dozens of cells in each. Red cells beside and over each other on the right ground with violet "
        "nuclei among them; many run together, and none has its pale middle yet. With sixteen times the weight of R1: "
        "1,155, chunks without outlines.",
    ),
    "cifar": Run(
        f"{CIFAR} --minutes 10",
        note="50,000 photographs, nothing set. Things on grounds and before skies; horses, birds, ships and cars can "
        "be guessed, many have too many legs or run out into patterns. With networks half as wide: 606.",
    ),
    "cifar-half-hour": Run(
        f"{CIFAR} --minutes 30 --network \"dcgan(g_width=48, d_width=48, d_feature_norm='none', d_gain=0.7, "
        "upsampling='nearest')\"",
        note="Networks three times as wide as those of short runs, beside other work. Horses, deer, birds, cars and "
        "airplanes can be told, ships guessed. In the same time: two thirds as wide, which is the default, 397; narrow "
        "ones 626, after 645 in six minutes and 777 in seventeen.",
    ),
    "cifar-long": Run(
        f"{CIFAR} --images 2500000 --network \"dcgan(g_width=32, d_width=32, d_feature_norm='none', d_gain=0.7, "
        "upsampling='nearest')\" --batch 32",
        note="An hour of one core, in pieces over days, with networks twice as wide. Dogs, horses, deer, cars, "
        "lorries and airplanes can be told, many with a leg too many or too few. Of 10,000 images FD (mobilenet) is "
        "260 (256 to 264), FD (resnet56) 6.41 (6.28 to 6.55) and the Inception score of a ResNet-56 6.59 (6.51 to "
        "6.68); of the 10,000 test images 26, 0.05 and 9.46.",
    ),
    "cifar-classes": Run(
        "data/cifar-folders --labels --minutes 10",
        note="The same photographs as files in ten folders, with labels. A row for each class, from airplanes to "
        "lorries: airplanes, ships, cars and lorries can be told, deer and horses guessed, cats and dogs are blots; a "
        "ResNet-56 finds the class that was asked for in 45 per cent of 1,000, in 93 per cent of the test images. "
        "With networks half as wide: 601, and 33 per cent.",
    ),
    "pggan-cifar": Run(
        f"{CIFAR} --preset pggan --network 'pggan(fmap_base=256, fmap_max=64, z_dim=64)' --images 200000 "
        "--ema-images 4000 --score fd --score-every 20000 --score-images 2000",
        note="Progressive growing, beside other work, stopped before its end. Each level has the colours and layout "
        "of real images of its size: skies, meadows and dark shapes on them, without an object that could be named.",
    ),
    "pggan-cells": Run(
        "data/bccd --preset pggan --size 128 --mirror --network 'pggan(fmap_base=256, fmap_max=64, z_dim=64)' "
        "--images 200000 --ema-images 4000 --score fd sliced_wasserstein",
        note="364 micrographs of blood at 640x480, in 128x128, stopped and resumed on the way. Red cells, and in most "
        "images one white cell with its violet nucleus, each elsewhere and of another shape; the rims of the red cells "
        "are not there yet. The distance falls from level to level and jumps when a level begins to fade in.",
    ),
    "lapgan-cifar": Run(
        f"{CIFAR} --preset lapgan --network 'lapgan(width=32, g_hidden=600, d_hidden=300)' --batch 32 "
        "--optimizer 'adam(beta1=0.5, beta2=0.999)' --lr-g 'decay(5e-4, share=0.5)' --lr-d 'decay(5e-4, share=0.5)' "
        "--images 60000 --ema-images 5000 --score fd sliced_wasserstein",
        note="A pyramid of three networks. Coarse images have the layout of real ones; the bands lie where these have "
        "something and leave skies alone, but do not draw lines yet as real ones do.",
    ),
    "sngan-resnet": Run(
        f"{CIFAR} --preset sngan-resnet {INCEPTION}",
        "FID 21.7 +- 0.2 (5,000 samples against 10,000 images), IS 8.22 +- 0.05 (Miyato 2018)",
    ),
    "wgan-gp": Run(f"{CIFAR} --preset wgan-gp {INCEPTION}", "IS 7.86 +- 0.07 (Gulrajani 2017)"),
    "sngan-projection": Run(
        f"{CIFAR} --preset sngan-projection {INCEPTION}",
        "IS 8.62, FID 17.5 (5,000 samples against 10,000 images; Miyato and Koyama 2018)",
    ),
    "r3gan": Run(f"{CIFAR} --preset r3gan --labels {INCEPTION}", "FID 1.96 (Huang 2024)"),
}

HEAD = """# Results

Whole runs, each with its command, made by `python benchmarks/results.py`, which trains what it is asked for, resumes
where it was stopped, and reads this page from the folders of the runs. Scores are the last ones of the EMA generator.
FD is the Frechet distance and named after its features: values on other features, and those with labels and
without, are not comparable, and none is an FID but where it says so. CIFAR-10's test set against its training set, the
floor of any generator: FD (mobilenet) 25.75, FD (resnet56) 0.0500. Runs have one seed; comparisons over seeds are in
[studies](studies/README.md), every preset in the [gallery](gallery.md), speed in [benchmarks](benchmarks.md).

In cells64 and so forth nothing is set; they are 2,000 random squares of 364 micrographs of blood, made by
`python scripts/crops.py data/bccd data/cells64 --side 64`. Two of these runs shared the two cores, one each.
cifar-folders are CIFAR-10's training images as 50,000 files in ten folders, by `python scripts/class_folders.py`.
"""
TABLE = """
## {title}

| run | images seen | training took | forecast | on | score | published, at full length |
|---|---|---|---|---|---|---|
"""
STUDIES = ROOT / "docs" / "studies"
PRESETS = STUDIES / "default.md", STUDIES / "default-sets.md"
WITH_LABELS = STUDIES / "labels.md", STUDIES / "labels-sets.md"
AT_EQUAL_TIME = """
## At equal time

Every preset for the same processor time with the widths that one core can train and the settings of the gallery, three
seeds, without labels: half a minute on the built-in images, by FD (builtin), and three quarters of a minute on 50,000
photographs, 1,545 emoji and 364 micrographs at 32x32, by FD (mobilenet). Means with half of their 95 per cent interval,
survivors in brackets; bold is the best, an asterisk says that a row differs from the default by more than chance. What
was seen is in [default](studies/default.md) and [default-sets](studies/default-sets.md);
`equipoise study default --scale small` and `--scale sets` make the table.

"""
PICTURES = """
The newest samples of the first seed, none chosen:

![Samples of every preset on three sets](studies/default-sets-samples.png)

![Samples of every preset on the built-in images](studies/default-samples.png)
"""
LEARNING_FROM_LABELS = """
### Learning from labels, at equal time

The default with labels beside the presets that learn from them, in the same way: the built-in images, and how often a
classifier of real images finds the class that was asked for (GAN-test); photographs. What was seen is in
[labels](studies/labels.md) and [labels-sets](studies/labels-sets.md), of `equipoise study labels`.

"""
SHOWN_WITH_LABELS = """
![Samples with labels of CIFAR-10](studies/labels-sets-samples.png)
"""
ENTRY = """
## {name}

{note}

![{name} over time](results/{name}.png)

```sh
{command}
```

{measured}. {curve}
"""


def command(name):
    """The command of a run, from the root of the repository."""
    return f"equipoise train {RUNS[name].words} --out runs/results/{name}"


def write_page(runs, page):
    """The page and its pictures, from the runs that are there; of others it keeps what it said."""
    page.with_suffix("").mkdir(parents=True, exist_ok=True)
    tell = lambda name, record: Told(row(name, record), entry(name, record, page.with_suffix("")))
    shown = told(page, runs, {name: command(name) for name in RUNS}, tell)
    tables = [
        (TABLE.format(title=title), [name for name in RUNS if bool(recipe(command(name)).labels) == labels])
        for title, labels in (("Without labels", False), ("With labels", True))
    ]
    missing = ", ".join(name for name in RUNS if name not in shown)
    end = f"\n## Not run\n\n{missing}: see `benchmarks/results.py` for their commands.\n" if missing else ""
    presets = f"{AT_EQUAL_TIME}{at_equal_time(PRESETS, 'built-in')}{PICTURES}"
    labelled = f"{LEARNING_FROM_LABELS}{at_equal_time(WITH_LABELS)}{SHOWN_WITH_LABELS}"
    write(page, f"{HEAD}{presets}{labelled}", tables, shown, end)


def at_equal_time(studies, *names):
    """The scores of studies with equal rows, side by side, from their pages; the first columns may have other names."""
    tables = [first_table(study.read_text()) for study in studies]
    columns = [*chain(*(table[0][1:] for table in tables))]
    columns[: len(names)] = names
    cells = [{name: scores for name, *scores in table} for table in tables]
    lines = [["preset", *columns], ["---"] * (1 + len(columns))]
    for name, *_ in tables[0][2:]:
        rows = (own.get(name, ["not run"] * (len(table[0]) - 1)) for own, table in zip(cells, tables, strict=True))
        lines.append([name, *chain(*rows)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def first_table(page):
    """The cells of the first table of a page, line by line."""
    lines = takewhile(lambda line: line.startswith("|"), page[page.index("\n|") + 1 :].splitlines())
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def row(name, record):
    """A line of the table."""
    last, hardware = by_seen(record)[-1], record.context["hardware"]
    score = "; ".join(
        f"{score_title(key, last)} {numbers.value(number(last, key))}" for key in last["scores"] if "." not in key
    )
    seen = numbers.count(record.seen) + ("" if record.finished else f" of {numbers.count(record.images)}")
    took, forecast = numbers.duration(record.seconds), record.context.get("forecast")
    said = numbers.duration(forecast["seconds"]) if forecast else "none"
    threads = f"{hardware['threads']} thread{'s' * (hardware['threads'] > 1)}"
    on = f"{hardware['name']}, {threads}" if hardware["device"] == "cpu" else hardware["name"]
    return f"| [{name}](#{name}) | {seen} | {took} | {said} | {on} | {score} | {RUNS[name].published or 'none'} |\n"


def entry(name, record, pictures):
    """What the page says of a run; draws its picture."""
    strip(record).save(pictures / f"{name}.png", optimize=True)
    last = by_seen(record)[-1]
    way, first = way_of(last), next(iter(last["scores"]))
    scores = ", ".join(f"{numbers.value(number(of, first))} at {numbers.count(of['seen'])}" for of in by_seen(record))
    return ENTRY.format(
        name=name,
        note=RUNS[name].note,
        command=command(name),
        measured=f"Measured: {way.sides}, {way.features} features",
        curve=f"{score_title(first, last)}: {scores}.",
    )


def by_seen(record):
    """The scores of training in the order of the images seen."""
    return sorted(record.training, key=lambda of: of["seen"])


def strip(record):
    """A corner of the samples at a few moments after the start, evenly spread to the end; of classes all rows."""
    moments = [record.pictures[round(at * (len(record.pictures) - 1) / SHOWN)] for at in range(1, SHOWN + 1)]
    side = int(str(record.recipe["size"]).split("x")[0])
    pictures = [Image.open(file).convert("RGB") for _, file in moments]
    corner = min(pictures[-1].width, side * max(FEWEST, SIDE // side))
    height = pictures[-1].height if record.recipe["labels"] else corner  # a row for every class
    row = Image.new("RGB", ((corner + 4) * SHOWN - 4, height), "white")
    for at, picture in enumerate(pictures):
        row.paste(picture.crop((0, 0, corner, height)), (at * (corner + 4), 0))
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", nargs="+", choices=RUNS, default=[], metavar="NAME", help="runs to train first")
    broken = [name for name in parser.parse_args().run if not train(command(name))]
    write_page(ROOT / "runs" / "results", ROOT / "docs" / "results.md")
    return f"stopped before their end: {', '.join(broken)}" if broken else 0


if __name__ == "__main__":
    sys.exit(main())
