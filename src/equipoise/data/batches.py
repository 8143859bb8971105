"""Endless batches, a pure function of the seed and of how many images were seen: a resumed run sees the rest."""

import os
import signal
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Real
from torch import Tensor
from torch.utils import data

from ..checks import check_range
from ..labels import Labels
from ..processes import ALONE, World
from ..randomness import NOISE, mixed
from ..ranges import Range
from ..schedules import Rate, at
from .convert import Format
from .dataset import Dataset, Decoder
from .readers import Arrays

MOST_WORKERS = 8
LabelledImages = tuple[Float[Tensor, "b c h w"], Labels | None]
Step = tuple[Int64[np.ndarray, " b"], Bool[np.ndarray, " b"]]
Decoded = tuple[Real[Tensor, "b c h w"], Int64[Tensor, " b"], dict[int, str], Bool[Tensor, " b"]]
Raw = tuple[Real[Tensor, "b c h w"], Int64[Tensor, " b"], Bool[Tensor, " b"]]


def batches(
    dataset: Dataset,
    batch: Rate,
    seed: int,
    start: int = 0,
    mirror: bool = False,
    dequantize: bool = False,
    device: torch.device | str = "cpu",
    workers: int | None = None,
    noise_seed: int | None = None,
    world: World = ALONE,
) -> Iterator[LabelledImages]:
    """Images in [-1, 1] and their labels on a device, after the first `start` images; global random state is untouched.

    `mirror` flips every second image on average. `dequantize` adds uniform noise of the size of one grey level (Miyato
    et al. 2018, arXiv:1802.05957), of `noise_seed` where it is not to be that of the order. `batch` may be a schedule.
    `workers` is how many processes decode a streamed set. Of the processes of a `world` that train together each gets
    its share of every batch, and reads no more than that.
    """
    check_range(at_least=1, batch=batch)
    check_range(at_least=0, seed=seed, start=start, workers=workers or 0)
    if dequantize:
        check_dequantize(dataset.format)
    where = torch.device(device)
    whole = steps(len(dataset), batch, seed, start)
    plan = ((world.share(order), world.share(mirrored)) for order, mirrored in whole)
    if dataset.images is not None:
        raw = _kept(dataset, plan, where)
    else:
        raw = _streamed(dataset, plan, seed, where, decoders(dataset, world) if workers is None else workers)
    noise = (seed if noise_seed is None else noise_seed, start) if dequantize else None
    return _finished(dataset, raw, mirror, noise, world)


def decoders(dataset: Dataset, world: World) -> int:
    """How many processes decode a streamed set: the cores, shared by those that train; more where they wait."""
    reader, cores = dataset.decoder.reader, max(1, (os.cpu_count() or 1) // world.size)
    if isinstance(reader, Arrays):
        return 0
    return MOST_WORKERS if reader.remote else min(MOST_WORKERS, cores)


def check_dequantize(format: Format) -> None:
    """Raises ValueError for floats, which have no grey levels."""
    if not format.range.is_bytes:
        raise ValueError(f"dequantize adds noise below one grey level, and range={str(format.range)!r} is of floats")


def steps(images: int, batch: Rate, seed: int, start: int = 0) -> Iterator[Step]:
    """The indices of every batch and which of its images are mirrored: epoch after epoch a fresh permutation.

    >>> whole, resumed = steps(5, batch=2, seed=0), steps(5, batch=2, seed=0, start=2)
    >>> _ = next(whole)
    >>> all((a == b).all() for a, b in zip(next(whole), next(resumed), strict=True))
    True
    """
    epochs = _epochs(images, seed, start)
    (order, mirrored), seen = next(epochs), start
    while True:
        count = round(at(batch, seen))
        while len(order) < count:
            more, mirrored_too = next(epochs)
            order, mirrored = np.concatenate([order, more]), np.concatenate([mirrored, mirrored_too])
        yield order[:count], mirrored[:count]
        order, mirrored, seen = order[count:], mirrored[count:], seen + count


def _epochs(images: int, seed: int, start: int) -> Iterator[Step]:
    first, seen = divmod(start, images)
    for epoch in count(first):
        rng = np.random.default_rng([seed, epoch])
        order, mirrored = rng.permutation(images), rng.random(images) < 0.5
        yield order[seen:], mirrored[seen:]
        seen = 0


def _kept(dataset: Dataset, plan: Iterator[Step], device: torch.device) -> Iterator[Raw]:
    assert dataset.images is not None
    images = dataset.images.to(device)
    for step in plan:
        indices, mirrored = (_sent(torch.from_numpy(part), device) for part in step)
        yield images[indices], indices, mirrored


def _sent(part: Tensor, device: torch.device) -> Tensor:
    """A copy on the device, which a GPU fetches by itself from memory that stays where it is."""
    return part.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else part.to(device)


def _streamed(dataset: Dataset, plan: Iterator[Step], seed: int, device: torch.device, workers: int) -> Iterator[Raw]:
    for step in _loader(dataset.decoder, plan, seed, workers, device.type == "cuda"):
        if isinstance(step, ConnectionError):
            raise step
        images, indices, problems, mirrored = step
        dataset.report(problems)
        images, indices, mirrored = (part.to(device, non_blocking=True) for part in (images, indices, mirrored))
        yield images, indices, mirrored


def _loader(
    decoder: Decoder, plan: Iterator[Step], seed: int, workers: int, pin: bool
) -> Iterator[Decoded | ConnectionError]:
    """The steps, decoded in order by worker processes that end when the iterator is closed or forgotten."""
    loader = data.DataLoader(
        _DecodedSteps(decoder),
        batch_size=None,
        sampler=plan,
        num_workers=workers,
        worker_init_fn=_ignore_interrupt,
        generator=torch.Generator().manual_seed(seed),
        pin_memory=pin,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)  # Python 3.12 on; fsspec starts its thread anew
        return iter(loader)


@dataclass(frozen=True)
class _DecodedSteps(data.Dataset[Decoded | ConnectionError]):
    decoder: Decoder

    def __getitem__(self, step: Step) -> Decoded | ConnectionError:
        try:
            return *self.decoder.read(step[0]), torch.from_numpy(step[1])
        except ConnectionError as error:  # as a value, since a worker's exception comes with its traceback
            return error


def _ignore_interrupt(worker: int) -> None:
    """Ctrl-C is for the process that reads the batches; it ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _finished(
    dataset: Dataset, raw: Iterator[Raw], mirror: bool, noise: tuple[int, int] | None, world: World
) -> Iterator[LabelledImages]:
    labels = None
    for images, indices, mirrored in raw:
        if labels is None and dataset.labels is not None:
            labels = dataset.labels.tensor().to(indices.device)
        turned = torch.where(mirrored[:, None, None, None], images.flip(-1), images) if mirror else images
        yield scaled(turned, dataset.format.range, noise, world), labels[indices] if labels is not None else None
        noise = noise and (noise[0], noise[1] + len(images) * world.size)


def scaled(
    images: Real[Tensor, "b c h w"], range: Range, noise: tuple[int, int] | None = None, world: World = ALONE
) -> Float[Tensor, "b c h w"]:
    """In [-1, 1]; of bytes x / 128 - 1 + U(0, 1/128) drawn for the whole batch from a seed and position, `noise`."""
    if noise is None:
        return range.to_networks(images)
    generator = torch.Generator(images.device).manual_seed(mixed(*noise, NOISE))
    whole = torch.rand(world.size * len(images), *images.shape[1:], generator=generator, device=images.device)
    return images / 128 - 1 + world.share(whole) / 128
