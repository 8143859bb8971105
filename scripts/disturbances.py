"""Which features and metrics see which fault: held-out images, disturbed ever more strongly, scored as generated ones.

python scripts/disturbances.py [--data PATH] [--others PATH] [--side 32] [--count 1000] [--real 4000]
    [--features "mobilenet, resnet56"] [--resnet56 FILE] [--metrics "fd, kid"] [--out tables.md]

After Heusel et al. 2017 (arXiv:1706.08500, A.1). `--data`, and `--others`, by which images are contaminated, are
anything that training reads; where no test set is published, every second image is held out.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import ceil
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, grid_sample, pad

from equipoise import data, metrics, spec
from equipoise.metrics.evaluation import Evaluation
from equipoise.metrics.features import Features, pixels
from equipoise.metrics.metric import Metric

FEATURES = "mobilenet, builtin, random, pixels"
METRICS = (
    "fd, kid(subsets=20), precision_recall, density_coverage, memorization, inception_score, ms_ssim, "
    "sliced_wasserstein(patches=16)"
)
BATCH, GROUPS = 250, 10
MARKS = "`++` worse at every level than at the one before, `+` worse at the last level than at none, `-` not worse."
Values = dict[str, tuple[list[float], bool]]
"""For each value of a metric what it is at each level, and whether more is better."""


class Sets(NamedTuple):
    """Images of the training set, held-out ones with the group of each, and other images: uint8 [n, c, h, w]."""

    real: Tensor
    held_out: Tensor
    groups: Tensor
    others: Tensor


def noise(images: Tensor, level: float) -> Tensor:
    """Gaussian noise: x + s z, z ~ N(0, 1); s = 8, 24, 64 grey levels."""
    return grey(images + level * torch.randn(images.shape, generator=draw()))


def blur(images: Tensor, level: float) -> Tensor:
    """Gaussian blur; its deviation 1/64, 1/32, 1/16 of the side."""
    deviation = level * images.shape[-1]
    reach = ceil(3 * deviation)
    window = (-torch.arange(-reach, reach + 1).square() / (2 * deviation**2)).softmax(0)
    x = pad(images.float(), [reach] * 4, mode="reflect").flatten(0, 1)[:, None]
    return grey(conv2d(conv2d(x, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1)).view(images.shape))


def rectangles(images: Tensor, level: float) -> Tensor:
    """Black rectangles: five squares anywhere; their side 1/8, 1/4, 1/2 of the image's."""
    side, generator, result = images.shape[-1], draw(), images
    edge = round(level * side)
    for _ in range(5):
        start = torch.randint(side - edge + 1, (2, len(images), 1), generator=generator)
        row, column = (start <= torch.arange(side)) & (torch.arange(side) < start + edge)
        result = result.masked_fill((row[:, :, None] & column[:, None, :])[:, None], 0)
    return result


def swirl(images: Tensor, level: float) -> Tensor:
    """Swirl: the disc of radius R = side / 2 is turned by a (1 - r / R)^2; a = 1, 2, 4."""
    side = images.shape[-1]
    places = (torch.arange(side) * 2 + 1) / side - 1
    y, x = torch.meshgrid(places, places, indexing="ij")
    radius = torch.hypot(x, y)
    angle = torch.atan2(y, x) + level * (1 - radius).clamp(min=0).square()
    grid = torch.stack([radius * angle.cos(), radius * angle.sin()], 2).expand(len(images), -1, -1, -1)
    return grey(grid_sample(images.float(), grid, padding_mode="border", align_corners=False))


def salt_and_pepper(images: Tensor, level: float) -> Tensor:
    """Salt and pepper: a share of the pixels is black or white; 0.02, 0.1, 0.3."""
    chance = torch.rand(len(images), 1, *images.shape[2:], generator=draw())
    return images.masked_fill(chance < level / 2, 0).masked_fill((level / 2 <= chance) & (chance < level), 255)


