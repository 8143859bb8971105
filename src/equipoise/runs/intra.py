"""Scores within each class: whether a generator is good at all of them, and varied in each."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import nn

from ..data import Dataset
from ..metrics import fd
from ..metrics.features import Features
from .real_images import real_batches
from .sampling import generate, latents

MOST = 5_000


@dataclass(frozen=True)
class Group:
    """The real images of one class, and how many generated ones are compared with them."""

    number: int
    name: str
    real: Int64[np.ndarray, " n"]
    fakes: int

    def card(self) -> dict[str, Any]:
        """What has to be known of its score."""
        return {"class": self.name, "n_real": len(self.real), "n_fake": self.fakes}


def groups(dataset: Dataset, count: int | None = None) -> list[Group]:
    """The classes of labelled images; `count` is by default as many as real ones, up to 5000."""
    meaning, labels = dataset.meaning, dataset.labels
    if labels is None or meaning.kind != "classes":
        raise ValueError(f"a score of each class needs a run with classes; the labels of this one are {meaning.kind}")
    found = [(number, name, np.flatnonzero(labels.values == number)) for number, name in enumerate(meaning.names)]
    small = next((name for _, name, real in found if len(real) < 2), None)
    if small is not None:
        raise ValueError(f"a score of each class needs 2 images of each; there are fewer of {small!r}")
    return [Group(*group, count or min(len(group[2]), MOST)) for group in found]


def scores(
    G: nn.Module, dataset: Dataset, features: Features, parts: list[Group], seed: int, device: torch.device
) -> dict[str, Any]:
    """FD(real | y, G(z, y)) of each class y and their mean (Miyato and Koyama 2018, arXiv:1802.05637, Sec. 4)."""
    values = [score(G, dataset, features, group, seed, device) for group in parts]
    return {"intra_fd": float(np.mean(values)), "class_fd": values}


def score(G: nn.Module, dataset: Dataset, features: Features, group: Group, seed: int, device: torch.device) -> float:
    """The Frechet distance of one class."""
    meter, labels = fd(), torch.full((group.fakes,), group.number)
    for images in real_batches(dataset, group.real):
        meter.update(features(images.to(device)).cpu(), real=True)
    for images in generate(G, latents(G, group.fakes, seed), labels, seed):
        meter.update(features(images.to(device)).cpu(), real=False)
    return meter.compute()["fd"]
