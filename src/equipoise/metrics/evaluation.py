"""Several metrics of the same images, whose features are extracted once."""

from collections.abc import Iterable, Mapping, Sequence, Set
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import __version__
from ..processes import ALONE, World
from ..watching import Watch, unwatched
from .features import Features
from .features import mobilenet as usual_features
from .frechet import fd
from .generation import generate, latents
from .kernel import kid
from .metric import GeneratorMetric, Intervals, Metric, SetMetric, Subject, class_moments, moments, rows

STORED = [f"{kept} of {seen}" for kept in ("moments", "rows") for seen in ("features", "logits")]
STORED += [f"{kept} of labelled features" for kept in ("class_moments", "rows")]
SIDES = {"n_real": True, "n_fake": False}
RESERVED = {
    "seen",
    "weights",
    "seed",
    "when",
    "metrics",
    "reference",
    "reference_hash",
    "scores",
    "intervals",
    "classes",
    "images",
    "output",
    "inputs",
    *SIDES,
}
Batch = Tensor | tuple[Tensor, Tensor | None]
"""Images [n, c, h, w], uint8 or, seen by features that take them, floats; or a pair of them and their labels."""


def evaluate(
    generated: nn.Module | Iterable[Batch],
    real: Iterable[Batch],
    metrics: Sequence[Metric | GeneratorMetric] | None = None,
    features: Features | None = None,
    held_out: Iterable[Batch] | None = None,
    count: int = 10_000,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores of a generator, by `count` images, or of a set of images; by default `fd` and `kid` on `mobilenet`.

    The values by name, their 95 per cent `intervals`, `real_*` for held-out images as if they had been generated, and
    the card. A generator takes z [n, z_dim] and makes images in [-1, 1]; sets are batches of uint8 images.
    """
    evaluation = Evaluation([fd(), kid()] if metrics is None else metrics, features or usual_features())
    n_real = evaluation.feed(real, real=True)
    floor = {} if held_out is None else evaluation.floor(held_out)
    evaluation.measure(Subject(generated, seed=seed) if isinstance(generated, nn.Module) else None)
    if isinstance(generated, nn.Module):
        generated = generate(generated, latents(generated, count, seed), None, seed)
    n_fake = evaluation.feed(generated, real=False)
    sizes = {"n_real": n_real, "n_fake": n_fake}
    return evaluation.values() | {"intervals": evaluation.intervals()} | floor | sizes | evaluation.card()


class Evaluation:
    """Metrics and what they were fed; those that keep the same of the same rows keep it once, under one key.

    The processes of a `world` look at images in turns and make all calls together; the first one has the metrics.
    """

    def __init__(
        self,
        metrics: Sequence[Metric | GeneratorMetric],
        features: Features,
        device: torch.device | str = "cpu",
        world: World = ALONE,
    ) -> None:
        self.metrics, self.features, self.device = list(metrics), features, torch.device(device)
        self.world = world
        self.fed: dict[str, Metric] = {}
        self.lacking: set[str] = set()  # keys whose real side is still to be fed
        for number, metric in enumerate(self.metrics):
            if isinstance(metric, Metric):
                self._add(metric, number)

    def _add(self, metric: Metric, number: int) -> None:
        key = str(number)
        if isinstance(metric, SetMetric):
            if metric.sides:
                raise ValueError(f"{metric.name} was fed before, and would add to it: make a new one")
            check_features(metric, self.features)
            key = key_of(metric, number)
            metric.sides = vars(self.fed.setdefault(key, metric))["sides"]
        self.fed.setdefault(key, metric)
        if getattr(metric, "needs_real", True):
            self.lacking.add(key)

    def can_store(self, key: str) -> bool:
        """Whether the real side under a key is worth storing: it says all about itself, and is smaller than images."""
        return key in STORED

    def rows_of_features(self) -> Tensor:
        """The features of real images that are kept, in their order."""
        return self._set_metric("rows of features").sides[True].rows

    def reference(self, key: str) -> dict[str, Tensor]:
        """The real side under a key, to be stored and used again."""
        return self._set_metric(key).reference()

    def load_reference(self, key: str, tensors: dict[str, Tensor]) -> None:
        """Makes a stored real side the real side under a key."""
        self._set_metric(key).load_reference(tensors)
        self.lacking.discard(key)

    def _set_metric(self, key: str) -> SetMetric:
        metric = self.fed[key]
        assert isinstance(metric, SetMetric)
        return metric

    def feed(
        self, batches: Iterable[Batch], real: bool, watch: Watch = unwatched, name: str = "images", total: int = 0
    ) -> int:
        """Shows images to all metrics, those of the real side to whom they are new; returns how many there were."""
        chosen = {key: metric for key, metric in self.fed.items() if not real or key in self.lacking}
        wanted = {getattr(metric, "sees", "features") for metric in chosen.values()}
        looked = watch(self.world.in_turns(batches, partial(self._look, wanted)), name, total)
        count = 0
        for seen in looked if chosen else ():
            count += len(seen)
            for metric in chosen.values():
                more = {"labels": seen.labels} if getattr(metric, "labelled", False) else {}
                metric.update(seen.views[getattr(metric, "sees", "features")], real, **more)
        if real:
            self.lacking.clear()
        return count

    def _look(self, wanted: Set[str], batch: Batch) -> "Seen":
        images, labels = batch if isinstance(batch, tuple) else (batch, None)
        views = {"images": images} if "images" in wanted else {}
        if wanted & {"features", "logits"}:
            views["features"] = self.features(images.to(self.device)).cpu()
        if "logits" in wanted:
            assert self.features.logits is not None
            views["logits"] = self.features.logits(views["features"])
        return Seen(len(images), views, labels)

    def measure(self, subject: Subject | None) -> None:
        """Lets those metrics that need it look at the generator itself; raises ValueError where there is none."""
        for metric in self.metrics:
            if isinstance(metric, GeneratorMetric):
                if subject is None:
                    name = getattr(metric, "name", type(metric).__name__)
                    raise ValueError(f"{name} measures a generator itself, and these are images only")
                metric.measure(subject, self.features)

    def values(self) -> dict[str, Any]:
        """The values of all metrics by name, and `scores`: what each looks at and whether more is better."""
        values: dict[str, Any] = {}
        scores: dict[str, Any] = {}
        for metric in self.metrics:
            found = metric.compute()
            check_values(found, values.keys() | self.card().keys() | RESERVED)
            values |= found
            scores |= {name: about(metric, name) for name in found}
        return values | {"scores": scores}

    def intervals(self) -> Intervals:
        """The 95 per cent intervals of those values that have one."""
        several = [metric.intervals() for metric in self.metrics if hasattr(metric, "intervals")]
        return {name: interval for intervals in several for name, interval in intervals.items()}

    def again(self, sets_only: bool = False) -> "Evaluation":
        """Another evaluation with the same real side, to which no generated image has been shown."""
        kept = [side for metric in self.fed.values() for side in getattr(metric, "sides", {}).values()]
        other = deepcopy(self, {id(part): part for part in (self.features, *kept)})
        if sets_only:
            other.metrics = [metric for metric in other.metrics if isinstance(metric, Metric)]
        return other

    def floor(self, held_out: Iterable[Batch], watch: Watch = unwatched, total: int = 0) -> dict[str, int | float]:
        """The values of real images as if they had been generated, "real_fd", and how many they were, "real_n"."""
        other = self.again(sets_only=True)
        count = other.feed(held_out, False, watch, "held-out images", total)
        values = [metric.compute() for metric in other.metrics] if self.world.leads else []
        return {f"real_{name}": value for part in values for name, value in part.items()} | {"real_n": count}

    def card(self) -> dict[str, Any]:
        """What has to be known of features before two values are compared."""
        features = self.features
        return {"features": features.name, "features_hash": features.hash, "resizer": features.resizer} | {
            "dtype": features.dtype,
            "versions": versions(),
        }


@dataclass(frozen=True)
class Seen:
    """What metrics see of some images, images, features or logits, and their labels."""

    count: int
    views: dict[str, Tensor]
    labels: Tensor | None

    def __len__(self) -> int:
        return self.count


def about(metric: Metric | GeneratorMetric, value: str) -> dict[str, Any]:
    """What a metric looks at, and whether more of a value is better."""
    of = getattr(metric, "sees", "features" if isinstance(metric, Metric) else "generator")
    higher = getattr(metric, "higher", False) and value not in getattr(metric, "lower", ())
    said = {"sees": of, "higher": higher}
    if isinstance(metric, SetMetric):  # the images that count, which may be fewer than were shown
        said |= {name: metric.sides[real].count for name, real in SIDES.items() if real in metric.sides}
    return said


def check_values(values: Mapping[str, int | float], taken: Set[str]) -> None:
    """Raises ValueError for a value that is no finite number, or whose name is taken."""
    for name, value in values.items():
        if name in taken:
            raise ValueError(f"there are two values called {name!r}: let one metric return another name")
        if not isfinite(value):
            raise ValueError(f"{name} is {value}, no finite number")


def versions() -> dict[str, str]:
    """What numbers may depend on."""
    return {"equipoise": __version__, "torch": torch.__version__, "numpy": np.__version__}


def key_of(metric: SetMetric, number: int) -> str:
    """The name of what a metric keeps: metrics that keep the same share it, and others have a name of their own."""
    if metric.statistic not in (moments, class_moments, rows):
        return f"{number} {metric.name}"
    return f"{metric.statistic.__name__} of {'labelled ' * metric.labelled}{metric.sees}"


def check_features(metric: SetMetric, features: Features) -> None:
    """Raises ValueError where a metric is not defined on these features."""
    if metric.features not in (None, features.name):
        raise ValueError(
            f"{metric.name} is defined on {metric.features} features, not on {features.name}; fd is on any"
        )
    if metric.sees == "logits" and features.logits is None:
        raise ValueError(f"{metric.name} needs features with a classifier: inception, mobilenet, builtin or resnet56")