def fringes(images: Tensor, level: float) -> Tensor:
    """Colour fringes: red is shifted right and blue left; by 1/32, 1/16, 1/8 of the side."""
    by, result = max(1, round(level * images.shape[-1])), images.clone()
    result[:, 0, :, by:] = images[:, 0, :, :-by]
    result[:, -1, :, :-by] = images[:, -1, :, by:]
    return result


def checkerboard(images: Tensor, level: float) -> Tensor:
    """Checkerboard: x + a (-1)^(row + column); a = 4, 12, 32 grey levels."""
    row, column = (torch.arange(size) for size in images.shape[-2:])
    return grey(images + level * (1 - 2 * ((row[:, None] + column) % 2)))


def contamination(images: Tensor, level: float, sets: Sets) -> Tensor:
    """Contamination: a share of the images is of other things; 0.1, 0.25, 0.5."""
    return torch.cat([sets.others[: round(level * len(images))], images])[: len(images)]


def missing_modes(images: Tensor, level: float, sets: Sets) -> Tensor:
    """Missing modes: so many of ten groups are left out, others of the rest in their place; 1, 3, 5."""
    return sets.held_out[sets.groups >= level][: len(images)]


def memorised(images: Tensor, level: float, sets: Sets) -> Tensor:
    """Memorised: a share is images of the training set, each twice; 0.25, 0.5, 1."""
    count = round(level * len(images))
    return torch.cat([sets.real[: ceil(count / 2)].repeat(2, 1, 1, 1)[:count], images])[: len(images)]


DISTURBANCES: dict[Callable[..., Tensor], tuple[float, float, float]] = {
    noise: (8, 24, 64),
    blur: (1 / 64, 1 / 32, 1 / 16),
    rectangles: (1 / 8, 1 / 4, 1 / 2),
    swirl: (1, 2, 4),
    salt_and_pepper: (0.02, 0.1, 0.3),
    fringes: (1 / 32, 1 / 16, 1 / 8),
    checkerboard: (4, 12, 32),
    contamination: (0.1, 0.25, 0.5),
    missing_modes: (1, 3, 5),
    memorised: (0.25, 0.5, 1),
}
NEEDY = (contamination, missing_modes, memorised)


def draw() -> torch.Generator:
    """The same random numbers for each disturbance and level: images differ by the strength alone."""
    return torch.Generator().manual_seed(0)


def grey(images: Tensor) -> Tensor:
    return images.round().clamp(0, 255).to(torch.uint8)


def prepared(path: str, others: str, side: int, real: int) -> Sets:
    """The first `real` training images, all held-out ones in an order of their own, and others of the same format."""
    source = data.inspect(path)
    format = data.Format(3, side, side)
    classes = source.labels is not None and source.labels.meaning.kind == "classes"
    loaded = data.load(source, format, labels=classes)
    apart = loaded.held_out
    order = shuffled(len(loaded))
    train, test = (order, shuffled(len(apart))) if apart else (order[::2], order[1::2])
    held_out = (apart or loaded).take(test.tolist())
    labels = (apart or loaded).labels if classes else None
    groups = tenths(held_out) if labels is None else labels.tensor()[test] * GROUPS // len(labels.meaning.names)
    foreign = data.load(others, format)
    return Sets(
        loaded.take(train[:real].tolist()), held_out, groups, foreign.take(shuffled(len(foreign))[:5000].tolist())
    )


def shuffled(count: int) -> Tensor:
    return torch.randperm(count, generator=draw())


def tenths(images: Tensor) -> Tensor:
    """Ten groups of one size, in the order of the first principal component of 8x8 means: for images without labels."""
    rows = pixels()(images)
    component = torch.linalg.svd(rows - rows.mean(0), full_matrices=False).Vh[0]
    return (rows @ component).argsort().argsort() * GROUPS // len(rows)


def levels(disturbance: Callable[..., Tensor], count: int, sets: Sets) -> Iterator[Tensor]:
    """Held-out images disturbed at each strength, always so many."""
    apply = partial(disturbance, sets=sets) if disturbance in NEEDY else disturbance
    for level in DISTURBANCES[disturbance]:
        disturbed = apply(sets.held_out[:count], level)
        if len(disturbed) < count:
            raise ValueError(f"{disturbance.__name__} at {level} leaves {len(disturbed)} images, fewer than {count}")
        yield disturbed


