"""How long training takes on this machine: a few timed rounds, and timed images of a score, on noise."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import torch

from ..growth import Phase
from ..labels import LabelSpace
from ..metrics import features as feature_module
from ..ranges import Range
from ..recipe import Recipe, known
from ..schedules import at
from ..spec import build
from ..training import role
from ..trees import leaves
from ..watching import Watch, unwatched
from .assemble import Assembled, assemble, rounds
from .hardware import forget_peak, memory, working
from .outputs import on_noise
from .trial_batches import batch_of_noise

SECONDS = 2.0  # of timing; the first round, which is slower, does not count
ROUNDS = 20  # at most; lazy penalties come every few
FEWEST = 6  # rounds, even where they take longer than that,
LONGER = 5  # but not more than so many times as long
MOST = 3  # times the median is what a round counts as at most: other work has held it up
BRIEFLY = 0.25  # seconds of a trial of threads
FASTER = 0.8  # of a trial's time is what fewer threads have to take at most
SHORTEST = 0.3  # seconds for a level of growth
PIXELS = 256 * 256  # of all images of a round that a CPU is timed with, at most,
FEW = 16  # but for so few images
PIECES = 4  # of a batch, at most
RECENT = 0.5  # of what a run has seen, which tells its pace
SLIGHT = 0.01  # of a run, less than which changes nothing
SUDDEN = 2  # times as many images are left at most, or as few


class Pace(NamedTuple):
    """Seconds of training for a real image, and of a score for an image of every output or a real one."""

    image: float
    scored: float
    phases: tuple[tuple[Phase, float], ...] = ()
    """The phases of growth, and the seconds that an image takes in each."""
    memory: int = 0
    """The most bytes that the process holds, on the GPU where it uses one."""
    checkpoint: int = 0
    """The bytes of the state of a run."""

    def shared(self, processes: int) -> "Pace":
        """Where so many processes train together and one of them scores, without what their messages take."""
        phases = tuple((phase, image / processes) for phase, image in self.phases)
        return self._replace(image=self.image / processes, phases=phases)

    def seconds(self, recipe: Recipe, real: int = 0) -> float:
        """How long a run of this recipe takes from its start, with so many real images to be looked at for scores."""
        images = known(recipe.images)
        scores = 1 + -(-images // known(recipe.score_every))
        return images * self.image + (scores * known(recipe.score_images) + real) * self.scored


def per_second(image: float) -> str:
    """How many images a second take so long each, for people.

    >>> per_second(1 / 1234), per_second(0.5), per_second(30.0)
    ('1,234', '2', '0.033')
    """
    return f"{1 / image:,.0f}" if image < 0.1 else f"{1 / image:.2g}"


def measure_pace(
    recipe: Recipe,
    labels: LabelSpace,
    device: torch.device,
    watch: Watch = unwatched,
    clock: Callable[[], float] = time.perf_counter,
) -> Pace:
    """Plays rounds on noise with parts of its own, late in a run, when schedules have come to what lasts."""
    now = partial(_now, device, clock)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        assembled = assemble(recipe, labels, device)
        images = known(recipe.images)
        of_images = partial(_of_images, assembled, recipe, labels, device, now)
        forget_peak(device)
        if assembled.growth is None:
            image = of_images(images - 1, SECONDS)
            held = _held(assembled, recipe, device, [images - 1])
            return Pace(image, _of_scores(assembled, recipe, labels, now), (), held, _size(assembled))
        phases = assembled.growth.phases(assembled.sides, images)
        levels = {phase.side: phase.middle for phase in reversed(phases)}  # where one fades in, if it does
        most = max(SECONDS / len(levels), SHORTEST)
        timed = watch(([of_images(middle, most)] for middle in levels.values()), "levels timed", len(levels))
        of_side = {side: image for side, [image] in zip(levels, timed, strict=True)}
        each = [(phase, of_side[phase.side]) for phase in phases]
        mean = sum(image * (phase.end - phase.begin) for phase, image in each) / images
        held = _held(assembled, recipe, device, list(levels.values()))
        return Pace(mean, _of_scores(assembled, recipe, labels, now), tuple(each), held, _size(assembled))


def images_left(seconds: float, images: int, rows: Sequence[Mapping[str, Any]]) -> int:
    """How many images more a run trains on that is to train for so long, by its rows so far; as planned, if it can be.

    (seconds - t) / p, with t the seconds until now and p those of an image in the last part of it. At least half and at
    most twice as many as planned, so that a process that was paused does not end at once.

    >>> rows = [{"seen": 100, "seconds": 10.0}, {"seen": 200, "seconds": 30.0}]
    >>> images_left(60.0, 600, rows), images_left(60.0, 351, rows), images_left(30.0, 600, rows)
    (200, 151, 200)
    """
    now = rows[-1]
    start = {"seen": 0, "seconds": 0.0}
    past = next((row for row in reversed(rows) if row["seen"] <= (1 - RECENT) * now["seen"]), start)
    took = (now["seconds"] - past["seconds"]) / (now["seen"] - past["seen"])
    planned = images - now["seen"]
    left = min(max((seconds - now["seconds"]) / took, planned / SUDDEN), planned * SUDDEN)
    return planned if abs(left - planned) < SLIGHT * images else round(left)


def fastest_threads(recipe: Recipe, labels: LabelSpace, device: torch.device) -> int:
    """As many threads as torch has now; half of them, a quarter..., as long as first rounds are faster by a quarter.

    Fewer are faster where other work holds the cores, or where networks are too small for so many.
    """
    with torch.random.fork_rng([]):
        plain, now = replace(recipe, compile=False), partial(_now, device, time.perf_counter)
        assembled = assemble(plain, labels, device)

        def took(threads: int) -> float:
            with working(threads):
                return _of_images(assembled, recipe, labels, device, now, 0, BRIEFLY)

        threads = torch.get_num_threads()
        seconds = took(threads) if threads > 1 else 0.0
        while threads > 1 and (fewer := took(threads // 2)) < FASTER * seconds:
            threads, seconds = threads // 2, fewer
        return threads


def _of_images(
    assembled: Assembled,
    recipe: Recipe,
    labels: LabelSpace,
    device: torch.device,
    now: Callable[[], float],
    start: int,
    most: float,
) -> float:
    """Seconds for an image, so many images into the run."""
    state, recipe = assembled.state, _smaller(assembled, recipe, device, start)
    stream = rounds(assembled, repeat(batch_of_noise(recipe, labels, device)), recipe)
    state.seen = start
    if recipe.compile:
        next(stream)  # which compiles
    state.seen, marks = start, [now()]
    while len(marks) <= ROUNDS and marks[-1] - marks[0] < most * (LONGER if len(marks) <= FEWEST else 1):
        next(stream)
        marks.append(now())
    images = (state.seen - start) / (len(marks) - 1)  # of a round
    took = np.diff(marks)[min(1, len(marks) - 2) :]  # without the first, where there are others
    return float(np.minimum(took, MOST * np.median(took)).mean() / images)


def _smaller(assembled: Assembled, recipe: Recipe, device: torch.device, start: int) -> Recipe:
    """With the batch, so many images into the run, that tells the speed: on a CPU few images and pieces of them.

    They are nearly as fast for an image, and sooner done.
    """
    batch, pieces = round(at(assembled.batch, start)), recipe.pieces or 1
    if device.type != "cpu":
        return replace(recipe, batch=batch)
    growth, fewest = assembled.growth, FEW if assembled.growth is None else 1
    side = min(known(recipe.height_width())) if growth is None else growth.side(start, assembled.sides)
    fewer = min(pieces, PIECES) if recipe.g_batch in (None, recipe.batch) else pieces  # G's own batch is not cut
    return replace(recipe, batch=fewer * min(batch // pieces, max(fewest, PIXELS // side**2 // fewer)), pieces=fewer)


def _held(assembled: Assembled, recipe: Recipe, device: torch.device, starts: list[int]) -> int:
    """The most memory held; where a batch was cut, what whole ones take as well, in proportion to their images."""
    held = memory(device)
    of_piece = lambda batch, pieces: batch // (pieces or 1)
    timed = [_smaller(assembled, recipe, device, start) for start in starts]
    larger = max(
        of_piece(round(at(assembled.batch, start)), recipe.pieces) / of_piece(known(few.batch), few.pieces)
        for start, few in zip(starts, timed, strict=True)
    )
    if larger <= 1:
        return held
    forget_peak(device)
    between_rounds = memory(device)
    return round(between_rounds + larger * (held - between_rounds))


def _of_scores(assembled: Assembled, recipe: Recipe, labels: LabelSpace, now: Callable[[], float]) -> float:
    averages, look = assembled.state.averages, build(known(recipe.features), feature_module)
    shape, seconds = (known(recipe.channels), *known(recipe.height_width())), 0.0
    for name in (name for name in averages if role(name) == "G"):
        for _ in range(2):  # the first time is slower
            mark, count = now(), 0
            for images in on_noise(averages[name], shape, labels, Range.parse(known(recipe.range))):
                look(images)
                count += len(images)
            taken = (now() - mark) / count
        seconds += taken
    return seconds


def _size(assembled: Assembled) -> int:
    tensors = [part for part in leaves(assembled.state.state_dict()) if isinstance(part, torch.Tensor)]
    return sum(part.numel() * part.element_size() for part in tensors)


def _now(device: torch.device, clock: Callable[[], float]) -> float:
    """The time in seconds, when the device has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock()
