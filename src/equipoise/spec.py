"""A component named in a string is a Python call.

`"r1(weight=5)"` is `penalties.r1(weight=5)`; `"mine.py:smooth(beta=4)"` calls `smooth` of the file mine.py. Strings are
parsed, never evaluated: only the named function is called, with literal arguments.
"""

import ast
import importlib.util
import sys
from functools import cache
from inspect import Parameter, signature
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from .checks import check_choice


def build(spec: str, module: ModuleType) -> Any:
    """Calls the factory that `spec` names, found in `module` or in the file that it gives.

    Raises ValueError for an unknown name (with the nearest one and all choices), a wrong hyper-parameter, or a string
    that is not of the form `name` or `name(key=value, ...)`.
    """
    path, _, call = spec.rpartition(":") if ".py:" in spec else ("", "", spec)
    name, arguments = parse(call)
    source = load_file(Path(path)) if path else module
    needy = bool(path) and callable(getattr(source, name, None))
    lack = (
        f"{Path(path).name if path else kind(module)} has no {name!r}" + " that can be called without arguments" * needy
    )
    check_choice(name, names(source), lack)
    factory = getattr(source, name)
    try:
        signature(factory).bind(**arguments)
    except TypeError as error:
        raise ValueError(f"{spec!r}: {error}; its hyper-parameters: {parameters(factory)}") from None
    try:
        return factory(**arguments)
    except (TypeError, AttributeError, RuntimeError) as error:  # a value of the wrong type
        raise ValueError(f"{spec!r}: {error}; its hyper-parameters: {parameters(factory)}") from error


def names(module: ModuleType) -> list[str]:
    """The components of a module: its own public functions that can be called without arguments.

    >>> from equipoise import losses
    >>> "hinge" in names(losses)
    True
    """
    return sorted(name for name, member in vars(module).items() if name[0] != "_" and _is_component(member, module))


def parameters(factory: FunctionType) -> str:
    """The hyper-parameters of a component with their defaults, as one would write them."""
    return ", ".join(f"{p.name}={p.default!r}" for p in signature(factory).parameters.values()) or "none"


def first_line(thing: object) -> str:
    """The first line of the documentation."""
    return (thing.__doc__ or "").splitlines()[0]


def kind(module: ModuleType) -> str:
    """The last part of a module's name: the kind of component that it holds."""
    return module.__name__.rpartition(".")[2]


def parse(call: str) -> tuple[str, dict[str, Any]]:
    """Splits a call into its name and its keyword arguments, which must be literals.

    >>> parse("r1(weight=5)")
    ('r1', {'weight': 5})
    """
    try:
        tree = ast.parse(call.strip(), mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, {}
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and not tree.args:
            return tree.func.id, {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords}
    except (SyntaxError, ValueError):
        pass
    raise ValueError(f"{call!r} is not of the form name or name(key=value, ...), with text in quotes: name(key='text')")


def _is_component(member: object, module: ModuleType) -> bool:
    if not isinstance(member, FunctionType) or not f"{member.__module__}.".startswith(f"{module.__name__}."):
        return False
    return all(p.default is not Parameter.empty for p in signature(member).parameters.values())


@cache
def load_file(path: Path) -> ModuleType:
    """Imports a Python file given by its path: how a user's own component enters."""
    name = f"equipoise_user_{path.stem}"  # its own namespace: a file may be called like a module
    info = importlib.util.spec_from_file_location(name, path) if path.is_file() else None
    if info is None or info.loader is None:
        raise ValueError(f"no such file: {path}")
    module = sys.modules[info.name] = importlib.util.module_from_spec(info)
    try:
        info.loader.exec_module(module)
    except Exception as error:  # whatever a user's own file may raise
        raise ValueError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module