def measured(some: Sequence[Metric], features: Features, sets: Sets, count: int) -> dict[str, Values]:
    """The values of metrics at every level of every disturbance; the real side is fed once, and so is level 0."""
    reference = Evaluation(some, features)
    reference.feed(sets.real.split(BATCH), real=True)
    undisturbed = scored(reference, sets.held_out[:count])
    found = {}
    for disturbance in DISTURBANCES:
        at = [undisturbed, *(scored(reference, images) for images in levels(disturbance, count, sets))]
        better = {name: score["higher"] for name, score in at[0]["scores"].items() if "." not in name}
        found[disturbance.__name__] = {name: ([one[name] for one in at], up) for name, up in better.items()}
        print(f"{features.name}: {disturbance.__name__}", file=sys.stderr, flush=True)
    return found


def scored(reference: Evaluation, images: Tensor) -> dict:
    evaluation = reference.again()
    evaluation.feed(images.split(BATCH), real=False)
    return evaluation.values()


def mark(values: list[float], higher: bool) -> str:
    worse = [-value if higher else value for value in values]
    if all(before < after for before, after in zip(worse, worse[1:], strict=False)):
        return "++"
    return "+" if worse[-1] > worse[0] else "-"


def table(found: dict[str, Values]) -> str:
    """Marks of all values; of the first the numbers at every level besides."""
    first, *others = next(iter(found.values()))
    lines = [["disturbance", first, "", *others], ["---"] * (len(others) + 3)]
    for name, values in found.items():
        numbers = " / ".join(f"{value:.3g}" for value in values[first][0])
        lines.append([name.replace("_", " "), numbers, *(mark(*values[key]) for key in (first, *others))])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def legend() -> str:
    return "\n".join(f"- {(disturbance.__doc__ or '')}" for disturbance in DISTURBANCES)


def chosen(options: argparse.Namespace) -> Iterator[tuple[str, Features, list[Metric]]]:
    """A title, features and metrics of each table: those of images in one of their own, as they see no features."""
    for text in spec.several(options.features):
        given = {"weights": options.resnet56} if spec.name_of(text) == "resnet56" and options.resnet56 else {}
        features = spec.build(text, metrics.features, **given)
        seen = ("features", "logits") if features.logits else ("features",)
        yield f"On `{features.name}`", features, built(options.metrics, *seen)
    yield "On the images themselves", pixels(), built(options.metrics, "images")


def built(text: str, *seen: str) -> list[Metric]:
    """Those of the metrics that see one of these, in the order of these."""
    some = [spec.build(one, metrics) for one in spec.several(text)]
    return sorted((one for one in some if one.sees in seen), key=lambda one: seen.index(one.sees))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="builtin", help="a folder, zip file or published set")
    parser.add_argument("--others", default="builtin", help="images of other things, for contamination")
    parser.add_argument("--side", type=int, default=32, help="of the square that images are made to fit")
    parser.add_argument("--count", type=int, default=1000, help="held-out images that are disturbed")
    parser.add_argument("--real", type=int, default=4000, help="training images, to which they are compared")
    parser.add_argument("--features", default=FEATURES)
    parser.add_argument("--resnet56", help="the file of its weights")
    parser.add_argument("--metrics", default=METRICS)
    parser.add_argument("--out", type=Path, help="a file for the tables, instead of the terminal")
    options = parser.parse_args()
    text = report(options)
    if options.out:
        options.out.write_text(text)
    else:
        print(text, end="")


@torch.no_grad()
def report(options: argparse.Namespace) -> str:
    sets = prepared(options.data, options.others, options.side, options.real)
    for disturbance in NEEDY:  # before anything is measured
        _ = [*levels(disturbance, options.count, sets)]
    told = f"{options.count} held-out images against {len(sets.real)} training images, {options.side}x{options.side}."
    parts = [told, legend(), MARKS]
    for title, features, some in chosen(options):
        if some:
            parts += [f"### {title}", table(measured(some, features, sets, options.count))]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
