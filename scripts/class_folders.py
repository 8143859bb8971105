"""Writes a labelled set as pictures in a folder for each class, as sets of one's own often are.

python scripts/class_folders.py data/cifar-10-batches-py data/cifar-folders
"""

import argparse
from pathlib import Path

from equipoise.data import Format, inspect, load
from equipoise.runs.pictures import picture, safe


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="what train takes as data, with classes")
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    look = inspect(options.data, labels=True).typical
    dataset = load(options.data, Format(look.channels, look.height, look.width), labels=True)
    names = [safe(name) for name in dataset.meaning.names]
    options.out.mkdir(parents=True)
    for name in names:
        (options.out / name).mkdir()
    for number, label in enumerate(dataset.labels.values.tolist()):
        picture(dataset.take([number])[0]).save(options.out / names[label] / f"{number:05}.png")


if __name__ == "__main__":
    main()
