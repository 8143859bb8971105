"""Networks that are those of another run, where training starts."""

from dataclasses import fields
from typing import Any

import torch

from ..recipe import Networks, Recipe
from ..training import State
from .folder import RunFolder, load_checkpoint

READ_ALIKE = ("size", "channels", "range")  # what decides the shape of networks besides what says how they are built


def taken(recipe: Recipe) -> dict[str, Any]:
    """The fields that make the networks those of the run that training starts from, where the recipe is as usual."""
    if recipe.start == "none":
        return {}
    held = RunFolder(recipe.start).recipe()
    values = {name: getattr(held, name) for name in as_usual(recipe)}
    return {name: value for name, value in values.items() if value != getattr(recipe, name)}


def as_usual(recipe: Recipe) -> list[str]:
    """The fields that are taken from the run where training starts: those of networks that say nothing of their own."""
    names = [field.name for field in fields(Networks) if field.name not in ("start", "growth")] + [*READ_ALIKE]
    return [name for name in names if recipe.start != "none" and getattr(recipe, name) == getattr(Recipe(), name)]


def start_from(path: str, state: State) -> None:
    """Takes over networks and averages of the newest checkpoint of a run; raises ValueError where they do not fit."""
    saved = load_checkpoint(RunFolder(path).newest_checkpoint(), torch.device("cpu"))
    own = {name: state.nets[name].state_dict() for name in state.moved}
    if own.keys() != saved["nets"].keys() or state.averages.keys() != saved["averages"].keys():
        raise ValueError(f"the networks of {path} are {', '.join(saved['nets'])}, here they are {', '.join(own)}")
    for name, weights in own.items():
        if problem := misfit(weights, saved["nets"][name]):
            raise ValueError(f"{name} is not as in {path}: {problem}")
    state.start_from(saved)


def misfit(own: dict[str, Any], held: dict[str, Any]) -> str:
    """Why a network cannot have the weights that another one had, in words; nothing where it can."""
    if odd := sorted(own.keys() ^ held.keys()):
        return f"{odd[0]} is {'here' if odd[0] in own else 'there'} alone"
    for name, weight in own.items():
        if weight.shape != held[name].shape:
            return f"{name} is {list(held[name].shape)} there, {list(weight.shape)} here"
    return ""
