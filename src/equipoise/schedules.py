"""Schedules: numbers that change over time, functions of the images seen.

A schedule may stand wherever a number can change: learning rates, momenta, weights of penalties, the half-life of
averages, noise, augmentation, updates a round. `images=None` is the length of the run in a recipe; elsewhere it has to
be given.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from math import cos, pi
from typing import Any

from .checks import check_range

Number = int | float


@dataclass
class Length:
    """The images of a run: one object for all that lasts as long, so that a run of so many minutes can change them."""

    images: int

    def __deepcopy__(self, memo: dict[int, Any]) -> "Length":
        """The same, also for copies of what follows it."""
        return self


@dataclass(frozen=True)
class Schedule:
    """images seen -> number."""

    text: str
    """The call that makes it."""
    ends: tuple[Number, ...]
    """Its values lie between the smallest and the largest of these."""
    value: Callable[[Number], Number] = field(repr=False)

    def __call__(self, seen: Number) -> Number:
        """The number when so many images were seen."""
        return self.value(seen)

    def __str__(self) -> str:
        return self.text


def images_of(length: int | Length) -> int:
    """How many images a length is now."""
    return length.images if isinstance(length, Length) else length


Rate = Number | Callable[[int], Number]
"""A number, or a schedule of one: any function of the images seen."""


def at(rate: Rate, seen: int | None) -> Number:
    """The number that a rate is when so many images were seen.

    >>> at(0.5, None), at(linear(1.0, 0.0, images=100), 25)
    (0.5, 0.75)
    """
    if not callable(rate):
        return rate
    if seen is None:
        raise ValueError(f"{rate} follows the images seen, which are not known here: say Critic(D, seen=...)")
    return rate(seen)


def constant(value: Number = 1.0) -> Schedule:
    """v, always."""
    return Schedule(f"constant({value})", (value,), lambda seen: value)


def linear(start: Number = 1.0, end: Number = 0.0, images: int | Length | None = None, begin: int = 0) -> Schedule:
    """a + (b - a) t, t = clip((seen - begin) / images, 0, 1): from a to b in so many images."""
    return _between("linear", start, end, images, begin, lambda t: t)


def cosine(start: Number = 1.0, end: Number = 0.0, images: int | Length | None = None, begin: int = 0) -> Schedule:
    """a + (b - a) (1 - cos(pi t)) / 2, t = clip((seen - begin) / images, 0, 1) (Loshchilov 2017, arXiv:1608.03983).

    >>> round(cosine(2.0, 0.0, images=90)(30), 6)  # a third of the way: 1 + cos(60 degrees)
    1.5
    """
    return _between("cosine", start, end, images, begin, lambda t: (1 - cos(pi * t)) / 2)


def warmup(value: Number = 1.0, images: int = 10_000) -> Schedule:
    """v min(1, seen / images): from 0 to v in so many images, then v (Goyal 2017, arXiv:1706.02677)."""
    check_range(at_least=1, images=images)
    return Schedule(f"warmup({value}, {images})", (0.0, value), lambda seen: value * min(1.0, seen / images))


def decay(value: Number = 1.0, share: Number = 0.5, images: int | Length | None = None) -> Schedule:
    """v min(1, (images - seen) / (share images)): v, and in the last `share` of so many images linearly to 0.

    >>> [decay(1.0, share=0.5, images=100)(seen) for seen in (0, 50, 75, 100)]
    [1.0, 1.0, 0.5, 0.0]
    """
    check_range(at_least=0, at_most=1, share=share)
    check_range(at_least=1, images=images if isinstance(images, int) else 1)
    falls = lambda seen: min(1.0, max(0.0, 1 - seen / _number(images)) / share) if share else 1.0
    length = f", images={images}" if isinstance(images, int) else ""
    return Schedule(f"decay({value}, {share}{length})", (0.0, value), lambda seen: value * falls(seen))


def steps(values: tuple[Number, ...] = (1.0, 0.1), at: tuple[int, ...] = (1_000_000,)) -> Schedule:
    """v_k from the k-th of the given images on, v_0 before the first of them.

    >>> [steps((100, 5), at=(1600,))(seen) for seen in (0, 1599, 1600)]
    [100, 100, 5]
    """
    for image in at:
        check_range(at_least=0, at=image)
    if len(values) != len(at) + 1 or list(at) != sorted(at):
        raise ValueError(f"steps have one value more than images at which they change, in order: {values} and {at}")
    return Schedule(f"steps({values}, {at})", tuple(values), lambda seen: values[sum(seen >= image for image in at)])


def lasting(images: int | Length) -> dict[str, Callable[..., Schedule]]:
    """All schedules by name, for a run of so many images: what is to last as long as the run does."""
    makers: tuple[Callable[..., Schedule], ...] = (constant, linear, cosine, warmup, decay, steps)
    return {maker.__name__: partial(maker, images=images) if _lasts(maker) else maker for maker in makers}


def _lasts(maker: Callable[..., Schedule]) -> bool:
    """Whether it lasts as long as the run by default."""
    parameters = signature(maker).parameters
    return "images" in parameters and parameters["images"].default is None


def _between(
    name: str, start: Number, end: Number, images: int | Length | None, begin: int, way: Callable[[float], float]
) -> Schedule:
    check_range(at_least=1, images=images if isinstance(images, int) else 1)
    check_range(at_least=0, begin=begin)
    arguments: list[Any] = [start, end, *([f"images={images}"] if isinstance(images, int) else [])]
    text = f"{name}({', '.join(map(str, arguments))}{f', begin={begin}' * bool(begin)})"
    moved = lambda seen: way(min(1.0, max(0.0, (seen - begin) / _number(images))))
    return Schedule(text, (start, end), lambda seen: start + (end - start) * moved(seen))


def _number(images: int | Length | None) -> int:
    if images is None:
        raise ValueError("how long is this schedule? Say images=...; only a recipe knows the length of its run")
    return images_of(images)
