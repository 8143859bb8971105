"""The commands that can follow on a run folder."""

import shlex
from collections.abc import Mapping
from typing import Any

from .. import presets
from .record import Record


def commands(record: Record) -> list[tuple[str, str]]:
    """What can be done next, and the command for it."""
    run = shlex.quote(str(record.path))
    resume = [] if record.finished else [("Resume training", f"equipoise train {typed(record)}--out {run}")]
    return [
        *resume,
        ("Make images", f"equipoise sample {run}{' --input photos/ --out translated/' * record.translates}"),
        ("Score it against the data", f"equipoise evaluate {run}"),
        ("Write this page again", f"equipoise report {run}"),
    ]


def given(record: Record) -> dict[str, Any]:
    """The fields of the recipe that differ from what `train` starts with and would not be chosen again."""
    usual, chosen = presets.default().to_json(), record.context.get("chosen", {})
    again = {name for name in chosen if usual.get(name) is None}
    return {name: value for name, value in record.recipe.items() if name not in again and value != usual.get(name)}


def typed(record: Record) -> str:
    """Those fields as flags of `train`, with the data."""
    fields = given(record)
    data = [str(fields.pop("data"))] if "data" in fields else []
    return "".join(f"{shlex.quote(word)} " for word in [*data, *as_flags(fields)])


def as_flags(choices: Mapping[str, Any]) -> list[str]:
    """Fields and their values as words of `equipoise train`.

    >>> as_flags({"range": "-3:5", "mirror": False, "penalties": ["r1(weight=3.0)", "lecam"], "score": ()})
    ['--range=-3:5', '--no-mirror', '--penalties', 'r1(weight=3.0)', 'lecam', '--score', 'none']
    """
    words: list[str] = []
    for name, value in choices.items():
        several = value if isinstance(value, list | tuple) else [value]
        flag, parts = name.replace("_", "-"), [str(part) for part in several] or ["none"]
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif len(parts) == 1 and parts[0].startswith("-"):
            words.append(f"--{flag}={parts[0]}")
        else:
            words += [f"--{flag}", *parts]
    return words
