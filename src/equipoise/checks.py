"""Checks of hyper-parameters, which say what was wrong and what is possible."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from math import inf, isfinite, isinf
from typing import Any


def check_range(
    *,
    at_least: int | float = -inf,
    above: int | float = -inf,
    at_most: int | float = inf,
    below: int | float = inf,
    **values: Any,
) -> None:
    """Raises ValueError for the first of the named values outside the range; nan and inf are outside every one.

    Of a schedule, the values that it goes to are checked.

    >>> check_range(at_least=0, below=1, momentum=0.9)
    """
    numbers = ((name, number) for name, value in values.items() for number in _numbers(value))
    for name, value in numbers:
        if not isinstance(value, int | float):
            raise ValueError(f"{name} must be a number, not {value!r}")
        if not (at_least <= value <= at_most and above < value < below):
            bounds = {"at least": at_least, "above": above, "at most": at_most, "below": below}
            rules = [f"{rule} {bound:g}" for rule, bound in bounds.items() if isfinite(bound)]
            rules += ["finite"] * (isinf(value) or not rules)
            raise ValueError(f"{name} must be {' and '.join(rules)}, not {value}")


def _numbers(value: Any) -> Iterable[Any]:
    return getattr(value, "ends", ()) if callable(value) else (value,)


def check_pieces(samples: int, pieces: int, what: str = "the batch") -> None:
    """Raises ValueError for samples that cannot be split into so many equal pieces."""
    if samples % pieces:
        raise ValueError(f"pieces must divide {what}: {samples} samples cannot be split into {pieces} equal pieces")


def check_choice(name: str, choices: list[str], problem: str) -> None:
    """Raises ValueError when `name` is not among `choices`: the problem, the nearest choice, all choices."""
    if name in choices:
        return
    near = get_close_matches(name, choices, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(f"{problem}{hint}; choices: {', '.join(choices)}")


def check_choices(names: str | Sequence[str], choices: Iterable[str], parameter: str) -> list[str]:
    """One name or several, each of which must be one of `choices`.

    >>> check_choices("color", ["color", "cutout"], "policy")
    ['color']
    """
    several = [names] if isinstance(names, str) else [*names]
    for name in several:
        check_choice(name, [*choices], f"{parameter} has no {name!r}")
    return several
