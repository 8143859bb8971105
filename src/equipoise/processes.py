"""The processes that train together: each has an equal share of every batch, and sees the whole where that counts.

What looks at a batch (batch normalisation, minibatch statistics, losses that compare samples, adaptive augmentation)
asks for the whole one, `whole(x)`, or for the mean over all processes, `mean_of_all(x)`. With a process alone both give
`x`. They are messages: all processes have to come to them in the same order.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store, rendezvous  # type: ignore[attr-defined]

from .numerics import wide
from .parts import Parts
from .profiling import span

T = TypeVar("T")
Made = TypeVar("Made")
Samples = TypeVar("Samples", Tensor, NDArray[Any])

GONE = "another process of the run has ended, or cannot be reached"
PATIENCE = timedelta(hours=12)  # the others wait while the first process scores; one that has ended is noticed at once


class Parted(ConnectionError):
    """Another process has ended, without which this one cannot work."""


class BrokenElsewhere(Parted):
    """Another process has had a problem, and says so itself."""


class World(NamedTuple):
    """Which of how many processes this is; each sees an equal share of every batch."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and says what happens."""
        return self.rank == 0

    def share(self, whole: Samples) -> Samples:
        """This process's part of a whole batch; raises ValueError where it does not divide."""
        each, rest = divmod(len(whole), self.size)
        if rest:
            raise ValueError(f"{self.size} processes cannot share {len(whole)} samples equally")
        return whole[self.rank * each : (self.rank + 1) * each]

    def average(self, tensors: Sequence[Tensor]) -> None:
        """The mean over all processes, in place, in one message per dtype."""
        for dtype in dict.fromkeys(x.dtype for x in tensors) if self.size > 1 else ():
            several = [x for x in tensors if x.dtype == dtype]
            together = torch.cat([x.flatten() for x in several])
            sum_in_place(together)
            parts = (together / self.size).split([x.numel() for x in several])
            for x, part in zip(several, parts, strict=True):
                x.copy_(part.view_as(x))

    def average_gradients(self, weights: Sequence[Tensor]) -> None:
        """The mean of the gradients over all processes; a process without one counts as 0, unless none has one."""
        if self.size == 1 or not weights:
            return
        mine = [weight.grad is not None for weight in weights]
        known = torch.tensor(mine).to(weights[0])
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        self.average([*gradients, known])
        shares = mine if all(mine) else known.tolist()  # reading them has the device wait
        for weight, gradient, share in zip(weights, gradients, shares, strict=True):
            weight.grad = gradient if share else None

    def agree(self, tensors: Sequence[Tensor]) -> None:
        """Gives all processes what the first one has, in place."""
        for x in tensors if self.size > 1 else ():
            with connected():
                dist.broadcast(x, 0)

    def any(self, flag: bool) -> bool:
        """Whether any process says so; all get the same answer."""
        if self.size == 1:
            return flag
        votes = torch.tensor(int(flag))
        sum_in_place(votes)
        return bool(votes)

    def from_first(self, value: T) -> T:
        """What the first process has."""
        if self.size == 1:
            return value
        several = [value]
        with connected():
            dist.broadcast_object_list(several)
        return several[0]

    def in_turns(self, parts: Iterable[T], make: Callable[[T], Made]) -> Iterator[Made]:
        """make(part) of all parts in their order: the processes make them in turns, and the first one gets them all.

        All make equally many, as sharded networks need: in the last turn those without a part of their own
        make the last one too.
        """
        if self.size == 1:
            yield from map(make, parts)
            return
        if not isinstance(parts, Parts):
            raise ValueError("processes take turns at Parts, which each can ask for its own")
        for start in range(0, len(parts), self.size):
            mine = make(parts[min(start + self.rank, len(parts) - 1)])
            made: list[Any] = [None] * self.size
            with span("messages"), connected():
                dist.gather_object(mine, made if self.leads else None)
            yield from made[: len(parts) - start] if self.leads else ()

    def together(self, make: Callable[[], T]) -> T:
        """What each process makes. A problem of one ends all: the first that has one raises it, others BrokenElsewhere.

        Nobody waits for a process that has gone.
        """
        if self.size == 1:
            return make()
        made: list[T] = []
        problem: Exception | None = None
        try:
            made.append(make())
        except Exception as error:  # whatever it is, the others have to hear of it
            problem = error
        broken: list[bool] = [False] * self.size
        with connected():
            dist.all_gather_object(broken, problem is not None)
        if not any(broken):
            return made[0]
        if problem is not None and broken.index(True) == self.rank:
            raise problem
        raise BrokenElsewhere(f"process {broken.index(True)} has a problem") from problem

    @contextmanager
    def active(self) -> Iterator[None]:
        """Within, `whole` and `mean_of_all` are those of all processes."""
        _worlds.append(self)
        try:
            yield
        finally:
            _worlds.pop()


