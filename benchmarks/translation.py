"""Translations between domains whose success can be measured, and the page that shows them.

python benchmarks/translation.py                  trains what is missing in runs/translation, writes its page
python benchmarks/translation.py --only inverted  trains this alone; the page keeps the others
python benchmarks/translation.py --page           writes the page alone

`inverted`: CycleGAN between digits of MNIST and other digits, inverted and turned by 15 degrees. Training sees no pair;
the partners of the held-out digits are known. (A quarter turn is beyond it: the authors say that changes of geometry
mostly fail.) `edges`: pix2pix from the outlines of garments of Fashion-MNIST to the garments, side by side. `horses`:
CycleGAN between the horses and the deer of CIFAR-10.
"""

import argparse
import gzip
import shlex
import shutil
import sys

import numpy as np
import run_pages
import torch
from PIL import Image
from run_pages import ROOT, run_of

from equipoise import presets, runs
from equipoise.data.cifar import TEST, TRAIN, read_cifar
from equipoise.metrics import features
from equipoise.report.record import read
from equipoise.runs.pictures import grid
from equipoise.spec import first_line

SHARED = ROOT.parent / "shared" / "data"
CIFAR = ROOT / "data" / "cifar-10-batches-py"
TRAINING, HELD_OUT, SIZE = 4_000, 500, 28
ANGLE, EDGE = 15, 40  # degrees; difference of grey levels between neighbours
HORSES, DEER = 7, 4
SHOWN, SCALE = 12, 2
FALLING = "--lr-g 'decay(1e-3)' --lr-d 'decay(5e-4)'"
SETTINGS = {  # what differs from the preset
    "inverted": "--preset cyclegan --network 'cyclegan(g_width=16, d_width=16, blocks=2)' "
    f"--game 'cycle(weight=5.0, identity=0.0)' --no-mirror --size 28 --images 12000 {FALLING}",
    "edges": "--preset pix2pix --network 'pix2pix(g_width=16, d_width=16)' --no-mirror --size 28 --images 24000 "
    + FALLING,
    "horses": "--preset cyclegan --network 'cyclegan(g_width=16, d_width=16, blocks=3)' --mirror --images 16000 "
    + FALLING,
}
TITLES = {
    "inverted": "Digits and their twins, inverted and turned by 15 degrees",
    "edges": "Outlines of garments to garments",
    "horses": "Horses and deer",
}

DOMAINS = {"inverted": ("digits", "twins"), "edges": ("outlines", "garments"), "horses": ("horses", "deer")}
NOTES = {  # what is seen in the pictures
    "inverted": "It inverts and turns: an inversion alone leaves the error in the third column.",
    "edges": "Silhouettes are filled rightly; where outlines do not say how dark a garment is, it guesses, and "
    "patterns such as checks and writing become grain.",
    "horses": "Ten minutes are few. Horses lose their pens and riders to the meadows and woods of deer, which fools "
    "the classifier in most images; the other way round animals stay deer, in front of brighter grounds. Shapes hardly "
    "change, as the authors say of their own results.",
}

HEAD = """# Gallery of translations

Presets that translate images, at reduced width, made by `python benchmarks/translation.py`, which resumes where it was
stopped. The pictures have a row of inputs, a row of what the EMA generator makes of them and, where they are known, a
row of true partners: held-out images, the first of their folders, none chosen. One seed each.
"""

ENTRY = """
## {title}

{paper}

{text}

{pictures}

```sh
{command}
```
"""

PARTNERS = """The mean |G(x) - y| over {count} held-out pairs, in grey levels of 255; {seconds:.0f} s of training on one
thread.

| | untrained | the input itself | the input inverted | trained | times smaller than untrained |
|---|---|---|---|---|---|
"""

CLASSES = """Of {count} held-out images of each class, how many a ResNet-56 trained on CIFAR-10 takes for the class that
they are to become; {seconds:.0f} s of training on one thread.

| | the inputs | what becomes of them | real images of that class |
|---|---|---|---|
"""


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


def parts_of_inverted():
    """Digits and other digits' twins; the held-out ones are pairs."""
    digits, test = images_of("mnist", "train"), images_of("mnist", "t10k")[:HELD_OUT]
    unlike = digits[TRAINING : 2 * TRAINING]
    return {"trainA": digits[:TRAINING], "trainB": map(inverted, unlike), "testA": test, "testB": map(inverted, test)}


def parts_of_edges():
    """Outlines and garments, side by side."""
    beside = lambda image: np.concatenate([edges(image), image], axis=1)
    train, test = images_of("fashion-mnist", "train")[:TRAINING], images_of("fashion-mnist", "t10k")[:HELD_OUT]
    return {"train": map(beside, train), "test": map(beside, test)}


def parts_of_horses():
    """All horses and all deer, those of the test set held out."""
    parts = {}
    for name, part in (("train", TRAIN), ("test", TEST)):
        images, labels = read_cifar(CIFAR, "cifar10", part)
        for side, label in (("A", HORSES), ("B", DEER)):
            parts[name + side] = images[labels.values == label].transpose(0, 2, 3, 1)
    return parts


