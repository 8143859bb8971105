"""Every preset at reduced width on the built-in images, for a modest budget, and the page that shows them.

python benchmarks/gallery.py                     trains what is missing in runs/gallery, then writes docs/gallery.md
python benchmarks/gallery.py --only dcgan wgan   trains these alone; the page keeps the others
python benchmarks/gallery.py --page              writes the page alone
"""

import argparse
import re
import sys
from typing import NamedTuple

import torch
from PIL import Image
from run_pages import ROOT, Told, told, train, write

from equipoise import presets
from equipoise.metrics.features.classifier import classify
from equipoise.runs import Sampler, evaluate
from equipoise.runs.pictures import grid
from equipoise.spec import first_line

SAMPLES, SCALE = 12, 2
ASKED = 2_000  # images for the classifier of conditional runs


class Run(NamedTuple):
    """What differs from a preset, images of training and between scores, and what did not work first, measured."""

    settings: str
    images: int = 40_000
    every: int = 40_000
    precision: str | None = "bfloat16"
    note: str = ""
    data: str = "builtin"
    ema_images: int | None = None  # a thirtieth of the run, unless weights are averaged over longer


def falling(lr_g, lr_d, share=0.5):
    """Learning rates that fall to 0 over the last share of a run, as words of the command."""
    return f"--lr-g 'decay({lr_g}, share={share})' --lr-d 'decay({lr_d}, share={share})'"


