"""From words to a command with its flags filled in, and to what it comes to."""

import inspect
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import torch
import tyro
from tyro import MISSING_NONPROP

from ..checks import check_choice
from ..processes import BrokenElsewhere
from . import COMMANDS
from .command import Command


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
    return tyro.cli(
        command,
        prog=f"equipoise {verb}",
        description=described(command),
        args=flags,
        default=MISSING_NONPROP if like is None else like(preset_named(flags)),
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone),
    )


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
