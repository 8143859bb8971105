"""What a run shows and scores: the images that each of its generators makes, against real ones."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Real, UInt8
from PIL import Image
from torch import Tensor, nn

from ..data import Dataset, Domains
from ..labels import LabelSpace
from ..metrics.evaluation import Batch
from ..metrics.generation import BATCH, generate, latents, translate
from ..metrics.metric import Subject
from ..parts import Parts, sliced
from ..ranges import Range
from ..training import role
from . import scatter
from .landscape import landscape
from .pictures import grid
from .real_images import real_order
from .scoring import generated, subject

PICTURED = 64  # samples in a picture
POINTS = 2_000  # points in a picture
MOST_ROWS = 10  # labels in it
IN_A_ROW = 8  # images in a row of a picture of translations
TIMED, TIMED_PIXELS = 8, 64 * 64 * 64  # images that a translation is timed by; pixels of images of latent vectors


class Shown(NamedTuple):
    """Images for a picture, and how many stand in a row where that matters."""

    images: UInt8[Tensor, "n c h w"]
    columns: int | None


@dataclass(frozen=True)
class Output(ABC):
    """What one generator makes, and the real images that it should be like."""

    net: str
    real: Dataset

    @property
    def about(self) -> dict[str, str]:
        """What a row of scores says of it, where a run has more than this one."""
        return {}

    @abstractmethod
    def count(self, asked: int) -> int:
        """How many images there are to score, where so many are asked for."""

    @abstractmethod
    def generated(self, G: nn.Module, count: int, seed: int) -> Parts[Batch]:
        """So many images."""

    @abstractmethod
    def subject(self, G: nn.Module, seed: int) -> Subject | None:
        """The generator as metrics of generators see it, None where they do not apply."""

    @abstractmethod
    def shown(self, nets: nn.ModuleDict) -> Shown:
        """Images for a picture, always of the same inputs."""


@dataclass(frozen=True)
class FromLatents(Output):
    """Latent vectors -> images, with labels drawn as the data has them."""

    @property
    def about(self) -> dict[str, str]:
        """The network, where it is not simply called G."""
        return {} if self.net == "G" else {"output": self.net}

    def count(self, asked: int) -> int:
        """All that are asked for."""
        return asked

    def generated(self, G: nn.Module, count: int, seed: int) -> Parts[Batch]:
        """The images of the seed."""
        return generated(G, self.real, count, seed)

    def subject(self, G: nn.Module, seed: int) -> Subject:
        """With labels and held-out images."""
        return subject(G, self.real, seed)

    def shown(self, nets: nn.ModuleDict) -> Shown:
        """Samples of latent points that never change; with labels a row per label."""
        G, meaning, columns = nets[self.net], self.real.meaning, None
        z, labels = latents(G, PICTURED, seed=0), meaning.representatives()
        if labels is not None:
            rows = min(len(labels), MOST_ROWS)
            columns = PICTURED // rows
            labels, z = labels[:rows].repeat_interleave(columns, 0), z[:columns].repeat(rows, 1)
            labels = meaning.for_networks(labels)
        range = self.real.format.range
        return Shown(range.to_bytes(torch.cat(list(generate(G, z, labels, range=range)))), columns)


@dataclass(frozen=True)
class FromImages(Output):
    """Images of one domain -> images of another: of those that are held out, where there are some."""

    source: Dataset
    back: str = ""
    """The network that leads back, where there is one."""
    paired: bool = False

    @property
    def about(self) -> dict[str, str]:
        """The direction, where there are two, and what was translated."""
        direction = {"output": " to ".join(self.net.partition("_")[2])} if self.back else {}
        return direction | {"inputs": self.sides[0].name}

    @property
    def sides(self) -> tuple[Dataset, Dataset]:
        """The inputs, and images of the other domain, which are their partners where there are pairs."""
        inputs, targets = self.source.held_out, self.real.held_out
        if inputs is None or targets is None or min(len(inputs), len(targets)) < 2:
            return self.source, self.real
        return inputs, targets

    def count(self, asked: int) -> int:
        """One for each input, at most."""
        return min(asked, len(self.sides[0]))

    def generated(self, G: nn.Module, count: int, seed: int) -> Parts[Batch]:
        """The images that become of the first so many inputs, in an order that is mixed and always the same."""
        inputs, _ = self.sides
        order = real_order(inputs)[:count]
        return sliced(lambda part: translated(G, inputs.take(order[part]), seed), len(order), BATCH)

    def subject(self, G: nn.Module, seed: int) -> None:
        """There are no latent vectors."""

    def shown(self, nets: nn.ModuleDict) -> Shown:
        """A row of inputs, a row of what becomes of them, and one of the way back or of their partners."""
        inputs, targets = self.sides
        chosen = real_order(inputs)[: min(IN_A_ROW, len(inputs), len(targets))]
        rows = [inputs.take(chosen)]
        rows.append(translated(nets[self.net], rows[0]))
        if self.back:
            rows.append(translated(nets[self.back], rows[1]))
        elif self.paired:
            rows.append(targets.take(chosen))
        return Shown(torch.cat(rows), len(chosen))


def outputs(dataset: Dataset | Domains, nets: Iterable[str]) -> list[Output]:
    """The outputs of all generators among networks of these names; the first chooses the best checkpoint."""
    generators = [name for name in nets if role(name) == "G"]
    if isinstance(dataset, Dataset):
        return [FromLatents(name, dataset) for name in generators]
    domains = {"a": dataset.a, "b": dataset.b}
    found: list[Output] = []
    for name in generators:
        way = name.partition("_")[2] or "ab"
        back = f"G_{way[::-1]}"
        found.append(
            FromImages(name, domains[way[1]], domains[way[0]], back if back in generators else "", dataset.paired)
        )
    return found


def picture_of(parts: list[Shown]) -> Shown:
    """What all outputs show, one below the other, in as many columns as all of them have."""
    columns = min((part.columns for part in parts if part.columns), default=None)
    cut = lambda part: part.images.unflatten(0, (-1, part.columns))[:, :columns].flatten(0, 1)
    return Shown(torch.cat([cut(part) if columns else part.images for part in parts]), columns)


def drawn(outputs: list[Output], averages: nn.ModuleDict, nets: nn.ModuleDict) -> Image.Image:
    """What all outputs show; of points, those of the first output with the discriminator, where there is one."""
    first = outputs[0]
    if not first.real.format.is_point:
        return grid(*picture_of([output.shown(averages) for output in outputs]))
    made = [part[0] if isinstance(part, tuple) else part for part in first.generated(averages[first.net], POINTS, 0)]
    range, real = first.real.format.range, first.real.take(real_order(first.real)[:POINTS])
    flat = lambda images: images.flatten(1).cpu().numpy()
    D, size = next((nets[name] for name in nets if role(name) == "D"), None), real.shape[1]
    known = D is not None and size <= 2
    terrain = landscape(D, size, range, scatter.REACH, first.real.meaning) if D is not None and known else None
    density = first.real.toy.log_density if first.real.toy else None
    return scatter.picture(flat(torch.cat(made)), range, flat(real), terrain, density)


def on_noise(
    G: nn.Module, shape: tuple[int, int, int], labels: LabelSpace, range: Range
) -> Iterable[Real[Tensor, "b c h w"]]:
    """Some images of a generator, for timing: of latent vectors where it takes them, else of images."""
    if hasattr(G, "z_dim"):
        count = min(BATCH, max(1, TIMED_PIXELS // (shape[1] * shape[2])))
        return generate(G, latents(G, count, seed=0), labels.example(count), range=range)
    return translate(G, torch.from_numpy(np.random.default_rng(0).integers(0, 256, (TIMED, *shape), np.uint8)))


def translated(G: nn.Module, images: UInt8[Tensor, "n c h w"], seed: int = 0) -> UInt8[Tensor, "n c h w"]:
    """What becomes of images, on the CPU."""
    return torch.cat([part.cpu() for part in translate(G, images, seed)])
