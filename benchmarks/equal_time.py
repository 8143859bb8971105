"""Every preset for the same time on the same images: is the default the best?

python benchmarks/equal_time.py --minutes 2                                    what is missing in runs/equal_time
python benchmarks/equal_time.py --presets default lsgan --sets emoji --seeds 0 1 2
python benchmarks/equal_time.py --sets mine=photos/ --size 64                  on images of one's own

Time is processor time of one thread in training steps: what a preset manages in a second is measured, and it trains
for as many images, so that other work on the machine changes nothing. Presets have the widths of the gallery; what else
follows the data is chosen as for any run. The table shows FD (mobilenet) of `--score-images` of the EMA generator
against the training set, the mean over the seeds and its range; the picture has a row of samples for each preset.
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from itertools import repeat
from pathlib import Path
from statistics import mean

import torch
from gallery import SETTINGS, samples
from PIL import Image

from equipoise import cli
from equipoise.report.record import read
from equipoise.runs import Sampler, Session
from equipoise.runs.assemble import rounds

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"
SETS = {
    "builtin": "builtin",
    "cifar10": f"{ROOT / 'runs' / 'cifar-10-batches-py'}",
    "emoji": f"{SHARED / 'emoji' / 'emoji128.zip'}",
    "bccd": f"{SHARED / 'bccd' / 'images'}",
}
TIMED = 8  # rounds


def words(preset, data, size, seed):
    """The flags of a run, but for its length."""
    flags = ["train", data, "--preset", preset, *shlex.split(SETTINGS[preset]), "--seed", str(seed), "--device", "cpu"]
    return [*flags, "--features", "mobilenet", "--score", "fd", *(["--size", size] if size else [])]


def pace(flags, out):
    """Images a second of processor time; the fastest of three timings."""
    recipe = cli.parse([*flags, "--out", str(out), "--images", "1000000", "--ema-images", "1000"]).recipe
    run = Session(recipe, out)
    shape = run.recipe.channels, *run.recipe.height_width()
    batch = torch.rand(run.recipe.batch, *shape) * 2 - 1, run.dataset.meaning.space.example(run.recipe.batch)
    stream = rounds(run.assembled, repeat(batch), run.recipe)
    next(stream)
    return max(timed(stream, run.state) for _ in range(3))


def timed(stream, state):
    """Images a second in a few rounds."""
    mark, seen = time.process_time(), state.seen
    for _ in range(TIMED):
        next(stream)
    return (state.seen - seen) / (time.process_time() - mark)


def train(flags, out, minutes):
    """Trains unless the run is there and finished; a preset that breaks is seen in the table."""
    if (out / "recipe.json").exists():
        if read(out).finished:
            return
        images = read(out).images
    else:
        images = max(1, round(60 * minutes * pace(flags, out)))
    every = [f"--{what}-every" for what in ("score", "sample", "save")]
    length = ["--images", images, "--ema-images", max(1, images // 30), *(x for flag in every for x in (flag, images))]
    command = [sys.executable, "-m", "equipoise", *flags, "--out", out, *length]
    subprocess.run([*map(str, command)], env=os.environ | {"OMP_NUM_THREADS": "1"})


def table(found, sets):
    """A row for each preset, the best first by the mean of its ranks."""
    best = {name: sorted(mean(cells[name]) for cells in found.values() if name in cells) for name in sets}
    rank = lambda cells: mean(best[name].index(mean(cells[name])) for name in cells)
    lines = ["| preset | " + " | ".join(sets) + " |", "|---|" + "---|" * len(sets)]
    for preset, cells in sorted(found.items(), key=lambda item: rank(item[1])):
        lines.append(f"| {preset} | " + " | ".join(cell(cells.get(name)) for name in sets) + " |")
    return "\n".join(lines)


def stacked(rows):
    """Pictures of equal width, one below the other."""
    picture = Image.new(rows[0].mode, (rows[0].width, sum(row.height for row in rows)))
    for number, row in enumerate(rows):
        picture.paste(row, (0, number * row.height))
    return picture


def cell(values):
    """The mean and the range."""
    if values is None:
        return "broke off"
    return f"{mean(values):.0f}" + (f" ({min(values):.0f} to {max(values):.0f})" if len(values) > 1 else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", nargs="+", choices=SETTINGS, default=[*SETTINGS], metavar="NAME")
    parser.add_argument("--sets", nargs="+", default=[*SETS], metavar="NAME", help=f"{', '.join(SETS)}, or NAME=DATA")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--size", help="height and width; default: as chosen for the images")
    parser.add_argument("--score-images", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "equal_time")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sets = dict(name.split("=", 1) if "=" in name else (name, SETS[name]) for name in options.sets)
    found = {}
    for seed in options.seeds:
        for name, data in sets.items():
            for preset in options.presets:
                out = options.out / name / f"{preset}-{seed}"
                flags = [*words(preset, data, options.size, seed), "--score-images", str(options.score_images)]
                train(flags, out, options.minutes)
                if read(out).finished:
                    found.setdefault(preset, {}).setdefault(name, []).append(read(out).training[-1]["fd"])
    for name in sets:
        shown = [preset for preset in found if name in found[preset]]
        rows = [samples(Sampler(options.out / name / f"{preset}-{options.seeds[0]}")) for preset in shown]
        stacked(rows).save(options.out / f"{name}.png")
    print(table(found, [*sets]))


if __name__ == "__main__":
    main()
