"""Scores of a generator, each with its card: what was compared with what, how many, by which features."""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from .. import __version__, metrics
from ..data import Dataset
from ..metrics import Metric, cache
from ..metrics import features as feature_module
from ..metrics.features import Features
from ..spec import build, parse
from . import intra
from .folder import RunFolder, append_row, read_rows, write_whole
from .real_images import load_dataset, real_batches
from .sampling import Sampler, generate, latents

METRICS = ("fd", "kid")
SHOWN = {"fd": ("FID", "FD"), "kid": ("KID", "KD")}  # on Inception features, on others
log = logging.getLogger("equipoise.runs")


class Scorer:
    """Compares generated images with one set of real ones, whose statistics are kept in the user's cache."""

    def __init__(self, dataset: Dataset, features: str, device: torch.device, names: Iterable[str] = METRICS) -> None:
        self.dataset, self.device, self.names = dataset, device, tuple(names)
        self.features: Features = build(features, feature_module)
        self.keys = [key_of(name) for name in self.names]
        if len(set(self.keys)) < len(self.keys):
            raise ValueError(f"each metric needs a name of its own: {', '.join(self.names)}")
        self._meters(self.names)  # a wrong one is refused before anything is written

    @cached_property
    def references(self) -> dict[str, dict[str, Tensor]]:
        """What each metric has to know of the real images, from the cache or made at once for all that lack it."""
        files = {name: self._file(name) for name in self.names}
        kept = {name: tensors for name, file in files.items() if (tensors := _load(file)) is not None}
        made = self._references([name for name in self.names if name not in kept])
        for name, tensors in made.items():
            _keep(files[name], tensors)
        return kept | made

    def score(self, batches: Iterable[UInt8[Tensor, "b c h w"]]) -> dict[str, float]:
        """The values of all metrics for generated images."""
        meters = self._meters(self.names)
        for name, meter in meters.items():
            meter.load_reference(self.references[name])
        self._update(meters, batches, real=False)
        return {key: value for meter in meters.values() for key, value in meter.compute().items()}

    def card(self, count: int) -> dict[str, Any]:
        """What has to be known of a value before it is compared with another; `metrics`: the scores, best first."""
        return {
            "metrics": self.keys,
            "features": self.features.name,
            "features_hash": self.features.hash,
            "resizer": self.features.resizer,
            "n_real": len(self.dataset),
            "n_fake": count,
            "reference": self.dataset.name,
            "precision": "float32",
            "versions": versions(),
        }

    def _references(self, names: list[str]) -> dict[str, dict[str, Tensor]]:
        meters = self._meters(names)
        self._update(meters, real_batches(self.dataset) if meters else (), real=True)
        return {
            name: {key: tensor.contiguous() for key, tensor in meter.reference().items()}
            for name, meter in meters.items()
        }

    def _meters(self, names: Iterable[str]) -> dict[str, Metric]:
        return {name: build(name, metrics) for name in names}

    def _update(self, meters: dict[str, Metric], batches: Iterable[Tensor], real: bool) -> None:
        """Shows one side to all metrics; its features are extracted once."""
        for images in batches:
            vectors = self.features(images.to(self.device)).cpu()
            for meter in meters.values():
                meter.update(vectors, real)

    def _file(self, name: str) -> Path:
        parts = [name, self.features.hash, self._fingerprint]
        key = hashlib.sha256("|".join(parts).encode()).hexdigest()[:24]
        return cache.folder() / "references" / f"{key_of(name)}-{key}.safetensors"

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self.dataset)


def key_of(metric: str) -> str:
    """The key of a metric's score: its name without hyper-parameters.

    >>> key_of("kid(block=500)")
    'kid'
    """
    return parse(metric.rpartition(".py:")[2])[0]


def shown(key: str, features: str) -> str:
    """What a score is called: FID and KID on Inception features alone, on others a distance with their name.

    >>> shown("fd", "inception"), shown("fd", "builtin"), shown("kid", "random(seed=0)")
    ('FID', 'FD (builtin)', 'KD (random(seed=0))')
    """
    on_inception, other = SHOWN.get(key, (key, key))
    return on_inception if features == "inception" else f"{other} ({features})"


