"""A component named in a string is a Python call.

`"r1(weight=5)"` is `penalties.r1(weight=5)`; `"mine.py:smooth(beta=4)"` calls `smooth` of the file mine.py. Strings are
parsed, never evaluated: only the named function is called, with literal arguments.
"""

import ast
import importlib.util
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from inspect import Parameter, signature
from itertools import chain, count
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from .checks import check_choice


class Call(NamedTuple):
    """A name with its arguments, which are literals or calls themselves."""

    name: str
    positional: tuple[Any, ...]
    keywords: dict[str, Any]


def build(spec: str, module: ModuleType, also: Mapping[str, Callable[..., Any]] | None = None, **given: Any) -> Any:
    """Calls the factory that `spec` names, found in `module` or in the file that it gives.

    Arguments may be calls: "r1(weight=cosine(2, 0.2))", "auxiliary_classifier(loss=hinge)"; their names are found where
    the factory's is, in `module`, and in `also`. `given` are arguments for what the string leaves out.

    Raises ValueError for an unknown name (with the nearest one and all choices), a wrong hyper-parameter, or a string
    that is not of the form `name` or `name(key=value, ...)`.
    """
    call, source = parse(spec.rpartition(".py:")[2]), home(spec, module)
    inside = {name: getattr(where, name) for where in (module, source) for name in names(where)} | dict(also or {})
    factory = inside.get(call.name) if call.name in names(source) else None
    return _call(spec, factory or find(spec, module), call._replace(keywords=given | call.keywords), inside)


def find(spec: str, module: ModuleType) -> Callable[..., Any]:
    """The factory that `spec` names, found in `module` or in the file that it gives."""
    name, source = name_of(spec), home(spec, module)
    needy = source is not module and callable(getattr(source, name, None))
    lack = f"{kind(module) if source is module else Path(str(source.__file__)).name} has no {name!r}"
    check_choice(name, names(source), lack + " that can be called without arguments" * needy)
    return getattr(source, name)


def home(spec: str, module: ModuleType) -> ModuleType:
    """The user's own file where `spec` gives one, else the module."""
    path, dot, _ = spec.rpartition(".py:")
    return load_file(Path(path + ".py")) if dot else module


def _call(spec: str, factory: Callable[..., Any], call: Call, inside: Mapping[str, Callable[..., Any]]) -> Any:
    """Calls the factory, after the calls among its arguments."""

    def value(argument: Any) -> Any:
        if isinstance(argument, list | tuple) and not isinstance(argument, Call):
            return type(argument)(map(value, argument))
        if not isinstance(argument, Call):
            return argument
        lack = f"{spec!r}: there is no {argument.name!r} to call, and text stands in quotes: {argument.name!r}"
        check_choice(argument.name, sorted(inside), lack)
        return _call(spec, inside[argument.name], argument, inside)

    positional, keywords = map(value, call.positional), {name: value(part) for name, part in call.keywords.items()}
    try:
        bound = signature(factory).bind(*positional, **keywords)
    except TypeError as error:
        raise ValueError(f"{spec!r}: {error}; its hyper-parameters: {parameters(factory)}") from None
    for name, given in bound.arguments.items():
        if signature(factory).parameters[name].annotation is int and type(given) is not int:
            raise ValueError(f"{spec!r}: {name} must be a whole number, not {given!r}")
    try:
        return factory(*bound.args, **bound.kwargs)
    except (TypeError, AttributeError, RuntimeError) as error:  # a value of the wrong type
        raise ValueError(f"{spec!r}: {error}; its hyper-parameters: {parameters(factory)}") from error


def name_of(spec: str) -> str:
    """The name in a call.

    >>> name_of("kid(subsets=50)"), name_of("mine.py:score")
    ('kid', 'score')
    """
    return parse(spec.rpartition(".py:")[2]).name


def several(text: str) -> list[str]:
    """The calls in a list of them; a comma within brackets belongs to its call.

    >>> several("fid, kid(subsets=50, size=100),mine.py:score")
    ['fid', 'kid(subsets=50, size=100)', 'mine.py:score']
    """
    calls: list[str] = []
    call = ""
    for piece in text.split(","):
        call = f"{call},{piece}" if call else piece
        if call.count("(") == call.count(")"):
            calls, call = [*calls, call], ""
    return [call.strip() for call in [*calls, call] if call.strip()]


def listed(words: Sequence[str]) -> tuple[str, ...]:
    """The calls in words, each of which may hold several: "fd,kid"."""
    return tuple(call for word in words for call in several(word))


