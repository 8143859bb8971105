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
from pathlib import Path
from statistics import mean

import torch
from gallery import SETTINGS, samples
from PIL import Image

from equipoise import cli
from equipoise.report.record import read
from equipoise.runs import Sampler, Session
from equipoise.runs.forecast import measured

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"
SETS = {
    "builtin": "builtin",
    "cifar10": f"{ROOT / 'runs' / 'cifar-10-batches-py'}",
    "emoji": f"{SHARED / 'emoji' / 'emoji128.zip'}",
    "bccd": f"{SHARED / 'bccd' / 'images'}",
}


def words(preset, data, size, seed):
    """The flags of a run, but for its length."""
    flags = ["train", data, "--preset", preset, *shlex.split(SETTINGS[preset]), "--seed", str(seed), "--device", "cpu"]
    return [*flags, "--features", "mobilenet", "--score", "fd", *(["--size", size] if size else [])]


def pace(flags, out):
    """Images a second of processor time."""
    recipe = cli.parse([*flags, "--out", str(out), "--images", "1000000", "--score-every", "1000000"]).recipe
    run = Session(recipe, out)
    return 1 / measured(run.recipe, run.dataset.meaning.space, run.device, time.process_time).image


def train(flags, out, minutes):
    """The record of the run, which is trained unless it is there; None of a preset that cannot learn these images."""
    if not (out / "recipe.json").exists():
        try:
            images = max(1, round(60 * minutes * pace(flags, out)))
        except ValueError as error:
            print(f"{out}: {error}", file=sys.stderr)
            return None
    else:
        images = read(out).images
    if not (out / "recipe.json").exists() or not read(out).finished:
        every = [f"--{what}-every" for what in ("score", "sample", "save")]
        length = ["--images", images, "--ema-images", max(1, images // 30)]
        command = [sys.executable, "-m", "equipoise", *flags, "--out", out, *length]
        command += [word for flag in every for word in (flag, images)]
        subprocess.run([*map(str, command)], env=os.environ | {"OMP_NUM_THREADS": "1"})
    return read(out) if (out / "recipe.json").exists() else None


def table(found, sets):
    """A row for each preset, the best first by the mean of its ranks; last in a set on which it has no result."""
    best = {name: sorted(mean(cells[name]) for cells in found.values() if name in cells) for name in sets}
    rank = lambda cells: mean(best[n].index(mean(cells[n])) if n in cells else len(found) for n in sets)
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
        return "no result"
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
    found, rows = {}, {}
    for seed in options.seeds:
        for name, data in sets.items():
            for preset in options.presets:
                out = options.out / name / f"{preset}-{seed}"
                flags = [*words(preset, data, options.size, seed), "--score-images", str(options.score_images)]
                record = train(flags, out, options.minutes)
                found.setdefault(preset, {})
                if record and record.finished:
                    found[preset].setdefault(name, []).append(record.training[-1]["fd"])
                    rows.setdefault(name, {}).setdefault(preset, out)
    for name, shown in rows.items():
        stacked([samples(Sampler(out)) for out in shown.values()]).save(options.out / f"{name}.png")
    print(table(found, [*sets]))


if __name__ == "__main__":
    main()
