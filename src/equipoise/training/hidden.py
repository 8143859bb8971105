"""State that no checkpoint would keep: in closures, global variables and attributes of a player's parts."""

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn

from ..penalties.lazy import Remembering
from .player import Player, Players
from .state import State


def check_kept(state: State, players: Players) -> None:
    """Raises ValueError for state that checkpoints would miss, also in closures and global variables of functions.

    A module in eval mode without trained weights does not change and need not be kept.
    """
    kept = {*state.nets.modules(), *state.averages.modules(), *state.components.modules()}
    for name, player in players.items():
        for module in modules_in(player):
            changes = module.training or any(weight.requires_grad for weight in module.parameters())
            if module not in kept and changes and (module.state_dict() or isinstance(module, Remembering)):
                raise ValueError(
                    f"{type(module).__name__} has a state that checkpoints would miss: hand it to the player {name!r}, "
                    f"Player(..., components=(...,)), or freeze it if it never changes: eval(), requires_grad_(False)"
                )
    for name, net in state.nets.items():
        if name not in state.moved and net.training and [*net.buffers()]:
            raise ValueError(f"no player moves {name!r}, so that no checkpoint keeps its buffers: put it in eval mode")


def modules_in(player: Player) -> Iterator[nn.Module]:
    """All modules that a player's parts hold."""
    return (thing for thing in held_by(player) if isinstance(thing, nn.Module))


def plain_values(players: Players) -> dict[str, list[Any]]:
    """All numbers, texts and tensors outside of modules that each player's parts hold, so that changes can be seen."""
    return {name: [value_of(thing) for thing in held_by(player)] for name, player in players.items()}


def value_of(thing: object) -> object:
    """What tells whether a thing has changed."""
    if isinstance(thing, Tensor):
        return id(thing), thing._version
    return thing if isinstance(thing, bool | int | float | complex | str | bytes) else type(thing)


def held_by(player: Player) -> Iterator[object]:
    """What a player's parts hold in closures, global variables, attributes and containers; of modules, functions."""
    visited: dict[int, object] = {}
    waiting: list[object] = [player.objective, player.after, player.components]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, bool | int | float | complex | str | bytes):
            yield thing
        elif id(thing) not in visited and not isinstance(thing, type | ModuleType):
            visited[id(thing)] = thing  # kept, so that no other thing gets its id
            yield thing
            waiting += parts_of(thing)


def parts_of(thing: object) -> Iterable[object]:
    """What an object holds."""
    if isinstance(thing, FunctionType):
        cells = [cell.cell_contents for cell in thing.__closure__ or () if cell_is_full(cell)]
        return [*cells, thing.__defaults__, thing.__kwdefaults__, *globals_of(thing)]
    if isinstance(thing, MethodType):
        return thing.__self__, thing.__func__
    if isinstance(thing, partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, dict):
        return thing.values()
    if isinstance(thing, list | tuple | set | deque):
        return thing
    if isinstance(thing, Tensor):
        return ()
    slots = [getattr(thing, name, None) for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    attributes = [*getattr(thing, "__dict__", {}).values(), *slots]
    functions = (FunctionType, MethodType, partial)
    return [part for part in attributes if isinstance(part, functions) or not isinstance(thing, nn.Module)]


def globals_of(function: FunctionType) -> list[object]:
    """The global variables that a function names; of functions those of the same file."""
    named = {name for code in codes_in(function.__code__) for name in code.co_names}
    values = [function.__globals__[name] for name in sorted(named) if name in function.__globals__]
    elsewhere = lambda value: isinstance(value, FunctionType) and value.__module__ != function.__module__
    return [value for value in values if not elsewhere(value)]


def codes_in(code: CodeType) -> Iterator[CodeType]:
    """The code of a function and of those that are written in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_in(constant)


def cell_is_full(cell: CellType) -> bool:
    """Whether a variable of a closure has a value yet."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
