"""Ranges that a search draws from: calls that may stand wherever a value stands, inside other calls too."""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import exp, floor
from math import log as ln
from typing import Any

import numpy as np

from ..checks import check_range
from ..spec import Call, parse

NAMES = ("log", "uniform", "whole", "one_of")
_CALL = re.compile(rf"\b({'|'.join(NAMES)})\(([^()]*)\)")


def ranges_in(choices: Mapping[str, Any]) -> list[str]:
    """The ranges in fields of a recipe, in their order.

    >>> ranges_in({"lr_d": "log(1e-5, 1e-2)", "penalties": ["r1(weight=log(0.1, 100), every=one_of(1, 4))"]})
    ['log(1e-5, 1e-2)', 'log(0.1, 100)', 'one_of(1, 4)']
    """
    return [match[0] for text in _texts(choices.values()) for match in _CALL.finditer(text)]


def drawn(choices: Mapping[str, Any], draw: np.random.Generator) -> dict[str, Any]:
    """Those fields that have ranges, with a value drawn for each."""
    return {name: _filled(value, draw) for name, value in choices.items() if ranges_in({name: value})}


def _texts(values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Sequence):
            yield from _texts(value)


def _filled(value: Any, draw: np.random.Generator) -> Any:
    if not isinstance(value, str):
        return [_filled(part, draw) for part in value]
    if match := _CALL.fullmatch(value.strip()):
        return _value(parse(match[0]), draw)
    return _CALL.sub(lambda match: repr(_value(parse(match[0]), draw)), value)


def _value(call: Call, draw: np.random.Generator) -> Any:
    """log(a, b): exp of a uniform number; uniform(a, b); whole(a, b), both ends included; one_of(a, b, ...)."""
    if call.keywords or not call.positional or (call.name != "one_of" and len(call.positional) != 2):
        rule = "log(a, b), uniform(a, b), whole(a, b), one_of(a, b, ...)"
        raise ValueError(f"{call.name}{call.positional} is no range; possible: {rule}")
    if call.name == "one_of":
        return call.positional[int(draw.integers(len(call.positional)))]
    low, high = call.positional
    check_range(above=0 if call.name == "log" else -np.inf, low=low)
    check_range(above=low, high=high)
    if call.name == "whole":
        return int(draw.integers(floor(low), floor(high) + 1))
    if call.name == "uniform":
        return rounded(draw.uniform(low, high))
    return rounded(exp(draw.uniform(ln(low), ln(high))))


def rounded(number: float) -> float:
    """Three significant digits, as people write hyper-parameters.

    >>> rounded(0.000123456)
    0.000123
    """
    return float(f"{number:.3g}")