def evaluate(
    run: str | Path,
    count: int | None = None,
    features: str | None = None,
    raw: bool = False,
    checkpoint: str = "latest",
    seed: int = 0,
    device: torch.device | str = "cpu",
    per_class: bool = False,
) -> dict[str, Any]:
    """Scores a run's generator against its training data and, where there is one, the held-out set beside it.

    Returns the row that it appends to metrics.jsonl, or the one that is there where the same was measured before: the
    values, `real_*` (the `real_n` held-out images scored like generated ones: about what a perfect generator would get
    for that many) and the card. With `per_class` the row has the Frechet distance of each class besides, of `count`
    images each, and then the other values are of as many images as without `count`.
    """
    sampler = Sampler(run, raw, checkpoint, device)
    dataset = load_dataset(sampler.recipe)
    if dataset.labels is not None:
        dataset.labels = dataset.labels.like(sampler.meaning)
    if identity(dataset) != sampler.folder.context()["images"]:
        raise ValueError(f"{run} was trained on other images or labels than {sampler.recipe.data} holds now")
    scorer = Scorer(dataset, features or str(sampler.recipe.features), sampler.device, sampler.recipe.metrics)
    if count is not None and count < 2:
        raise ValueError(f"count must be at least 2, not {count}")
    groups = intra.groups(dataset, count) if per_class else []
    count = min(10_000, max(len(dataset), 2)) if count is None or per_class else count
    metrics_file = RunFolder(run).metrics_file
    row: dict[str, Any] = {"seen": sampler.seen, "weights": sampler.weights, "seed": seed, "when": "evaluate"}
    row |= scorer.card(count) | ({"per_class": [group.card() for group in groups]} if per_class else {})
    for known in read_rows(metrics_file):
        if all(known.get(name) == value for name, value in row.items()):
            return known
    row |= scorer.score(generated(sampler.net, dataset, count, seed)) | floor(scorer)
    if per_class:
        row |= intra.scores(sampler.net, dataset, scorer.features, groups, seed, sampler.device)
    append_row(metrics_file, row)
    return row


def floor(scorer: Scorer) -> dict[str, float]:
    """The scores of the `real_n` held-out images, as if they had been generated."""
    held_out = scorer.dataset.held_out
    if held_out is None:
        return {}
    scores = scorer.score(real_batches(held_out))
    return {f"real_{name}": value for name, value in scores.items()} | {"real_n": len(held_out)}


def generated(G: nn.Module, dataset: Dataset, count: int, seed: int) -> Iterator[UInt8[Tensor, "b c h w"]]:
    """Images of the generator, with labels drawn as often as the data has them."""
    labels = None
    if dataset.labels is not None:
        labels = dataset.labels.tensor()[np.random.default_rng(seed).integers(len(dataset), size=count)]
    return generate(G, latents(G, count, seed), labels, seed)


def _load(file: Path) -> dict[str, Tensor] | None:
    """A kept reference, or None."""
    try:
        return load_file(file) if file.is_file() else None
    except SafetensorError:
        log.warning("%s is damaged and is made again", file)
        return None


def _keep(file: Path, tensors: dict[str, Tensor]) -> None:
    write_whole(file, lambda beside: beside.write_bytes(save(tensors)))


def identity(dataset: Dataset) -> str:
    """A hash of what a run learns from: images, and labels where there are some."""
    return "-".join([fingerprint(dataset), *([] if dataset.labels is None else [dataset.labels.digest()])])


def fingerprint(dataset: Dataset) -> str:
    """A hash of a set of images: of all pixels where they are in memory, else of a sample of images."""
    indices = np.unique(np.linspace(0, len(dataset) - 1, 256).astype(int))
    images = dataset.take(indices) if dataset.images is None else dataset.images
    digest = hashlib.sha256(f"{len(dataset)} {tuple(images.shape)}".encode())
    digest.update(np.ascontiguousarray(images.numpy()).data)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """What numbers may depend on."""
    return {"equipoise": __version__, "torch": torch.__version__, "numpy": np.__version__}
