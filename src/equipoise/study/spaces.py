"""Ranges that a search draws from: calls that may stand wherever a value stands, inside other calls too."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import exp, floor
from math import log as ln
from typing import Any

import numpy as np

from ..checks import check_range
from ..spec import Call, parse

NAMES = ("log", "uniform", "whole", "one_of")
_CALL = re.compile(rf"""\b({"|".join(NAMES)})\((?:[^()'"]|'[^']*'|"[^"]*")*\)""")


def ranges_in(choices: Mapping[str, Any]) -> list[str]:
    """The ranges in fields of a recipe, in their order.

    >>> ranges_in({"lr_d": "log(1e-5, 1e-2)", "penalties": ["r1(weight=log(0.1, 100), every=one_of(1, 4))"]})
    ['log(1e-5, 1e-2)', 'log(0.1, 100)', 'one_of(1, 4)']
    """
    return [match[0] for text in _texts(choices.values()) for match in _CALL.finditer(text)]


def drawn(choices: Mapping[str, Any], draw: np.random.Generator) -> dict[str, Any]:
    """Those fields that have ranges, with a value drawn for each; ranges of one name are drawn at the same place.

    >>> same = {"lr_g": "log(1e-4, 1e-2, name='lr')", "lr_d": "log(4e-4, 4e-2, name='lr')"}
    >>> found = drawn(same, np.random.default_rng(0))
    >>> round(found["lr_d"] / found["lr_g"], 1)
    4.0
    """
    places: dict[str, float] = {}

    def place(call: Call) -> float:
        """Where in its range a value is, from 0 to 1."""
        name = call.keywords.get("name")
        return draw.uniform() if name is None else places.setdefault(name, draw.uniform())

    return {name: _filled(value, place) for name, value in choices.items() if ranges_in({name: value})}


Place = Callable[[Call], float]


def _texts(values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Sequence):
            yield from _texts(value)


def _filled(value: Any, place: Place) -> Any:
    if not isinstance(value, str):
        return [_filled(part, place) for part in value]
    if match := _CALL.fullmatch(value.strip()):
        return _value(parse(match[0]), place)
    return _CALL.sub(lambda match: repr(_value(parse(match[0]), place)), value)


def _value(call: Call, place: Place) -> Any:
    """log(a, b): a (b / a)^u; uniform(a, b): a + u (b - a); whole(a, b), both ends included; one_of(a, b, ...)."""
    several = call.name == "one_of"
    if {*call.keywords} - {"name"} or not call.positional or (not several and len(call.positional) != 2):
        given = ", ".join([*map(repr, call.positional), *(f"{k}={v!r}" for k, v in call.keywords.items())])
        rule = "log(a, b), uniform(a, b), whole(a, b), one_of(a, b, ...), each with a name='...' if it is to be shared"
        raise ValueError(f"{call.name}({given}) is no range; possible: {rule}")
    if unknown := [value.name for value in call.positional if isinstance(value, Call)]:
        raise ValueError(f"{call.name}: text stands in quotes: {unknown[0]!r}")
    u = place(call)
    if several:
        return call.positional[min(int(u * len(call.positional)), len(call.positional) - 1)]
    low, high = call.positional
    check_range(above=0 if call.name == "log" else -np.inf, low=low)
    check_range(above=low, high=high)
    if call.name == "whole":
        return min(floor(low) + int(u * (floor(high) - floor(low) + 1)), floor(high))
    return rounded(low + u * (high - low) if call.name == "uniform" else exp(ln(low) + u * (ln(high) - ln(low))))


def rounded(number: float) -> float:
    """Three significant digits, as people write hyper-parameters.

    >>> rounded(0.000123456)
    0.000123
    """
    return float(f"{number:.3g}")
