"""The processes that train together: each has an equal share of every batch, and sees the whole where that counts.

What looks at a batch (batch normalisation, minibatch statistics, losses that compare samples, adaptive augmentation)
asks for the whole one, `whole(x)`, or for the mean over all processes, `mean(x)`. With a process alone both give `x`.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from .numerics import wide

T = TypeVar("T")
Samples = TypeVar("Samples", Tensor, NDArray[Any])


class Parted(ConnectionError):
    """Another process has ended, so that this one cannot go on."""


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
            summed(together)
            parts = (together / self.size).split([x.numel() for x in several])
            for x, part in zip(several, parts, strict=True):
                x.copy_(part.view_as(x))

    def any(self, flag: bool) -> bool:
        """Whether any process says so; all get the same answer."""
        if self.size == 1:
            return flag
        votes = torch.tensor(int(flag))
        summed(votes)
        return bool(votes)

    def from_first(self, value: T) -> T:
        """What the first process has."""
        if self.size == 1:
            return value
        several = [value]
        dist.broadcast_object_list(several)
        return several[0]

    def together(self, make: Callable[[], T]) -> T:
        """What each process makes. A problem of one ends all: the first that has one raises it, the others end quietly.

        Nobody waits for a process that has gone, and nobody's end hurries the one that has something to say: the others
        end with status 0.
        """
        if self.size == 1:
            return make()
        made: list[T] = []
        problem: Exception | None = None
        try:
            made.append(make())
        except (ValueError, OSError) as error:
            problem = error
        broken: list[bool] = [False] * self.size
        dist.all_gather_object(broken, problem is not None)
        if not any(broken):
            return made[0]
        if problem is not None and broken.index(True) == self.rank:
            raise problem
        raise SystemExit(0)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Within, `whole` and `mean` are those of all processes."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)


ALONE = World()
_current: ContextVar[World] = ContextVar("world", default=ALONE)


def current() -> World:
    """The processes that train together now."""
    return _current.get()


def whole(x: Tensor) -> Tensor:
    """The shares of all processes one after the other, [size b, ...]; the gradient goes to whoever had a share."""
    world = current()
    if world.size == 1:
        return x
    shares = [torch.zeros_like(x)] * world.size
    shares[world.rank] = x
    return _sum(torch.cat(shares))


def mean(x: Tensor) -> Tensor:
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

    Messages go by NCCL between GPUs and by gloo between CPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def local_rank() -> int:
    """Which of the processes on this machine this is."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def summed(x: Tensor) -> None:
    """The sum over all processes, in place; raises Parted where one has ended."""
    try:
        dist.all_reduce(x)
    except RuntimeError as error:
        raise Parted("another process of the run has ended, or cannot be reached") from error


def _sum(x: Tensor) -> Tensor:
    """The sum over all processes in at least float32, with its gradient, of any order."""
    total: Tensor = _Sum.apply(wide(x) if x.is_floating_point() else x)
    return total.to(x.dtype)


class _Sum(torch.autograd.Function):
    """Sums x over processes; each is sensitive to what all make of the sum, so that gradients are summed too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.contiguous().clone()
        summed(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _sum(gradients[0])
