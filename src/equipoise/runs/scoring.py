"""Scores of a generator, each with its card: what was compared with what, how many, by which features."""

from collections.abc import Iterable, Sequence
from functools import cached_property, partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Real
from torch import Tensor, nn

from .. import metrics
from ..data import Dataset, toys
from ..labels import Labels
from ..metrics import features as feature_module
from ..metrics.evaluation import Batch, Evaluation
from ..metrics.generation import BATCH, generate, latents
from ..metrics.metric import Subject
from ..parts import Parts
from ..processes import ALONE, World
from ..spec import build, name_of, names
from ..watching import Watch, unwatched
from .real_images import classes, real_batches, real_order


@runtime_checkable
class RealSide(Protocol):
    """What generated images are compared with: images, or a file of their statistics."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def digest(self) -> str:
        """A hash of its content."""

    @property
    def count(self) -> int | None:
        """How many images, if it is known."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of its classes, if it has any."""

    @property
    def held_out(self) -> Dataset | None:
        """Other real images, if there are any."""

    def show_to(self, evaluation: Evaluation, watch: Watch) -> None:
        """Makes this the real side of an evaluation."""

    def unseen(self, evaluation: Evaluation) -> int:
        """How many images `show_to` looks at."""


class Scorer:
    """Compares generated images with one real side, by metrics that are named as calls.

    The processes of a `world` make all calls together; the first one has the values.
    """

    def __init__(
        self,
        real: RealSide,
        features: str,
        device: torch.device,
        calls: Sequence[str],
        watch: Watch = unwatched,
        world: World = ALONE,
    ) -> None:
        self.real, self.device, self.calls, self.watch, self.world = real, device, tuple(calls), watch, world
        self.named, self.features = features, build(features, feature_module)
        if len({name_of(call) for call in self.calls}) < len(self.calls):
            raise ValueError(f"each metric needs a name of its own: {', '.join(self.calls)}")
        self._check_labels()  # a wrong one is refused before anything is written

    def _empty(self) -> Evaluation:
        sets = {name: getattr(toys, name) for name in names(toys)}
        return Evaluation([build(call, metrics, sets) for call in self.calls], self.features, self.device, self.world)

    @property
    def is_labelled(self) -> bool:
        """Whether a metric needs classes."""
        return any(getattr(metric, "labelled", False) for metric in self._empty().metrics)

    def _check_labels(self) -> None:
        if self.is_labelled and not self.real.classes:
            calls = ", ".join(self.calls)
            raise ValueError(f"one of {calls} needs classes (--labels), and {self.real.name} has none here")

    @cached_property
    def reference(self) -> Evaluation:
        """An evaluation that has seen the real side."""
        evaluation = self._empty()
        self.real.show_to(evaluation, self.watch)
        return evaluation

    @property
    def unseen(self) -> int:
        """How many real images are to be looked at before the first score."""
        if "reference" in vars(self):
            return 0
        return self.real.unseen(self._empty())

    def score(self, generated: Iterable[Batch], count: int, subject: Subject | None = None) -> Evaluation:
        """An evaluation that has seen so many generated images, and the generator itself where there is one."""
        evaluation = self.reference.again()
        evaluation.measure(subject)
        evaluation.feed(generated, False, self.watch, "generated images", count)
        return evaluation

    def floor(self, count: int) -> dict[str, int | float]:
        """The scores of the `real_n` held-out images, `count` at most, as if they had been generated."""
        held_out = self.real.held_out
        if held_out is None:
            return {}
        return self.reference.floor(real_batches(held_out, count), self.watch, min(count, len(held_out)))

    def card(self, count: int) -> dict[str, Any]:
        """What has to be known of a value before it is compared with another."""
        sizes: dict[str, Any] = {"n_real": self.real.count, "n_fake": count, "reference": self.real.name}
        sizes |= {"reference_hash": self.real.digest}
        return {"metrics": list(self.calls)} | sizes | self._empty().card()


def generated(G: nn.Module, dataset: Dataset, count: int, seed: int) -> Parts[Batch]:
    """Images of the generator, with labels drawn as often as the data has them."""
    labels = drawn_labels(dataset, count, seed)
    images = generate(G, latents(G, count, seed), labels, seed, dataset.format.range)
    if labels is None or classes(dataset) is None:
        return images
    parts = labels.split(BATCH)
    return Parts(lambda number: (images[number], parts[number]), len(images))


def drawn_labels(dataset: Dataset, count: int, seed: int) -> Labels | None:
    """Labels drawn as often as the data has them, or None where there are none."""
    if dataset.labels is None:
        return None
    return dataset.labels.tensor()[np.random.default_rng(seed).integers(len(dataset), size=count)]


def subject(G: nn.Module, dataset: Dataset, seed: int) -> Subject:
    """A generator with what its metrics need: labels, and held-out images with theirs."""
    return Subject(G, lambda count: drawn_labels(dataset, count, seed), partial(some_held_out, dataset), seed)


def some_held_out(dataset: Dataset, count: int) -> tuple[Real[Tensor, "n c h w"], Labels | None] | None:
    """So many held-out images at most, always the same, with their labels; None where there are none."""
    held_out = dataset.held_out
    if held_out is None:
        return None
    chosen = real_order(held_out)[:count]
    return held_out.take(chosen), None if held_out.labels is None else held_out.labels.tensor()[chosen]