RUNS = {
    "gan": Run(
        "--network 'mlp(width=256, depth=2, z_dim=64)' --batch 16 --optimizer 'adam(beta1=0.0, beta2=0.99)' "
        "--lr-g 5e-4 --lr-d 1e-3 --d-activation 'leaky_relu(slope=0.2)' --dequantize",
        images=800_000,
        every=200_000,
        ema_images=120_000,
        note="By momentum, as in the paper: FD 13.0 at learning rates of 0.02 and batches of 16, 7.99 in batches of 8. "
        "By Adam 6.9, and 2.87 after 200,000 images with noise below one grey level added to the reals, without which "
        "D wins in the end; where learning rates fall it wins too, 3.1 after 100,000 and 5.1 after 400,000. Fully "
        "connected networks learn pixels one by one, hence noise, which long averages take away: over a thirtieth of "
        "the run 2.87, over 40,000 images 2.42, over 60,000 2.09 after 400,000, here 2.23, 2.01 and 1.92.",
    ),
    "dcgan": Run(
        "--network 'dcgan(g_width=16, d_width=16)' --batch 32 " + falling("5e-4", "5e-4"), images=200_000, every=50_000
    ),
    "lsgan": Run(
        "--network 'dcgan(g_width=16, d_width=16)' --batch 16 " + falling("1e-3", "5e-4"),
        images=200_000,
        every=50_000,
        note="At equal learning rates of 5e-4 and batches of 32: FD 7.73, with grids over the garments. Small "
        "batches, hence more steps, and a generator that learns twice as fast help.",
    ),
    "f-gan": Run(
        "--network 'dcgan(g_width=16, d_width=16)' --batch 16 " + falling("1e-3", "5e-4"), images=200_000, every=50_000
    ),
    "dragan": Run(
        "--network \"dcgan(g_width=16, d_width=16, d_feature_norm='none')\" --batch 16 --optimizer "
        "'adam(beta1=0.0, beta2=0.99)' " + falling("1e-3", "1e-3"),
        images=200_000,
        every=50_000,
        note="With Adam's usual beta1, 0.5, after 40,000 images: FD 6.05, at learning rates of 5e-4 and batches of 32 "
        "11.7, blobs, at 2e-3 and 16 21.1, many grey; with 0, as here, 3.92.",
    ),
    "infogan-study": Run(
        "--network 'infogan(width=16)' --batch 32 " + falling("5e-4", "5e-4"), images=200_000, every=50_000
    ),
    "ls-gan": Run(
        "--network 'dcgan(g_width=16, d_width=16)' --batch 16 " + falling("1e-3", "5e-4"),
        images=120_000,
        note="The margin, 2e-4 a value, belongs to 64x64 RGB; it learns so too.",
    ),
    "acgan": Run(
        "--network 'dcgan(g_width=16, d_width=16, z_dim=110)' --g-condition batch_norm --batch 16 --loss "
        "'auxiliary_classifier(fakes=False)' " + falling("1e-3", "5e-4"),
        images=200_000,
        every=50_000,
        note="With the label concatenated to z, as in the paper, each class became one picture in five runs of "
        "40,000 images. With conditional batch normalisation, where the generator starts from z alone, "
        "classes stay varied. When the classifier learns from fakes too, as in the paper, both networks agree"
        " on classes of their own: 57 per cent are those asked for (FD 0.90). It learns from reals alone "
        "here.",
    ),
    "ebgan": Run(
        "--network 'ebgan(g_width=16, d_width=16)' --batch 32 " + falling("5e-4", "5e-4"),
        images=120_000,
        note="The paper's margin, 20, works as it is.",
    ),
    "wgan": Run(
        "--network 'dcgan(g_width=16, d_width=16)' --batch 8 --g-batch 32 --d-steps 5 --constraint 'clip(value=0.05)' "
        + falling("1e-3", "1e-3"),
        images=200_000,
        every=50_000,
        note="Weights clipped at 0.01, as in the paper, at rates of 5e-4 that do not fall: 4.8 after 50,000, 5.3 after "
        "200,000; at 0.1 as at 0.05. G has 5,000 steps here, in the preset 100,000; a clipped critic is too simple, as "
        "WGAN-GP's authors say.",
    ),
    "wn-gan": Run(
        "--batch 16 " + falling("1e-3", "3e-4", share=1.0),
        images=240_000,
        every=60_000,
        note="At learning rates of 5e-4 for both networks and batches of 32 many samples were nearly black: FD "
        "8.81. Small batches, a faster generator and a learning rate that falls from the start help. Its width "
        "counts: at a quarter 3.71 after 200,000 images, at half 2.86 after 160,000.",
    ),
    "sngan": Run("--network 'sn_cnn(g_width=16, d_width=16)' --batch 16 " + falling("1e-3", "1e-3")),
    "sn-regularization": Run(
        "--network 'sn_cnn(g_width=16, d_width=16)' --batch 16 " + falling("1e-3", "5e-4"), images=120_000
    ),
    "sngan-resnet": Run(
        "--network 'sn_resnet(g_scale=0.125, d_scale=0.125)' --batch 8 --g-batch 32 " + falling("1e-3", "1e-3"),
        images=120_000,
    ),
    "sngan-projection": Run(
        "--network 'sn_resnet(g_scale=0.125, d_scale=0.125)' --d-steps 1 --batch 16 --g-batch 16 "
        + falling("1e-3", "1e-3"),
    ),
    "improved-gan": Run(
        "--network 'improved_gan(g_width=16, d_width=16, kernels=20)' --batch 16 --optimizer "
        "'adam(beta1=0.0, beta2=0.99)' " + falling("1e-3", "6e-4"),
        images=200_000,
        every=50_000,
        note="With Adam's beta1 at 0.5 and equal learning rates of 5e-4 the discriminator wins and all samples are "
        "black: FD 44.2; a generator that learns five times as fast as the discriminator gets coarse shapes, 7.53 "
        "after 40,000 images. With 0, as here, 7.29 after 40,000.",
    ),
    "began": Run(
        "--network 'began(width=16, z_dim=64)' --loss 'boundary_equilibrium(gamma=0.7, rate=0.05)' --g-penalties "
        "'pulling_away(weight=0.1)' " + falling("5e-4", "1e-3"),
        images=200_000,
        every=50_000,
        note="With gamma 0.5 and k that moves ten times as fast as in the paper (rate 0.01) all samples were "
        "sneakers, which are the easiest to reconstruct: FD 21.9. With gamma 1.0 and rate 0.05 all were "
        "shoes: FD 22.8. EBGAN's pulling-away term keeps samples varied; they are smooth shapes of garments "
        "and shoes without folds or patterns, as an autoencoder of 64 numbers draws them. Five times as many "
        "images help little: 8.7 after 40,000.",
    ),
    "sagan": Run(
        "--network 'sagan(g_scale=0.125, d_scale=0.125)' --batch 16 " + falling("5e-4", "2e-3"),
        images=120_000,
        note="D learns four times as fast as G, as in the paper. At twice, in batches of 32, samples of a class became "
        "one picture: FD 4.12, and 72 per cent are of the class that was asked for.",
    ),
    "biggan": Run("--network 'biggan(width=8)' --batch 16 --g-batch 32 " + falling("1e-3", "1e-3")),
    "biggan-deep": Run(
        "--network 'biggan_deep(width=16)' --batch 16 --g-batch 32 " + falling("1e-3", "1e-3"),
        images=80_000,
        note="At half the width, with 8 channels in its 3x3 convolutions: FD 2.26, and 79 per cent.",
    ),
    "wgan-gp": Run(
        "--network 'wgan_gp_resnet(width=16)' --batch 16 --g-batch 32 " + falling("1e-3", "1e-3"), images=200_000
    ),
    "ct-gan": Run(
        "--network 'wgan_gp_resnet(width=16, dropout=(0.2, 0.5, 0.5))' --batch 8 --g-batch 32 "
        + falling("1e-3", "1e-3"),
        images=240_000,
        every=60_000,
        note="Five steps of the critic for each of the generator: with two, critic and generator came to a stop, at "
        "losses of 0. 2.70 after 120,000 images; WGAN-GP without the critic's dropout comes to 1.66 after 200,000.",
    ),
    "lapgan": Run(
        "--network 'lapgan(width=32, g_hidden=600, d_hidden=300)' --batch 32 --optimizer 'adam(beta1=0.5, "
        "beta2=0.999)' " + falling("5e-4", "5e-4"),
        images=120_000,
        every=120_000,
        precision=None,
        note="Each network learns to refine real images and refines generated ones afterwards, as published: the "
        "errors of the levels add up.",
    ),
    "pggan": Run(
        "--size 32 --network 'pggan(fmap_base=256, fmap_max=64, z_dim=64)' --growth 'progressive(share=0.4)' --batch 8 "
        + falling("1e-3", "1e-3", share=0.4),
        images=120_000,
        note="Phases of growth take 40 per cent of the run instead of 80, so that the last level has more than half of "
        "the images (in the paper 600,000 to fade in and 600,000 more); batches of 8 instead of 16 and a learning rate "
        "that falls at the end, which the paper's does not. As published but for the width: 3.03 after 100,000. "
        "It stood still for other work for an hour.",
    ),
    "default": Run(""),
    "default-labels": Run("--labels"),
    "r3gan": Run(
        "--network 'r3(g_width=64, d_width=64, blocks=1, full_to=4)' --batch 16 --penalties 'r1(weight=1.0, "
        "every=4)' 'r2(weight=1.0, every=4)' --augment none --no-mirror --optimizer 'adam(beta1=0.0, beta2=0.99)' "
        + falling("1e-3", "1e-3"),
        images=100_000,
        every=50_000,
        note="With the label's embedding as loud as z, as other networks have it, instead of a third of "
        "it, as the authors have it, each class became one picture. Shoes and digits have a left and a right: "
        "mirrored, as the preset has it for CIFAR-10, FD 0.97, and of MNIST's digits the classifier found 71%.",
    ),
}
WITH_LABELS = {
    "default-labels": 40_000,
    "acgan": 40_000,
    "sngan-projection": 40_000,
    "sagan": 40_000,
    "biggan": 40_000,
    "biggan-deep": 40_000,
    "r3gan": 100_000,
}  # and images of MNIST
RUNS |= {
    f"{name}-mnist": RUNS[name]._replace(images=images, every=images, note="", data="data/mnist")
    for name, images in WITH_LABELS.items()
}

