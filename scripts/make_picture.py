"""Makes the README's picture from a run: its samples over time, with their scores.

python scripts/make_picture.py runs/first [OUT]
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from equipoise.runs import RunFolder
from equipoise.runs.folder import read_rows

COLUMNS = 6
SHOWN = 5  # samples on a side of each picture


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=Path("docs/samples.png"))
    options = parser.parse_args()
    folder = RunFolder(options.run)
    scores = {row["seen"]: row["fd"] for row in read_rows(folder.metrics_file) if row["when"] == "training"}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    draw(folder, scores, folder.recipe().height_width()).savefig(options.out, dpi=100)
    print(options.out)


def draw(folder, scores, size):
    """The moments of the run at which there are both samples and a score, evenly chosen."""
    seen = sorted(n for n in scores if (folder.samples / f"{n:010d}.png").exists())
    chosen = [seen[round(i * (len(seen) - 1) / (COLUMNS - 1))] for i in range(COLUMNS)]
    figure = Figure(figsize=(12, 2.3), layout="constrained")
    for axis, moment in zip(figure.subplots(1, COLUMNS), chosen, strict=True):
        with Image.open(folder.samples / f"{moment:010d}.png") as picture:
            axis.imshow(picture.crop((0, 0, SHOWN * size[1], SHOWN * size[0])), cmap="gray", vmin=0, vmax=255)
        axis.set_title(f"{moment:,} images, FD {scores[moment]:.1f}", fontsize=8)
        axis.set_axis_off()
    return figure


if __name__ == "__main__":
    main()
