"""Cuts random squares out of large photographs, for a set of small ones of any number.

python scripts/crops.py data/bccd data/cells64 --side 64
"""

import argparse
import random
from pathlib import Path

from PIL import Image


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--side", type=int, default=64, help="pixels of a square in the end")
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--least", type=int, default=200, help="pixels of the photograph that a square has at least")
    parser.add_argument("--most", type=int, default=300)
    options = parser.parse_args()
    draw = random.Random(0)
    files = sorted(file for file in options.photographs.iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not files:
        parser.error(f"{options.photographs} has no photographs, .jpg or .png")
    options.out.mkdir(parents=True)
    for number in range(options.count):
        with Image.open(files[number % len(files)]) as photograph:
            whole = photograph.convert("RGB")
        side = min(draw.randint(options.least, options.most), *whole.size)
        left, top = draw.randint(0, whole.width - side), draw.randint(0, whole.height - side)
        square = whole.crop((left, top, left + side, top + side))
        square.resize((options.side, options.side), Image.Resampling.LANCZOS).save(options.out / f"{number:04}.png")


if __name__ == "__main__":
    main()