HEAD = """# Gallery

Every preset at reduced width on the built-in images, 10,000 of Fashion-MNIST at 28x28, for a modest budget, 40,000 to
800,000 real images, most as many as it takes until samples are good; the published systems have seen 30 to 15,000
times 40,000. What differs from the preset's settings is in the command; `equipoise list presets` says what was
published. Made by `python benchmarks/gallery.py`, which resumes where it was stopped, on 2 cores of an AMD EPYC,
one thread a run, torch {torch}; other work shared the machine, so that times are upper bounds.

FD (builtin) is the Frechet distance on `builtin` features, not comparable with FID, which is on Inception features:
2,000 images of the EMA generator against the training set, before training and at the end. Of the built-in images, the
2,000 that were held out score 0.02. One seed. Pictures are samples of the EMA generator at the first latent points of a
seed, none chosen; presets with labels show the ten classes in turn, T-shirt, trouser, pullover, dress, coat, sandal,
shirt, sneaker, bag, ankle boot, and the first two again. These are trained on MNIST too.
"""

TABLE = """
## {title}

| preset | FD (builtin) at the start | at the end | images | seconds |
|---|---|---|---|---|
"""

ENTRY = """
## {name}

{paper} {text}

![Samples of {name}](gallery/{name}.png)

```sh
{command}
```
"""


