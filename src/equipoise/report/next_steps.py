"""The commands that can follow on a run folder."""

import shlex
from typing import Any

from .. import presets
from ..recipe import as_flags
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