def names(module: ModuleType) -> list[str]:
    """The components of a module: its own public functions that can be called without arguments.

    >>> from equipoise import losses
    >>> "hinge" in names(losses)
    True
    """
    return sorted(name for name, member in vars(module).items() if name[0] != "_" and _is_component(member, module))


def parameters(factory: Callable[..., Any]) -> str:
    """The hyper-parameters of a component with their defaults, as one would write them."""
    return ", ".join(f"{p.name}={p.default!r}" for p in signature(factory).parameters.values()) or "none"


def first_line(thing: object) -> str:
    """The first line of the documentation."""
    return (thing.__doc__ or "").splitlines()[0]


def kind(module: ModuleType) -> str:
    """The last part of a module's name: the kind of component that it holds."""
    return module.__name__.rpartition(".")[2]


def named(components: Iterable[object], taken: Iterable[str] = ()) -> dict[str, Any]:
    """Components by the names of what made them; where a name is taken it gets a number.

    >>> from equipoise import penalties
    >>> [*named([penalties.r1(), penalties.r1(every=16), penalties.lecam()])]
    ['r1', 'r1_2', 'lecam']
    """
    result: dict[str, Any] = {}
    used = {*taken}
    for component in components:
        name = _name_of(component)
        numbered = (f"{name}_{number}" for number in count(2))
        chosen = next(candidate for candidate in chain([name], numbered) if candidate not in used)
        result[chosen] = component
        used.add(chosen)
    return result


def _name_of(component: object) -> str:
    """The name of the function that made it; of a module that of its class."""
    made_by = str(getattr(component, "__qualname__", "")).partition(".")[0].lstrip("_")
    name = made_by or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(component).__name__).lower()
    return name if name.isidentifier() else "term"


def parse(call: str) -> Call:
    """Splits a call into its name and its arguments.

    >>> parse("r1(weight=5)").keywords
    {'weight': 5}
    """
    try:
        with warnings.catch_warnings(action="ignore", category=SyntaxWarning):  # of odd strings, which are refused
            return _read_call(ast.parse(call.strip(), mode="eval").body)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        raise ValueError(
            f"{call!r} is not of the form name or name(key=value, ...), with text in quotes: name(key='text')"
        ) from None


def written(call: Call) -> str:
    """The text of a call, which `parse` reads.

    >>> written(parse("r1( weight = cosine(2, 0.2),every=4)"))
    'r1(weight=cosine(2, 0.2), every=4)'
    """
    keywords = [f"{name}={_written_value(value)}" for name, value in call.keywords.items()]
    arguments = ", ".join([*map(_written_value, call.positional), *keywords])
    return f"{call.name}({arguments})" if arguments else call.name


def call_of(factory: Callable[..., Any], **given: Any) -> str:
    """The text of a call without the arguments that are as usual.

    >>> from equipoise.data.toys import ring
    >>> call_of(ring, count=25, radius=2.0)
    'ring(count=25)'
    """
    usual = signature(factory).parameters
    changed = {name: value for name, value in given.items() if value != usual[name].default}
    return written(Call(factory.__name__, (), changed))


def _written_value(value: Any) -> str:
    if isinstance(value, Call):
        return written(value)
    if isinstance(value, list | tuple):
        parts = ", ".join(map(_written_value, value))
        return f"[{parts}]" if isinstance(value, list) else f"({parts}{',' * (len(value) == 1)})"
    return repr(value)


def _read_call(tree: ast.expr) -> Call:
    if isinstance(tree, ast.Name):
        return Call(tree.id, (), {})
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        raise ValueError("neither a name nor a call")
    keywords = {str(keyword.arg): _read_value(keyword.value) for keyword in tree.keywords}
    return Call(tree.func.id, tuple(map(_read_value, tree.args)), keywords)


def _read_value(tree: ast.expr) -> Any:
    if isinstance(tree, ast.Name | ast.Call):
        return _read_call(tree)
    if isinstance(tree, ast.List | ast.Tuple):
        return (list if isinstance(tree, ast.List) else tuple)(map(_read_value, tree.elts))
    return ast.literal_eval(tree)


def _is_component(member: object, module: ModuleType) -> bool:
    if not isinstance(member, FunctionType) or not f"{member.__module__}.".startswith(f"{module.__name__}."):
        return False
    return _needs_no_arguments(member)


@cache
def _needs_no_arguments(function: FunctionType) -> bool:
    """Whether it can be called without any; asked again and again, as every string is read against all names."""
    return all(p.default is not Parameter.empty for p in signature(function).parameters.values())


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
