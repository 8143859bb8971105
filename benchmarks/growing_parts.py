"""What each part of progressive growing does: every one exchanged or switched off, three seeds, and the page of it.

python benchmarks/growing_parts.py               trains what is missing in runs/growing, then writes docs/growing.md
python benchmarks/growing_parts.py --page        writes the page alone, from the runs that are there
"""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

import torch
from PIL import Image

from equipoise.report.record import read
from equipoise.runs import Sampler
from equipoise.runs.pictures import grid

ROOT = Path(__file__).parent.parent
IMAGES, SEEDS = 20_000, (0, 1, 2)
NETWORK = "fmap_base=128, fmap_max=32, z_dim=32"
GROWTH = "progressive"
PARTS = {  # what differs: arguments of the network, the growth
    "as published": ("", GROWTH),
    "statistics `spatial`": (", minibatch_std='spatial'", GROWTH),
    "statistics `gpool`": (", minibatch_std='gpool'", GROWTH),
    "statistics `flat`": (", minibatch_std='flat'", GROWTH),
    "no minibatch statistics": (", minibatch_std=None", GROWTH),
    "no pixel norm": (", g_feature_norm='none'", GROWTH),
    "no equalized learning rate": (", equalized=False", GROWTH),
    "no fade-in": ("", "progressive(fade=0)"),
    "no growth": ("", "none"),
}
METRICS = {"fd": "FD (builtin)", "recall": "recall", "coverage": "coverage"}
SHOWN, SCALE = 16, 2

HEAD = """# The parts of progressive growing

Each part of `pggan` (Karras 2018, arXiv:1710.10196) exchanged or switched off, on the built-in images at 16x16:
{images:,} real images, networks of at most 32 channels, three seeds, mean and standard deviation over these. A tiny
budget: it shows which parts matter first, not which win in the end. Made by `python benchmarks/growing_parts.py`, torch
{torch}, one thread a run. FD, recall and coverage are on `builtin` features, of 2,000 samples of the EMA generator;
coverage is the share of real images that have a sample near by, and falls where a generator collapses.

The modes of minibatch statistics: "all" is one number, the mean standard deviation of all values; "spatial" one per
channel; "gpool" one standard deviation over samples and pixels per channel; "flat" one over everything.

| | {titles} |
|---|{lines}|
"""


def flags(name, seed):
    """The command of one run, from the root of the repository."""
    network, growth = PARTS[name]
    out = f"runs/growing/{name.replace(' ', '-').replace('`', '')}-{seed}"
    return [
        *("train", "builtin", "--preset", "pggan", "--out", out, "--size", "16", "--seed", str(seed)),
        *("--network", f"pggan({NETWORK}{network})", "--growth", growth, "--images", str(IMAGES)),
        *("--ema-images", str(IMAGES // 30), "--score", "fd,precision_recall,density_coverage"),
        *("--score-every", str(IMAGES), "--score-images", "2000", "--save-every", str(IMAGES)),
    ]


def folder(name, seed):
    """Where a run is."""
    words = flags(name, seed)
    return ROOT / words[words.index("--out") + 1]


def train(name, seed):
    """Trains unless the run is finished; one that breaks is seen on the page."""
    if not ((folder(name, seed) / "recipe.json").exists() and read(folder(name, seed)).finished):
        command = [sys.executable, "-m", "equipoise", *flags(name, seed)]
        subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"})


def page(seeds):
    """The table, the pictures of the first seed, and the command."""
    titles, lines = " | ".join(METRICS.values()), "|".join(["---"] * len(METRICS))
    text = HEAD.format(images=IMAGES, torch=torch.__version__, titles=titles, lines=lines)
    rows = {name: [read(folder(name, seed)) for seed in seeds if folder(name, seed).exists()] for name in PARTS}
    for name, records in rows.items():
        finished = [record.training[-1] for record in records if record.finished]
        text += f"| {name} | {' | '.join(cell([row[metric] for row in finished]) for metric in METRICS)} |\n"
    text += f"\n```sh\nequipoise {shlex.join(flags('as published', 0))}\n```\n\n![Samples](growing.png)\n\n"
    return text + f"Rows of samples, from the top: {', '.join(rows)}.\n"


def cell(values):
    """Mean and standard deviation, as words."""
    if not values:
        return "broke off"
    return f"{mean(values):.3g}" + (f" ± {stdev(values):.2g}" if len(values) > 1 else "")


def picture(seed):
    """A row of samples for each part."""
    samplers = [Sampler(folder(name, seed)) for name in PARTS]
    sheet = grid(torch.cat([torch.cat(list(sampler(SHOWN))) for sampler in samplers]), SHOWN)
    return sheet.resize((sheet.width * SCALE, sheet.height * SCALE), Image.Resampling.NEAREST)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="write the page alone")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    options = parser.parse_args()
    for seed in [] if options.page else options.seeds:
        for name in PARTS:
            train(name, seed)
    docs = ROOT / "docs"
    docs.mkdir(exist_ok=True)
    (docs / "growing.md").write_text(page(options.seeds))
    picture(options.seeds[0]).save(docs / "growing.png", optimize=True)


if __name__ == "__main__":
    main()
