"""From words to a command with its flags filled in, and to what it comes to."""

import inspect
import io
import logging
import os
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from importlib import import_module

import torch
import tyro
from tyro import MISSING_NONPROP

from ..checks import check_choice
from ..processes import BrokenElsewhere
from . import COMMANDS
from .command import Command

KINDS = {"INT": "a whole number", "FLOAT": "a number", "INT|FLOAT": "a number"}
NOT_A_NUMBER = {  # what tyro says, and of what kind it is where that does not say so
    r"no type matching (?P<kind>\S+) could be instantiated from \['(?P<given>.*)'\]": "",
    r"invalid literal for int\(\) with base 10: '(?P<given>.*)'": "INT",
    r"could not convert string to float: '(?P<given>.*)'": "FLOAT",
}


def run(arguments: Sequence[str]) -> int:
    """Runs the command that was asked for; a problem is named in one line."""
    logging.basicConfig(format="equipoise: %(message)s")
    try:
        return parse(arguments).run()
    except BrokenPipeError:  # the reader, like `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except BrokenElsewhere:  # that process says what is wrong; one that ended with an error would hurry it
        return 0
    except (ValueError, OSError, torch.OutOfMemoryError) as error:
        print(f"equipoise: {error}", file=sys.stderr)
        return 1


def parse(arguments: Sequence[str]) -> Command:
    """The command that was asked for; flags of `train` default to what its preset says."""
    verb, *flags = arguments
    check_choice(verb, [*COMMANDS], f"no command is called {verb!r}")
    command: type[Command] = getattr(import_module(f".verbs.{verb}", __package__), verb.capitalize())
    like = getattr(command, "like", None)
    usual, said = MISSING_NONPROP if like is None else like(preset_named(flags)), io.StringIO()
    try:
        with redirect_stderr(said):
            return tyro.cli(
                command,
                prog=f"equipoise {verb}",
                description=described(command),
                args=flags,
                default=usual,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone),
            )
    except SystemExit as end:
        if end.code:
            print(f"equipoise {verb}: {in_a_line(said.getvalue())}; see equipoise {verb} --help", file=sys.stderr)
        raise


def in_a_line(box: str) -> str:
    """What tyro says of a wrong flag, without its frame, in Unicode or ASCII, its help and Python's names of types."""
    unframed = (re.sub("[\u2500-\u257f]", " ", part) for part in re.split("[\u2500-]{9,}", box))
    _, problem, *rest = (" ".join(part.split()) for part in unframed)
    problem = problem.partition(" Got errors:")[0].removesuffix(".").replace(", 'None'", "")
    for pattern, kind in NOT_A_NUMBER.items():
        if match := re.fullmatch(f"Error parsing (?P<flag>.+?): {pattern}", problem):
            found = {"kind": kind} | match.groupdict()
            problem = f"{found['flag']} takes {KINDS.get(found['kind'], found['kind'])}, not '{found['given']}'"
    near = [word for part in rest if part.startswith("Perhaps") for word in part.split() if word.startswith("--")]
    meant = f" (did you mean {near[0].rstrip(',')}?)" if near else ""
    return problem[0].lower() + problem[1:] + meant


def described(command: type[Command]) -> str:
    """The documentation of a command, its examples indented so that each keeps its line."""
    return inspect.cleandoc(command.__doc__ or "").replace("\nequipoise", "\n  equipoise")


def preset_named(arguments: Sequence[str]) -> str:
    """The value of --preset, which decides the other defaults and so is needed before them."""
    for flag, value in zip(arguments, [*arguments[1:], "default"], strict=False):
        if flag == "--preset":
            return value
        if flag.startswith("--preset="):
            return flag.partition("=")[2]
    return "default"
