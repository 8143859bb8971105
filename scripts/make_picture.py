"""Makes the README's picture: one GAN trained twice, without and with spectral normalisation, samples over time.

python scripts/make_picture.py [OUT] [--images 60000]
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from equipoise import presets, runs
from equipoise.runs.folder import read_rows
from equipoise.runs.train import NotFinite

ROWS = {"no norm": "none", "spectral normalisation": "spectral"}
COLUMNS = 6
SHOWN = 4  # samples on a side of each picture


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, nargs="?", default=Path("docs/stable.png"))
    parser.add_argument("--images", type=int, default=60_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        told = {label: train(norm, Path(folder) / norm, options.images) for label, norm in ROWS.items()}
        draw(told).savefig(options.out, dpi=110)
    print(options.out)


def train(norm, out, images):
    """Samples and scores at a few moments: a list of (images seen, picture, FID)."""
    recipe = replace(presets.default(), d_norm=norm, images=images, decay=0.0, lr_d=1e-3, lr_g=1e-3)
    recipe = replace(recipe, sample_every=images // COLUMNS, score_every=images // COLUMNS, keep=1)
    try:
        for _ in runs.train(recipe, out):
            pass
    except NotFinite as error:
        print(error)
    scores = {row["seen"]: row["fid"] for row in read_rows(out / "metrics.jsonl")}
    files = sorted((out / "samples").glob("*.png"))
    return [(int(file.stem), corner(file), scores.get(int(file.stem))) for file in files]


def corner(file):
    with Image.open(file) as picture:
        return picture.crop((0, 0, SHOWN * 28, SHOWN * 28)).copy()


def draw(told):
    figure = Figure(figsize=(9.4, 3.9), layout="constrained")
    axes = figure.subplots(len(told), COLUMNS + 1)
    for row, (label, moments) in zip(axes, told.items(), strict=True):
        row[0].set_ylabel(label, fontsize=10)
        for axis in row:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for axis, (seen, picture, fid) in zip(row, moments, strict=False):
            axis.imshow(picture, cmap="gray")
            axis.set_title(f"{seen:,}" + (f"  FID {fid:.1f}" if fid is not None else ""), fontsize=8)
    figure.suptitle("images shown", fontsize=9)
    return figure


if __name__ == "__main__":
    main()
