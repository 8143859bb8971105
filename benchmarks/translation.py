"""Translations whose truth is known: how far from the true partner are they, before and after training?

python benchmarks/translation.py                             what is missing in runs/translation, and the table
python benchmarks/translation.py --only inverted --images 40000

`inverted`: CycleGAN between digits of MNIST and other digits, inverted and turned by 15 degrees. Training sees no pair;
the partners of the held-out digits are known. (A quarter turn is beyond it: the authors say that changes of geometry
mostly fail.) `edges`: pix2pix from the outlines of garments of Fashion-MNIST to the garments, side by side.

The error is mean |G(a) - b| over held-out pairs, in grey levels of 255. Beside it: that of the untrained generator, of
the input as it is, and of its inversion without the turn. The pictures in the run folders have rows of inputs, of what
the EMA generator makes of them, and of true partners.
"""

import argparse
import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from equipoise import presets, runs
from equipoise.runs.pictures import grid

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"
TRAINING, HELD_OUT, SIZE = 4_000, 500, 28
ANGLE, EDGE = 15, 40  # degrees; difference of grey levels between neighbours
SHOWN = 12
SETTINGS = {
    "inverted": {
        "preset": "cyclegan",
        "network": "cyclegan(g_width=16, d_width=16, blocks=2)",
        "game": "cycle(weight=5.0, identity=0.0)",
        "images": 24_000,
    },
    "edges": {"preset": "pix2pix", "network": "pix2pix(g_width=16, d_width=16)", "images": 24_000},
}


def images_of(name, part):
    """The images of a published set of idx files."""
    with gzip.open(SHARED / name / f"{part}-images-idx3-ubyte.gz") as file:
        return np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, SIZE, SIZE)


def inverted(image):
    """255 - x, turned."""
    return 255 - np.asarray(Image.fromarray(image).rotate(ANGLE, Image.Resampling.BILINEAR))


def edges(image):
    """Black where neighbours differ much."""
    x = image.astype(int)
    steps = np.abs(np.diff(x, axis=0, append=0)) + np.abs(np.diff(x, axis=1, append=0))
    return np.where(steps > EDGE, 0, 255).astype(np.uint8)


def write_inverted(folder):
    """Digits and other digits' twins; the held-out ones are pairs."""
    digits, test = images_of("mnist", "train"), images_of("mnist", "t10k")[:HELD_OUT]
    unlike = digits[TRAINING : 2 * TRAINING]
    parts = {"trainA": digits[:TRAINING], "trainB": map(inverted, unlike), "testA": test, "testB": map(inverted, test)}
    for part, images in parts.items():
        (folder / part).mkdir(parents=True)
        for number, image in enumerate(images):
            Image.fromarray(image).save(folder / part / f"{number:05d}.png")


def write_edges(folder):
    """Outlines and garments, side by side."""
    for part, count in (("train", TRAINING), ("test", HELD_OUT)):
        (folder / part).mkdir(parents=True)
        for number, image in enumerate(images_of("fashion-mnist", "t10k" if part == "test" else part)[:count]):
            Image.fromarray(np.concatenate([edges(image), image], axis=1)).save(folder / part / f"{number:05d}.png")


def recipe(name, images):
    """A small run of the preset."""
    setting = SETTINGS[name]
    few = {"batch": 4, "size": str(SIZE), "mirror": False, "lr_g": "decay(1e-3)", "lr_d": "decay(5e-4)"}
    few |= {"game": setting.get("game", "paired"), "network": setting["network"], "images": images or setting["images"]}
    few |= {"ema_images": 500, "score_images": 500, "data": str(ROOT / "runs" / "translation" / f"{name}-data")}
    return replace(getattr(presets, setting["preset"])(), **few)


def pairs(run):
    """The held-out inputs and their partners, in one order."""
    dataset = runs.evaluations.trained_on(run)
    return (side.held_out.take(range(len(side.held_out))) for side in (dataset.a, dataset.b))


def error(images, partners):
    """mean |x - y|, in grey levels."""
    return (images.float() - partners.float()).abs().mean().item()


def measure(name, out):
    """The rows of the table; draws the picture."""
    sampler = runs.Sampler(out)
    sides, untrained = [*pairs(sampler)], runs.assemble.build_networks(sampler.recipe, sampler.meaning.space)
    rows = []
    for net, (x, y) in zip(sampler.nets, (sides, sides[::-1]), strict=False):
        first, last = (runs.outputs.translated(G.eval(), x) for G in (untrained[net], sampler.nets[net]))
        before, after, plain = (error(images, y) for images in (first, last, 255 - x))
        rows.append(
            f"| {name} {net} | {before:.1f} | {error(x, y):.1f} | {plain:.1f} | {after:.1f} | {before / after:.1f} |"
        )
        tiles = grid(torch.cat([part[:SHOWN] for part in (x, last, y)]), SHOWN)
        tiles.resize((tiles.width * 2, tiles.height * 2), Image.Resampling.NEAREST).save(out / f"{net}.png")
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--images", type=int)
    options = parser.parse_args()
    folder = ROOT / "runs" / "translation"
    rows = []
    for name in options.only:
        if not (folder / f"{name}-data").exists():
            {"inverted": write_inverted, "edges": write_edges}[name](folder / f"{name}-data")
        for progress in runs.train(recipe(name, options.images), folder / name):
            if progress.score:
                print(name, progress.seen, progress.score["fd"], flush=True)
        rows.append(measure(name, folder / name))
    print("| run | untrained | input | inverted alone | trained | times smaller |\n|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
