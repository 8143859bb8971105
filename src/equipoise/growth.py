"""Growth: which levels of a network are trained when, a function of the images seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil, floor, log
from typing import NamedTuple, TypeVar

from .checks import check_range
from .schedules import Length, Rate, at, images_of

Value = TypeVar("Value", int, float)


class Phase(NamedTuple):
    """A part of training: from which image to which, at images of which shorter side, and whether these fade in."""

    begin: int
    end: int
    side: int
    fading: bool

    @property
    def middle(self) -> int:
        """How many images were seen in the middle of it."""
        return (self.begin + self.end) // 2


@dataclass(frozen=True)
class Growth:
    """Networks hold at a level, then the next one fades in, and so on up to the last (`progressive` makes one).

    Levels are known by the shorter sides of their images, 4, 8, 16... A level is a real number: 2.3 is the third of
    them with 30 per cent of the fourth.
    """

    hold: int | None
    fade: int | None
    start: int
    share: float
    images: int | Length | None
    batch: Mapping[int, int] = field(default_factory=dict)
    lr: Mapping[int, float] = field(default_factory=dict)
    reset: bool = True

    def level(self, seen: int, sides: tuple[int, ...]) -> float:
        """The level when so many images were seen, of networks whose levels have these shorter sides."""
        first, (hold, fade) = self.first(sides), self.lengths(sides)
        done, rest = divmod(seen, hold + fade)
        part = max(0, rest - hold) / fade if fade else 0.0
        return float(min(first + done + part, len(sides) - 1))

    def first(self, sides: tuple[int, ...]) -> int:
        """The level that training starts with: the one nearest to `start`."""
        if self.start > sides[-1]:
            raise ValueError(f"growth starts at {self.start} pixels, but the images have {sides[-1]}: start=4")
        return min(range(len(sides)), key=lambda level: abs(log(sides[level] / self.start)))

    def lengths(self, sides: tuple[int, ...]) -> tuple[int, int]:
        """How many images a level is held for and how many the next one takes to fade in."""
        doublings = len(sides) - 1 - self.first(sides)
        images = None if self.images is None else images_of(self.images)
        if None in (self.hold, self.fade) and images is None:
            raise ValueError("how long are the phases of growth? Say hold=... and fade=...; a recipe knows its length")
        phases = max(1, doublings * ((self.hold is None) + (self.fade is None)))
        given = doublings * ((self.hold or 0) + (self.fade or 0))
        left = self.share * (images or 0) - given
        if None in (self.hold, self.fade) and doublings and left < phases:
            raise ValueError(
                f"phases that are left open have no time: growth takes {self.share:g} of {images:,} images, and "
                f"{given:,} are given to others: choose more --images, or a shorter hold or fade"
            )
        equal = max(1, floor(left / phases))
        return equal if self.hold is None else self.hold, equal if self.fade is None else self.fade

    def grown(self, sides: tuple[int, ...]) -> int:
        """After how many images the last level is reached."""
        return sum(self.lengths(sides)) * (len(sides) - 1 - self.first(sides))

    def can_last(self, images: int, seen: int, sides: tuple[int, ...]) -> bool:
        """Whether a run that has seen so many can have another length: no level is left again, and the last reached."""
        other = replace(self, images=images)
        try:
            return other.level(seen, sides) >= self.level(seen, sides) and other.grown(sides) <= images
        except ValueError:  # its phases would have no time
            return False

    def phases(self, sides: tuple[int, ...], images: int) -> list[Phase]:
        """All phases of a run of so many images."""
        (hold, fade), first = self.lengths(sides), self.first(sides)
        found = []
        for number, side in enumerate(sides[first:]):
            begin = number * (hold + fade)
            end = begin + hold if side < sides[-1] else max(begin, images)
            found += [Phase(begin - fade, begin, side, True)] * (number > 0) + [Phase(begin, end, side, False)]
        return [phase for phase in found if phase.begin < phase.end]

    def side(self, seen: int, sides: tuple[int, ...]) -> int:
        """The shorter side of the images that are shown."""
        return sides[ceil(self.level(seen, sides))]

    def batch_at(self, usual: int, sides: tuple[int, ...]) -> Rate:
        """The batch as a function of the images seen."""
        return lambda seen: _from(self.batch, self.side(seen, sides), usual)

    def lr_at(self, usual: Rate, sides: tuple[int, ...]) -> Rate:
        """A learning rate as a function of the images seen."""
        return lambda seen: at(usual, seen) * _from(self.lr, self.side(seen, sides), 1.0)


def progressive(
    hold: int | None = None,
    fade: int | None = None,
    start: int = 4,
    share: float = 0.8,
    batch: Mapping[int, int] | None = None,
    lr: Mapping[int, float] | None = None,
    reset: bool = True,
    images: int | Length | None = None,
) -> Growth:
    """Level l for `hold` images, then l + t, t from 0 to 1 in `fade` (Karras 2018, arXiv:1710.10196, Sec. 2).

    From images of a side of about `start` pixels up to their full size. A length that is None is such that all phases
    together take `share` of the run's `images`: of the 12 million of the authors' code at 1024x1024, 600,000 each.
    `batch={256: 14, 1024: 3}` is the batch from these shorter sides on, `lr={1024: 1.5}` a factor of the learning
    rates. With `reset` optimizers forget their moments whenever a fade begins or ends, as in the authors' code.

    >>> growth = progressive(hold=100, fade=100)
    >>> [growth.level(seen, sides=(4, 8, 16)) for seen in (0, 100, 150, 200, 350, 1000)]
    [0.0, 0.0, 0.5, 1.0, 1.5, 2.0]
    """
    check_range(at_least=1, start=start, images=images if isinstance(images, int) else 1)
    check_range(at_least=0, hold=hold or 0, fade=fade or 0)
    check_range(above=0, at_most=1, share=share)
    if hold == 0 and fade == 0:
        raise ValueError("a level that is neither held nor faded in is never trained: hold or fade must be at least 1")
    for name, values in (("batch", batch), ("lr", lr)):
        if not isinstance(values or {}, Mapping):
            raise ValueError(f"{name} says what holds from which shorter side on, {{256: 14, 1024: 3}}, not {values!r}")
        for side, value in (values or {}).items():
            check_range(at_least=1, **{f"a side of {name}": side})
            check_range(above=0, **{name: value})
    if any(type(count) is not int for count in (batch or {}).values()):
        raise ValueError(f"batches are whole numbers of images, not {batch}")
    return Growth(hold, fade, start, share, images, batch or {}, lr or {}, reset)


def _from(values: Mapping[int, Value], side: int, usual: Value) -> Value:
    """The value of the largest key that is at most the side."""
    reached = [key for key in values if key <= side]
    return values[max(reached)] if reached else usual
