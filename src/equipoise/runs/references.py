"""The real side of scores: a set of images, whose statistics are kept in the user's cache."""

import hashlib
import logging
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from .. import cache
from ..data import Dataset, Domains
from ..metrics.evaluation import Evaluation
from ..watching import Watch
from ..writing import write_whole
from .real_images import real_batches, sets_in

log = logging.getLogger("equipoise.runs")


class RealImages:
    """Real images that generated ones are compared with."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset, self.name, self.count = dataset, dataset.name, len(dataset)
        self.classes = tuple(dataset.meaning.names) if dataset.meaning.kind == "classes" else ()

    @property
    def held_out(self) -> Dataset | None:
        """The published test images, where there are some."""
        return self.dataset.held_out

    def show_to(self, evaluation: Evaluation, watch: Watch) -> None:
        """Makes these the real side; what the cache lacks of them is made at once and kept."""
        kept = {key: self._file(key, evaluation) for key in evaluation.lacking if evaluation.can_store(key)}
        for key, file in kept.items() if evaluation.world.leads else ():
            if (tensors := _load(file)) is not None:
                evaluation.load_reference(key, tensors)
        evaluation.lacking = evaluation.world.from_first(evaluation.lacking)
        new = evaluation.lacking & kept.keys()
        evaluation.feed(real_batches(self.dataset), True, watch, "real images", self.count)
        for key in new if evaluation.world.leads else ():
            _keep(kept[key], evaluation.reference(key))

    def unseen(self, evaluation: Evaluation) -> int:
        """How many images `show_to` looks at: none where the cache has all that is kept of them."""
        kept = (evaluation.can_store(key) and self._file(key, evaluation).is_file() for key in evaluation.lacking)
        return 0 if all(kept) else self.count

    def _file(self, key: str, evaluation: Evaluation) -> Path:
        seen_by = "images" if key.endswith("images") else evaluation.features.hash
        digest = hashlib.sha256("|".join([key, seen_by, self._identity]).encode()).hexdigest()[:24]
        return cache.folder() / "references" / f"{key.replace(' ', '-')}-{digest}.safetensors"

    @property
    def digest(self) -> str:
        """A hash of images and labels."""
        return hashlib.sha256(self._identity.encode()).hexdigest()[:16]

    @cached_property
    def _identity(self) -> str:
        return identity(self.dataset)


def _load(file: Path) -> dict[str, Tensor] | None:
    """A kept reference, or None."""
    try:
        return load_file(file) if file.is_file() else None
    except SafetensorError:
        log.warning("%s is damaged and is made again", file)
        return None


def _keep(file: Path, tensors: dict[str, Tensor]) -> None:
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_whole(file, lambda beside: beside.write_bytes(save(contiguous)))


def identity(dataset: Dataset | Domains) -> str:
    """A hash of what a run learns from: images, of one set or of two domains, and labels where there are some."""
    parts = sets_in(dataset)
    labels = [part.labels.digest() for part in parts if part.labels is not None]
    return "-".join([*map(fingerprint, parts), *labels])


def fingerprint(dataset: Dataset) -> str:
    """A hash of a set of images: of all pixels where they are in memory, else of some images and all files' sizes."""
    indices = np.unique(np.linspace(0, len(dataset) - 1, 256).astype(int))
    images = dataset.take(indices) if dataset.images is None else dataset.images
    digest = hashlib.sha256(f"{len(dataset)} {tuple(images.shape)}".encode())
    if dataset.images is None:
        digest.update(dataset.decoder.reader.outline().encode())
    digest.update(np.ascontiguousarray(images.numpy()).data)
    return digest.hexdigest()
