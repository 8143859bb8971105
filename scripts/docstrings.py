"""Docstrings and signatures as Markdown.

A docstring is text with `code` in it, with lists whose lines begin with "* " and examples that begin with ">>> "; its
first line is the formula with its source.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

WIDE = 88
SPECIAL = re.compile(r"([\\*_\[\]<>#$|~])")
ARXIV = re.compile(r"\b(?:arXiv:)?(\d{4}\.\d{4,5})\b")


def signature(name: str, thing: Any) -> str:
    """How a thing is called, with the annotations that its source has, as a block of code."""
    arguments, returns = _parameters(thing)
    call, end = f"{name}({', '.join(arguments)})", f" -> {returns}" if returns else ""
    if len(call + end) > WIDE:
        call = "\n".join([f"{name}(", *(f"    {argument}," for argument in arguments), ")"])
    return f"```python\n{call}{end}\n```\n"


def documentation(thing: Any) -> str:
    """A docstring: its formula, the rest, its examples."""
    return "{.formula}\n" + prose(inspect.cleandoc(thing.__doc__ or ""))


def prose(words: str) -> str:
    """Paragraphs, lists, examples and commands."""
    return "\n\n".join(map(_part, words.split("\n\n"))) + "\n"


def first_line(thing: Any) -> str:
    """The first line of a docstring."""
    return text(inspect.cleandoc(thing.__doc__ or "").splitlines()[0])


def text(words: str) -> str:
    """Text in one line, in which nothing but `code` means anything; papers are links.

    >>> text("w |x|^2, see `a*b` (Mescheder 2018, arXiv:1801.04406)")
    'w \\\\|x\\\\|^2, see `a*b` (Mescheder 2018, [arXiv:1801.04406](https://arxiv.org/abs/1801.04406))'
    """
    pieces = re.split(r"(`[^`]+`)", " ".join(words.split()))
    return "".join(piece if piece.startswith("`") else _linked(SPECIAL.sub(r"\\\1", piece)) for piece in pieces)


def _linked(words: str) -> str:
    return ARXIV.sub(lambda paper: f"[{paper[0]}](https://arxiv.org/abs/{paper[1]})", words)


def _part(paragraph: str) -> str:
    if paragraph.startswith(">>> "):
        return f"```pycon\n{paragraph}\n```"
    if re.search(r"^\* ", paragraph, re.MULTILINE):
        before, *entries = re.split(r"^\* ", paragraph, flags=re.MULTILINE)
        listed = "\n".join(f"* {text(entry)}" for entry in entries)
        return f"{text(before)}\n\n{listed}" if before else listed
    if paragraph.startswith("    "):
        return f"```sh\n{textwrap.dedent(paragraph)}\n```"
    return text(paragraph)


def _parameters(thing: Any) -> tuple[list[str], str]:
    """The parameters as the source has them, and what is returned."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    if isinstance(tree, ast.ClassDef):
        made = next((part for part in tree.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"), None)
        return ([*_arguments(made.args)], "") if made else ([*_fields(tree)], "")
    assert isinstance(tree, ast.FunctionDef)
    return [*_arguments(tree.args)], ast.unparse(tree.returns) if tree.returns else ""


def _arguments(given: ast.arguments) -> Iterator[str]:
    plain = [*given.posonlyargs, *given.args]
    defaults = [*[None] * (len(plain) - len(given.defaults)), *given.defaults]
    for at, (argument, default) in enumerate(zip(plain, defaults, strict=True)):
        if at or argument.arg not in ("self", "cls"):
            yield _argument(argument, default)
    if given.vararg:
        yield f"*{_argument(given.vararg, None)}"
    elif given.kwonlyargs:
        yield "*"
    for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield _argument(argument, default)
    if given.kwarg:
        yield f"**{_argument(given.kwarg, None)}"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    annotated = ast.unparse(argument)
    if default is None:
        return annotated
    return f"{annotated} = {ast.unparse(default)}" if argument.annotation else f"{annotated}={ast.unparse(default)}"


def _fields(tree: ast.ClassDef) -> Iterator[str]:
    """The fields of a data class or a named tuple."""
    for part in tree.body:
        if isinstance(part, ast.AnnAssign):
            default = _default(part.value)
            yield f"{ast.unparse(part.target)}: {ast.unparse(part.annotation)}{f' = {default}' if default else ''}"


def _default(value: ast.expr | None) -> str:
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        made = {keyword.arg: ast.unparse(keyword.value) for keyword in value.keywords}
        return made.get("default") or (f"{made['default_factory']}()" if "default_factory" in made else "")
    return ast.unparse(value) if value else ""
