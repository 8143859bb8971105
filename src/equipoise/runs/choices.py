"""What a recipe leaves open, chosen for the data and the machine, each choice with its reason."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from .. import games
from ..data import Source
from ..data.dataset import unknown_range
from ..data.readers import Arrays
from ..data.toys import Toy
from ..ranges import BYTES, Range
from ..recipe import Recipe, known
from ..schedules import at
from ..spec import find, name_of, parse
from ..training.precision import choose as choose_precision
from .forecast import Pace, per_second
from .regimes import FALLING, SMALL, Choice, Regime, regime
from .warm_start import taken

LARGEST = 128  # pixels; larger images have to be asked for
FEW = 2_000  # images; fewer are mirrored, and soon memorised
SOON = 40  # times that so few images are shown before they are memorised
MANY = 50_000  # images; so many need no augmentation
OFTEN = 50  # times that fewer images are shown before augmentation adapts to how far they are memorised
SCORES, PICTURES = 10, 20  # times in a run
FOR_SCORES = 0.1  # of the time of a run
SCORE_IMAGES = 2_000
SCORE = ("fd", "kid(subsets=10)")


def choose(
    recipe: Recipe, source: Source, device: torch.device, pace: Pace | None = None
) -> tuple[Recipe, dict[str, str]]:
    """The recipe with every open field filled in, and the reason of each choice by field.

    The pace of the machine makes images of a length in minutes, and says how often there is time for a score.
    """
    as_there = taken(recipe)
    recipe, reasons = replace(recipe, **as_there), dict.fromkeys(as_there, f"as in {Path(recipe.start).name}")

    def fill(makers: Mapping[str, Callable[[Recipe], Choice | None]]) -> None:
        nonlocal recipe
        for name, make in makers.items():  # later ones may look at what earlier ones chose
            if getattr(recipe, name) is None and (choice := make(recipe)) is not None:
                reasons[name] = choice.reason
                recipe = replace(recipe, **{name: choice.value})

    fill(
        {
            "labels": lambda now: _labels(source),
            "size": lambda now: _size(source),
            "channels": lambda now: _channels(source),
            "range": lambda now: _range(source),
        }
    )
    suits = regime(recipe, device)
    fill(
        {
            "g_condition": lambda now: _g_condition(now, suits),  # while the network is open
            "network": lambda now: suits.network,
            "loss": lambda now: suits.loss,
            "batch": lambda now: _batch(source, suits),
            "pieces": lambda now: Choice(1, "whole batches" if now.shard else "whole batches fit into memory"),
            "mirror": lambda now: _mirror(now, source),
            "images": lambda now: _images(now, source, suits, pace),
            "lr_g": lambda now: _rate(now, suits),
            "lr_d": lambda now: _rate(now, suits),
            "ema_images": lambda now: _average(now),
            "penalties": lambda now: _penalties(now, suits),
            "augment": lambda now: _augment(now, source),
            "precision": lambda now: _precision(now, device),
            "score": lambda now: usual_score(source),
            "features": lambda now: usual_features(source, known(now.score), Range.parse(known(now.range))),
            "g_batch": lambda now: Choice(now.batch, "as many as the discriminator's"),
            "score_images": lambda now: Choice(
                min(SCORE_IMAGES, max(source.count, 2)), "enough to rank checkpoints of one run"
            ),
            "score_every": lambda now: _score_every(now, pace),
            **{name: partial(_every, times=PICTURES) for name in ("sample_every", "save_every")},
        }
    )
    if recipe.instruments:
        fill({"instruments_every": partial(_every, times=PICTURES)})
    return recipe, reasons


def at_pace(recipe: Recipe, images: int) -> tuple[Recipe, str]:
    """A recipe of some minutes with another number of images, and why; what was due at their end alone is so again."""
    every = ("score_every", "sample_every", "save_every")
    at_end: dict[str, Any] = {name: images for name in every if getattr(recipe, name) == recipe.images}
    return replace(recipe, images=images, **at_end), f"in {_minutes(recipe)}, at the pace of training"


def _minutes(recipe: Recipe) -> str:
    return f"{recipe.minutes:g} minute{'s' * (recipe.minutes != 1)}"


def _labels(source: Source) -> Choice:
    if source.labels is None:
        return Choice(False, "the data has no labels: the networks are unconditional")
    kind, size = source.labels.meaning.space
    return Choice(True, f"the data has labels: {size} {kind}")


def _size(source: Source) -> Choice:
    height, width = source.typical.height, source.typical.width
    if (height, width) == (1, 1):
        return Choice("1", "the data are points")
    if isinstance(source.reader, Arrays) and max(height, width) <= LARGEST:
        return Choice(f"{height}x{width}" if height != width else str(height), "the images' own size")
    side = min(height, width, LARGEST)
    size = max((s for s in (8, 16, 32, 48, 64, 96, 128) if s <= side), default=8)
    shape = "" if height == width else f"; a square, unless --size asks for another shape: {height}x{width}"
    return Choice(
        str(size), f"images are about {width} wide and {height} high; at most {LARGEST} unless asked for{shape}"
    )


def _channels(source: Source) -> Choice:
    has, of_bytes = source.typical.channels, source.typical.range == BYTES
    if not of_bytes:
        return Choice(has, "as the data have them")
    if has in (2, 4):
        return Choice(has - 1, f"images have alpha, which is laid over white; --channels {has} keeps it")
    return Choice(has, "as the images are" if has > 1 else "all images are grey")


def _range(source: Source) -> Choice:
    found = source.typical.range
    if found is None:
        raise ValueError(unknown_range(source))
    if found.is_bytes:
        own = source.reader.range if isinstance(source.reader, Arrays) else None
        if own is None or own.is_bytes:
            return Choice("bytes", "images of 8 bits")
        ends = f"{own.low:g}:{own.high:g}"
        return Choice("bytes", f"numbers in {ends}, with 8 bits; --range={ends} keeps them as they are")
    return Choice(str(found), "the scale of the data" if source.toy else "what the file states, or its extremes")


def _g_condition(recipe: Recipe, suits: Regime) -> Choice | None:
    """None, the network's usual way, where the network is the user's."""
    return suits.g_condition if recipe.labels and recipe.network is None else None


def _rate(recipe: Recipe, suits: Regime) -> Choice:
    of_network = parse(known(recipe.network).rpartition(".py:")[2]) == parse(suits.network.value)
    return suits.rate if of_network else FALLING


def _batch(source: Source, suits: Regime) -> Choice:
    if source.count < 64:
        return Choice(min(8, source.count), f"there are {source.count} images")
    return suits.batch


def _images(recipe: Recipe, source: Source, suits: Regime, pace: Pace | None) -> Choice:
    if recipe.minutes is not None and pace is not None:
        seconds = 60 * recipe.minutes
        scores = _for_scores(recipe, source, pace, seconds)
        images = max(known(recipe.batch), round(max(seconds / 2, seconds - scores) / pace.image))
        length, speed = _minutes(recipe), f"at {per_second(pace.image)} images a second"
        if scores <= seconds / 2:
            return Choice(images, f"in {length}, {speed} and some scores")
        look = f"scores, with a first look at {source.count:,} real images, take up to {scores:.0f} s"
        return Choice(images, f"half of {length}, {speed}; {look}")
    if suits.images is None:
        images = min(25_000_000, max(2_000_000, 200 * source.count))
        return Choice(images, f"{images // source.count} times the {source.count:,} images; some hours on a GPU")
    if pace is not None and suits.longest is not None:
        images = max(known(recipe.batch), round(60 * suits.longest * (1 - FOR_SCORES) / pace.image))
        if images < suits.images.value:
            return Choice(images, f"about {suits.longest} minutes here; --images or --minutes for longer")
    return suits.images


def _for_scores(recipe: Recipe, source: Source, pace: Pace, seconds: int | float) -> float:
    """The seconds of scores in a run that takes so long: a share of it, or where that is more those of both ends."""
    count = min(SCORE_IMAGES, source.count) if recipe.score_images is None else recipe.score_images
    return max(FOR_SCORES * seconds, (2 * count + source.count) * pace.scored)


def _mirror(recipe: Recipe, source: Source) -> Choice:
    images = f"{source.count:,} images"
    if known(recipe.range) != "bytes":
        return Choice(False, "floats need not be alike left and right")
    if source.count >= FEW:
        return Choice(False, f"{images} need it less; --mirror where left and right are alike")
    if known(recipe.channels) < 3:
        return Choice(False, "grey images are often signs and digits; --mirror where left and right are alike")
    return Choice(True, f"{images} are few; --no-mirror for writing and whatever has a left and a right")


def _average(recipe: Recipe) -> Choice:
    longest, usual = max(1, known(recipe.images) // 30), known(recipe.batch) * 10_000 // 32
    reason = "10,000 for each 32 of a batch (Karras 2020)"
    if recipe.growth != "none":
        usual, reason = 11_000, "0.999 a step of 16 (Karras 2018)"
    return Choice(min(longest, usual), reason if usual < longest else "a thirtieth of the run")


def _takes(recipe: Recipe, argument: str) -> bool:
    """Whether the game has a use for it."""
    return argument in signature(find(recipe.game, games)).parameters


def _penalties(recipe: Recipe, suits: Regime) -> Choice:
    if not _takes(recipe, "penalties"):
        return Choice((), "the game takes none")
    kind, how = ("approximate_r", "; without the second derivative") if recipe.shard else ("r", "")
    names = [f"{kind}{side}" for side in ((1, 2) if known(recipe.loss) == "relativistic" else (1,))]
    weight = round(suits.penalty.value * (max(1.0, _side(recipe) / SMALL) ** 2 if suits.by_area else 1.0), 1)
    lazy = f", every={suits.penalty_every}" if suits.penalty_every > 1 else ""
    return Choice(tuple(f"{name}(weight={weight!r}{lazy})" for name in names), f"{suits.penalty.reason}{how}")


def _augment(recipe: Recipe, source: Source) -> Choice:
    if not _takes(recipe, "augment"):
        return Choice("none", "the game takes none")
    if known(recipe.range) != "bytes" or source.toy:
        return Choice("none", "augmentations are of pictures")
    epochs = known(recipe.images) / source.count
    if source.count < FEW and epochs > SOON:
        return Choice("diffaug", f"{source.count:,} images are soon memorised, shown {epochs:.0f} times")
    if source.count < MANY and epochs > OFTEN:
        return Choice("ada", f"{source.count:,} images are shown {epochs:.0f} times, more than {OFTEN}")
    shown = f"{epochs:.0f} times" if epochs >= 1.5 else "about once" if epochs > 0.5 else "in part"
    return Choice("none", f"{source.count:,} images are shown {shown}: they are not memorised so soon")


def _precision(recipe: Recipe, device: torch.device) -> Choice:
    if _side(recipe) == 1:
        return Choice("float32", "points lie closer together than shorter numbers tell apart")
    precision, reason = choose_precision(device)
    return Choice(precision.name, reason)


def usual_score(source: Source) -> Choice:
    """The metrics for these images."""
    toy: Toy | None = source.toy
    if toy is None:
        return Choice(SCORE, "the usual ones of images" if source.typical.height > 1 else "the usual ones")
    return Choice(toy.score, f"what is known of {toy.name} is measured exactly")


def usual_features(source: Source, calls: Sequence[str] = (), range: Range | None = None) -> Choice:
    """The features for scores of these images, by these metrics, in the range that they are learnt in."""
    if (range or source.typical.range) != BYTES:
        return Choice("pixels", "floats as they are; a point is itself")
    if "fid" in map(name_of, calls):
        return Choice("inception", "fid is on Inception features alone")
    if source.kind == "builtin" or source.toy:
        return Choice("builtin", "the classifier that comes along knows this data")
    return Choice("mobilenet", "sees what people see, needs no download; --features inception compares with papers")


def _score_every(recipe: Recipe, pace: Pace | None) -> Choice:
    times, reason = SCORES, f"{SCORES} times in the run"
    if pace is not None:
        training = known(recipe.images) * pace.image
        most = training * FOR_SCORES / (1 - FOR_SCORES) / (pace.scored * known(recipe.score_images))
        times = min(SCORES, max(1, int(most) - 1))  # besides the one before training
        if times == 1:
            reason = f"at the end: a score takes about {pace.scored * known(recipe.score_images):.0f} s"
        elif times < SCORES:
            reason = f"scores take {FOR_SCORES:.0%} of the time"
    return _every(recipe, times)._replace(reason=reason)


def _every(recipe: Recipe, times: int) -> Choice:
    images, first = known(recipe.images), known(recipe.batch) * round(at(recipe.rate("d_steps"), 0))
    return Choice(max(first, -(-images // times)), f"{times} times in the run")  # the last at its end


def _side(recipe: Recipe) -> int:
    return min(known(recipe.height_width()))