def preset(name):
    """The preset of a run."""
    return name.removesuffix("-mnist").removesuffix("-labels")


def command(name):
    """The command of a run, from the root of the repository, on three lines."""
    settings, images, every, precision, _, data, ema_images = RUNS[name]
    average = ema_images or max(1500, images // 30)
    how = f"--precision {precision} --device cpu" if precision else "--device cpu"
    lines = (
        f"equipoise train {data} --preset {preset(name)} --out runs/gallery/{name}",
        f"--features builtin {settings}" if data != "builtin" else settings,
        f"--images {images} --ema-images {average} {how} --score-every {every} --score-images 2000 "
        f"--sample-every {images} --save-every 10000",
    )
    return " \\\n    ".join(filter(None, lines))


def write_page(runs, page):
    """The page and its pictures, from the runs that are there; of other presets it keeps what it said."""
    page.with_suffix("").mkdir(parents=True, exist_ok=True)
    before = page.read_text() if page.exists() else ""
    versions = {version for found in re.findall(r"torch\s(.+?);", before) for version in found.split(" or ")}

    def tell(name, record):
        versions.add(record.context["versions"]["torch"])
        return Told(row(name, record), entry(name, record, page.with_suffix("")))

    shown = told(page, runs, {name: command(name) for name in RUNS}, tell)
    tables = [
        (TABLE.format(title=title), [name for name, run in RUNS.items() if run.data == data])
        for title, data in (("The built-in images", "builtin"), ("MNIST", "data/mnist"))
    ]
    write(page, HEAD.format(torch=" or ".join(sorted(versions))), tables, shown)


def row(name, record):
    """A line of the table: images, the distance at the start and at the end, the seconds between."""
    return f"| [{name}](#{name}) | {' | '.join(result(record))} |\n"


def result(record):
    """The Frechet distance at the start and at the end, the images and the seconds between, as words."""
    first, last = record.training[0], record.training[-1]
    end = f"{last['fd']:.2f}" if record.finished else f"broke off at {record.seen:,} images"
    return f"{first['fd']:.1f}", end, f"{record.seen:,}", f"{record.seconds:.0f}"


def entry(name, record, pictures):
    """What the page says of a run; draws its picture."""
    start, end, images, seconds = result(record)
    sampler = Sampler(record.path)
    samples(sampler).save(pictures / f"{name}.png", optimize=True)
    paper = first_line(getattr(presets, preset(name).replace("-", "_")))
    measured = f"FD (builtin) {start} -> {end} after {images} images in {seconds} s. {agreement(name, sampler)}"
    text = f"{measured}{RUNS[name].note}".strip()
    return ENTRY.format(name=name, paper=paper, text=text, command=command(name))


def agreement(name, sampler):
    """How often a classifier finds the label that was asked for, as words; none without labels."""
    labels = sampler.labels(ASKED)
    if labels is None:
        return ""
    if RUNS[name].data != "builtin":
        row = evaluate(sampler.folder.path, metrics=["classifier_scores"], features="pixels(size=28)", count=ASKED)
        ceiling = f"({row['real_gan_test']:.0%} in held-out images)"
        return f"A linear classifier finds the class that was asked for in {row['gan_test']:.0%} {ceiling}. "
    found = torch.cat([classify(images) for images in sampler(ASKED, labels=labels)]).argmax(1)
    return f"The built-in classifier finds the class that was asked for in {(found == labels).double().mean():.0%}. "


def samples(sampler):
    """A row of samples, enlarged; of a conditional run with its labels in turn."""
    images = torch.cat(list(sampler(SAMPLES, labels=sampler.labels(SAMPLES))))
    row = grid(images, columns=SAMPLES)
    return row.resize((row.width * SCALE, row.height * SCALE), Image.Resampling.NEAREST)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS), metavar="NAME")
    parser.add_argument("--page", action="store_true", help="write the page alone")
    options = parser.parse_args()
    broken = [name for name in options.only if not options.page and not train(command(name))]
    write_page(ROOT / "runs" / "gallery", ROOT / "docs" / "gallery.md")
    return f"stopped before their end: {', '.join(broken)}" if broken else 0


if __name__ == "__main__":
    sys.exit(main())
