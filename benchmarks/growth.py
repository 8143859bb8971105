"""What progressive growing costs: seconds per image at every level, and of the whole schedule against full size.

python benchmarks/growth.py --size 128 --network "pggan(fmap_base=512, fmap_max=64, z_dim=64)"

Trains on noise with the preset pggan, every phase of growth as long as every other, and in turns, in the same process,
with the same networks at their full size from the start. The ratio of the times is how many times faster growing is.
"""

import argparse
from dataclasses import replace
from statistics import median

import torch

from equipoise import presets
from equipoise.labels import LabelSpace
from equipoise.recipe import known
from equipoise.runs.forecast import measure_pace

CPU = torch.device("cpu")


def recipe(size, network, batch, images):
    """The preset, with what is left open chosen for a measurement."""
    return replace(
        presets.pggan(),
        network=network,
        size=str(size),
        channels=3,
        batch=batch,
        images=images,
        features="pixels",
        precision="float32",
        ema_images=11_000,
        labels=False,
        range="bytes",
    )


def paces(growing, times):
    """The paces of growing and of training at full size, in turns."""
    whole = replace(growing, growth="none")
    pace = lambda recipe: measure_pace(recipe, LabelSpace(), CPU)
    return zip(*((pace(growing), pace(whole)) for _ in range(times)), strict=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--network", default="pggan(fmap_base=512, fmap_max=64, z_dim=64)")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--images", type=int, default=1_100_000)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    phases = 2 * (options.size.bit_length() - 3) + 1  # of sizes 4, 8, 16...: all but the first fade in and hold
    growing = recipe(options.size, options.network, options.batch, options.images)
    growing = replace(growing, growth=f"progressive(share={(phases - 1) / phases})")
    grown, whole = paces(growing, options.times)
    print(f"| side | | ms an image |\n|---|---|---|\n{rows(grown)}")
    ratio = median(full.image / pace.image for pace, full in zip(grown, whole, strict=True))
    print(f"| all phases | | {1000 * median(pace.image for pace in grown):.2f} |")
    print(f"| full size from the start | | {1000 * median(pace.image for pace in whole):.2f} |")
    print(f"\ngrowing is {ratio:.2f} times as fast, for {known(growing.images):,} images; torch {torch.__version__}")


def rows(grown):
    """A row for each phase: the median of its times."""
    lines = []
    for same in zip(*(pace.phases for pace in grown), strict=True):
        phase = same[0][0]
        cost = 1000 * median(seconds for _, seconds in same)
        lines.append(f"| {phase.side} | {'fades in' if phase.fading else 'held'} | {cost:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
