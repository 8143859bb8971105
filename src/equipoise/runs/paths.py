"""Paths in a recipe, made absolute: a run finds its data and the user's own files from everywhere."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data import is_toy
from ..recipe import Recipe
from ..spec import listed

COMPONENTS = (
    *("game", "network", "growth", "loss", "d_norm", "g_norm", "d_activation", "g_activation"),
    *("constraint", "augment", "optimizer", "features"),
)
TERMS = ("penalties", "g_penalties", "score", "instruments")
OWN_FILE = re.compile(r"^(.*\.py):")


def located(recipe: Recipe) -> Recipe:
    """The recipe with all paths absolute, of data and of the user's own files."""
    absolute = lambda path: str(Path(path).expanduser().resolve())
    own = lambda spec: OWN_FILE.sub(lambda match: absolute(match[1]) + ":", spec)
    changes: dict[str, Any] = {name: own(getattr(recipe, name)) for name in COMPONENTS if getattr(recipe, name)}
    changes |= {name: tuple(map(own, listed(getattr(recipe, name)))) for name in TERMS if getattr(recipe, name)}
    as_is = recipe.data == "builtin" or is_toy(recipe.data)
    changes["data"] = own(recipe.data) if as_is else absolute(recipe.data)
    return replace(recipe, **changes)
