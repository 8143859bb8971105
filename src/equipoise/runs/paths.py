"""Paths in a recipe, made absolute: a run finds its data and the user's own files from everywhere."""

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..data import is_named
from ..recipe import Recipe
from ..spec import listed

COMPONENTS = (
    *("game", "network", "growth", "loss", "d_norm", "g_norm", "d_activation", "g_activation"),
    *("constraint", "augment", "optimizer", "features", "lr_g", "lr_d", "d_steps", "ema_images"),
)
TERMS = ("penalties", "g_penalties", "score", "instruments")
OWN_FILE = re.compile(r"^(.*\.py):")


def located(recipe: Recipe) -> Recipe:
    """The recipe with all paths absolute, of data and of the user's own files."""
    return replace(recipe, **absolute({field.name: getattr(recipe, field.name) for field in fields(recipe)}))


def absolute(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Those fields of a recipe that hold paths, with absolute ones."""
    whole = lambda path: str(Path(path).expanduser().resolve())
    own = lambda spec: OWN_FILE.sub(lambda match: whole(match[1]) + ":", spec)
    found: dict[str, Any] = {name: own(choices[name]) for name in COMPONENTS if isinstance(choices.get(name), str)}
    for name in TERMS:
        if words := choices.get(name):
            found[name] = tuple(map(own, listed((words,) if isinstance(words, str) else words)))
    if data := choices.get("data"):
        found["data"] = own(data) if is_named(data) else whole(data)
    if choices.get("start", "none") != "none":
        found["start"] = whole(choices["start"])
    return found


def check_own_files(recipe: Recipe, run: Path) -> None:
    """Raises ValueError where a recipe names code that may have come along with its run, which is never executed."""
    terms = (term for name in TERMS for term in getattr(recipe, name) or ())
    calls = (recipe.data, *(getattr(recipe, name) for name in COMPONENTS), *terms)
    for file in (Path(match[1]) for call in calls if (match := OWN_FILE.match(str(call)))):
        if not file.is_absolute() or file.resolve().is_relative_to(run.resolve()):
            raise ValueError(f"the recipe of {run} names {file}, and code in a run folder is not executed: move it")
