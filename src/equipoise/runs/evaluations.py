"""Scores of a finished run, or of any set of images, against another set or its statistics."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..checks import check_choice
from ..data import Dataset, Domains, Format, inspect, load
from ..metrics.evaluation import Evaluation
from ..processes import ALONE, World
from ..recipe import known
from ..spec import name_of
from ..watching import Watch, unwatched
from ..writing import write_whole
from .choices import usual_features
from .folder import append_row, read_rows
from .nearest import nearest_picture
from .outputs import Output, outputs
from .real_images import in_own_size, load_dataset, real_batches
from .references import RealImages, identity
from .sampling import Sampler
from .scoring import RealSide, Scorer
from .statistics_files import is_statistics, read_statistics

MOST = 10_000  # images that are generated unless asked for more
METRICS = ("fd", "kid")


def evaluate(
    run: str | Path,
    against: str | Path | None = None,
    *,
    metrics: Sequence[str] = (),
    count: int | None = None,
    features: str | None = None,
    raw: bool = False,
    checkpoint: str = "latest",
    seed: int = 0,
    device: torch.device | str = "cpu",
    watch: Watch = unwatched,
    generator: str | None = None,
    world: World = ALONE,
) -> dict[str, Any]:
    """Scores a run's generator against its training data or other images, and held-out images beside it.

    By the metrics that training scores with, unless others are named. `generator` is the network where a run has
    several, as a translation there and back has "G_ab" and "G_ba"; None is the first. The processes of a `world`, which
    see the same folder, all call this and share the work.

    Returns the row that it appends to metrics.jsonl, or the one that is there where the same was measured before: the
    values, their 95 per cent `intervals`, `real_*` (the `real_n` held-out images scored like generated ones: about what
    a perfect generator would get for that many) and the card.
    """

    def prepared() -> tuple[Sampler, Output, Scorer, int]:
        sampler = Sampler(run, raw, checkpoint, device)
        dataset = trained_on(sampler)
        check_choice(generator or sampler.first, [*sampler.nets], f"{run} has no generator {generator!r}")
        output = next(o for o in outputs(dataset, sampler.nets) if o.net == (generator or sampler.first))
        real = RealImages(output.real) if against is None else other_side(against, dataset.format)
        calls = tuple(metrics) or known(sampler.recipe.score)
        chosen = features or ("inception" if "fid" in map(name_of, calls) else str(sampler.recipe.features))
        scorer = Scorer(real, chosen, sampler.device, calls, watch, world)
        return sampler, output, scorer, output.count(chosen_count(count, real))

    sampler, output, scorer, n_fake = world.together(prepared)
    G = sampler.nets[output.net]
    row: dict[str, Any] = {"seen": sampler.seen, "weights": sampler.weights, "seed": seed, "when": "evaluate"}
    row |= output.about | scorer.card(n_fake)
    file = sampler.folder.metrics_file
    own = any(".py:" in call for call in (*scorer.calls, scorer.named))  # a file that may have changed
    same = lambda before: all(before.get(name) == value for name, value in row.items())
    if there := world.from_first(next(filter(same, () if own else read_rows(file)), None)):
        return there
    row |= results(scorer, scorer.score(output.generated(G, n_fake, seed), n_fake, output.subject(G, seed)), n_fake)
    if world.leads:
        if is_pictured(scorer.real, against) and "memorization" in map(name_of, scorer.calls):
            picture = nearest_picture(G, scorer, output, seed)
            write_whole(sampler.folder.nearest_file, lambda beside: picture.save(beside, "png"))
        append_row(file, row)
    return world.from_first(row)


def evaluate_images(
    images: str | Path,
    against: str | Path,
    metrics: Sequence[str] = (),
    features: str | None = None,
    *,
    labels: bool = False,
    device: torch.device | str = "cpu",
    watch: Watch = unwatched,
    world: World = ALONE,
) -> dict[str, Any]:
    """Scores a set of images, whoever made them, against another or a file of statistics: values and card.

    Real images get the size of those that are scored. With `labels`, sub-folders or files of labels give classes.
    """

    def prepared() -> tuple[Dataset, Scorer]:
        source = inspect(images, labels)
        dataset = in_own_size(source, labels)
        real = other_side(against, dataset.format, labels)
        if isinstance(real, RealImages) and labels and dataset.labels is not None:
            dataset.labels = dataset.labels.like(real.dataset.meaning)
        toy = real.dataset.toy if isinstance(real, RealImages) else None
        calls = tuple(metrics) or (toy.score if toy else METRICS)
        chosen = features or usual_features(source, calls).value
        return dataset, Scorer(real, chosen, torch.device(device), calls, watch, world)

    dataset, scorer = world.together(prepared)
    row = {"images": dataset.name} | scorer.card(len(dataset))
    row |= results(scorer, scorer.score(real_batches(dataset), len(dataset)), len(dataset))
    return world.from_first(row)


def results(scorer: Scorer, evaluation: Evaluation, count: int) -> dict[str, Any]:
    """Values, intervals, and the values of held-out images; of several processes the first one has them."""
    floor = scorer.floor(count)
    if not scorer.world.leads:
        return {}
    values = evaluation.values() | {"intervals": evaluation.intervals()} | floor
    return values | ({"classes": [*scorer.real.classes]} if scorer.is_labelled else {})


def trained_on(sampler: Sampler) -> Dataset | Domains:
    """The images of a run; raises ValueError where they are not what they were."""
    dataset = load_dataset(sampler.recipe)
    if isinstance(dataset, Dataset) and dataset.labels is not None:
        dataset.labels = dataset.labels.like(sampler.meaning)
    if identity(dataset) != sampler.folder.context()["images"]:
        data = sampler.recipe.data
        raise ValueError(f"{sampler.folder.path} was trained on other images or labels than {data} holds now")
    return dataset


def is_pictured(real: RealSide, against: str | Path | None) -> bool:
    """Whether there are training images to show beside generated ones."""
    return against is None and isinstance(real, RealImages) and not real.dataset.format.is_point


def other_side(data: str | Path, format: Format, labels: bool = False) -> RealSide:
    """Images in this format, or the statistics in a file."""
    path = Path(data)
    if path.is_file() and is_statistics(path):
        return read_statistics(path)
    return RealImages(load(inspect(data, labels), format, labels))


def chosen_count(count: int | None, real: RealSide) -> int:
    """As many as real images, up to 10,000, unless a number is asked for."""
    if count is not None and count < 2:
        raise ValueError(f"count must be at least 2, not {count}")
    return count or min(MOST, max(real.count or MOST, 2))