ALONE = World()
_worlds = [ALONE]  # the active ones, innermost last; torch.compile cannot read a ContextVar


def current() -> World:
    """The processes that train together now."""
    return _worlds[-1]


def whole(x: Tensor) -> Tensor:
    """The shares of all processes one after the other, [size b, ...]; the gradient goes to whoever had a share.

    A sum over shares that are 0 elsewhere: exact, and differentiable as often as one likes, which gathering is not.
    """
    world = current()
    if world.size == 1:
        return x
    shares = [torch.zeros_like(x)] * world.size
    shares[world.rank] = x
    return _sum(torch.cat(shares))


def mean_of_all(x: Tensor) -> Tensor:
    """The mean over all processes, with its gradient."""
    world = current()
    return x if world.size == 1 else _sum(x) / world.size


def of_first(x: Tensor) -> Tensor:
    """What the first process has, such as random numbers that all are to share."""
    world = current()
    return x if world.size == 1 else _sum(x if world.leads else torch.zeros_like(x))


def of_whole_batch(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """function(whole batch), and of that this process's share: for layers in which samples depend on each other."""
    return current().share(function(whole(x)))


@contextmanager
def joined() -> Iterator[World]:
    """The processes that `torchrun` has started, one of which this is; else this one alone.

    Messages go by NCCL between GPUs, of which each process has its own, and by gloo between CPUs. Raises ValueError for
    more processes than GPUs.
    """
    if processes() == 1:
        yield ALONE
        return
    if torch.cuda.is_available():
        if local_rank() >= torch.cuda.device_count():
            raise ValueError(f"each process needs a GPU of its own, and this machine has {torch.cuda.device_count()}")
        torch.cuda.set_device(local_rank())
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store, rank, size = next(rendezvous("env://"))
    dist.init_process_group(backend, store=_of_attempt(store, rank, size), rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield World(rank, size)
    finally:
        dist.destroy_process_group()


def _of_attempt(store: Store, rank: int, size: int) -> PrefixStore:
    """The part of a store that is of this attempt alone: torchrun keeps a store, and what ended processes wrote there.

    Every process leaves a word of its own; the first answers each with the name of the attempt until all others have
    it. An answer to the word of an ended process is nobody's.
    """
    mine = name = uuid4().hex
    store.set(f"word {rank}", mine)
    if rank == 0:
        while store.add(name, 0) < size - 1:
            for other in (other for other in range(1, size) if store.check([f"word {other}"])):
                store.set(f"answer {other}", store.get(f"word {other}").decode() + name)
            time.sleep(0.01)
    else:
        answer = ""
        while not answer.startswith(mine):
            time.sleep(0.01)
            answer = store.get(f"answer {rank}").decode()
        name = answer.removeprefix(mine)
        store.add(name, 1)
    return PrefixStore(name, store)


def processes() -> int:
    """How many processes `torchrun` has started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """Which of the processes on this machine this is."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def sum_in_place(x: Tensor) -> None:
    """The sum over all processes; raises Parted where one has ended."""
    with span("messages"), connected():
        dist.all_reduce(x)


@contextmanager
def connected() -> Iterator[None]:
    """Within, a message that does not come through is Parted."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # gloo and NCCL have no exception of their own for this
        raise Parted(GONE) from error


@contextmanager
def reached() -> Iterator[None]:
    """Within, where messages are torch's own among other work, one that does not come through is Parted."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise Parted(GONE) from error
        raise


def is_sharded(x: Tensor) -> bool:
    """Whether this process has a part of it alone."""
    return hasattr(x, "full_tensor")


def _sum(x: Tensor) -> Tensor:
    """The sum over all processes in at least float32, with its gradient, of any order."""
    total: Tensor = _Sum.apply(wide(x) if x.is_floating_point() else x)
    return total.to(x.dtype)


class _Sum(torch.autograd.Function):
    """Sums x over processes; each is sensitive to what all make of the sum, so that gradients are summed too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.contiguous().clone()
        sum_in_place(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _sum(gradients[0])