PARTS = {"inverted": parts_of_inverted, "edges": parts_of_edges, "horses": parts_of_horses}


def write(parts, folder):
    """The images of each part in a folder of its own; all of them or none."""
    beside = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    for part, images in parts.items():
        (beside / part).mkdir(parents=True)
        for number, image in enumerate(images):
            Image.fromarray(image).save(beside / part / f"{number:05d}.png")
    beside.rename(folder)


def command(name):
    """The command of a run, from the root of the repository, on three lines."""
    folder = f"runs/translation/{name}"
    rest = "--batch 4 --ema-images 500 --score-images 500 --device cpu"
    return " \\\n    ".join((f"equipoise train {folder}-data --out {folder}", SETTINGS[name], rest))


def train(name):
    """Writes the data, then trains, or resumes, unless the run is finished; whether it came so far."""
    data = ROOT / "runs" / "translation" / f"{name}-data"
    if not data.exists():
        write(PARTS[name](), data)
    return run_pages.train(command(name))


class Translation:
    """A finished run with its held-out images."""

    def __init__(self, name, folder):
        self.name, self.record, self.sampler = name, read(folder), runs.Sampler(folder)
        dataset = runs.evaluations.trained_on(self.sampler)
        sides = [side.held_out.take(range(len(side.held_out))) for side in (dataset.a, dataset.b)]
        self.directions = dict(zip(self.sampler.nets, (sides, sides[::-1]), strict=False))

    def translated(self, net):
        """What the trained generator makes of the inputs."""
        return runs.outputs.translated(self.sampler.nets[net], self.directions[net][0])

    def untrained(self, net):
        """What the generator made of them at first."""
        nets = runs.assemble.build_networks(self.sampler.recipe, self.sampler.meaning.space)
        return runs.outputs.translated(nets[net].eval(), self.directions[net][0])


def title(name, net):
    """A direction in words."""
    a, b = DOMAINS[name]
    return f"{b} to {a}" if net == "G_ba" else f"{a} to {b}"


def against_partners(run):
    """The table of errors."""
    rows = []
    for net, (inputs, partners) in run.directions.items():
        tried = [run.untrained(net), inputs, 255 - inputs, run.translated(net)]
        errors = [(images.float() - partners.float()).abs().mean().item() for images in tried]
        cells = [title(run.name, net), *(f"{error:.1f}" for error in errors), f"{errors[0] / errors[-1]:.1f}"]
        rows.append(f"| {' | '.join(cells)} |")
    count = len(next(iter(run.directions.values()))[0])
    return PARTNERS.format(count=count, seconds=run.record.seconds) + "\n".join(rows)


def against_classes(run):
    """The table of classes."""
    look, rows = features.resnet56(), []
    for (net, (inputs, reals)), label in zip(run.directions.items(), (DEER, HORSES), strict=True):
        found = [
            (look.logits(look(images)).argmax(1) == label).double().mean().item()
            for images in (inputs, run.translated(net), reals)
        ]
        rows.append(f"| {' | '.join([title(run.name, net), *(f'{part:.0%}' for part in found)])} |")
    count = len(next(iter(run.directions.values()))[0])
    return CLASSES.format(count=count, seconds=run.record.seconds) + "\n".join(rows)


def entry(name, folder, pictures):
    """What the page says of a run; draws its pictures."""
    run, links = Translation(name, folder), []
    for net, (inputs, targets) in run.directions.items():
        rows = [inputs, run.translated(net)] + ([targets] if name != "horses" else [])
        tiles = grid(torch.cat([images[:SHOWN] for images in rows]), SHOWN)
        tiles = tiles.resize((tiles.width * SCALE, tiles.height * SCALE), Image.Resampling.NEAREST)
        tiles.save(pictures / f"{name}-{net}.png", optimize=True)
        links.append(f"![{title(name, net).capitalize()}]({pictures.name}/{name}-{net}.png)")
    table = against_classes if name == "horses" else against_partners
    paper = first_line(getattr(presets, shlex.split(SETTINGS[name])[1]))
    words = {"title": TITLES[name], "paper": paper, "text": f"{table(run)}\n\n{NOTES[name]}", "command": command(name)}
    return ENTRY.format(pictures="\n\n".join(links), **words)


def write_page(folder, page):
    """The page and its pictures, from the runs that are there; of others it keeps what it said."""
    pictures = page.with_name("gallery")
    pictures.mkdir(parents=True, exist_ok=True)
    before = page.read_text() if page.exists() else ""
    told = {part.split("\n")[0]: f"\n## {part}" for part in before.split("\n## ")[1:]}
    for name in SETTINGS:
        if (record := run_of(command(name), folder / name)) and record.finished:
            told[TITLES[name]] = entry(name, folder / name, pictures)
    page.write_text(HEAD + "".join(told[title] for title in TITLES.values() if title in told))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--page", action="store_true", help="write the page alone")
    options = parser.parse_args()
    broken = [name for name in options.only if not options.page and not train(name)]
    write_page(ROOT / "runs" / "translation", ROOT / "docs" / "translations.md")
    return f"stopped before their end: {', '.join(broken)}" if broken else 0


if __name__ == "__main__":
    sys.exit(main())
