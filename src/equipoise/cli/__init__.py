"""The command line: one sub-command a verb."""

import inspect
import logging
import os
import sys
from collections.abc import Sequence

import torch
import tyro
from tyro import MISSING_NONPROP

from .. import __version__
from ..checks import check_choice
from ..spec import first_line
from .commands import Command, Evaluate, List, Report, Sample, Stats
from .study import Study
from .train import Train
from .tune import Tune

COMMANDS: dict[str, type[Command]] = {
    "train": Train,
    "sample": Sample,
    "evaluate": Evaluate,
    "stats": Stats,
    "report": Report,
    "study": Study,
    "tune": Tune,
    "list": List,
}

HELP = """usage: equipoise COMMAND ...

Train generative adversarial networks that stay stable.

{commands}

  equipoise train --out runs/first              the built-in images, a few minutes on two CPU cores
  equipoise train ring --out runs/ring          points whose distribution is known, less than a minute
  equipoise train photos/ --out runs/photos     a folder or zip of your own; the same command resumes
  equipoise sample runs/first --out grid.png    64 images from the trained generator
  equipoise report runs/first                   one page: samples, curves, scores, every choice
  equipoise study FILE.toml --out runs/study    methods side by side, with error bars
  equipoise tune photos/ --out runs/tuning      better settings for images of your own, and how sure that is

equipoise COMMAND --help says more; equipoise --version names the versions."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status: 0, 1 for a problem that is named in one line, 2 for a wrong flag."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"equipoise {__version__} (torch {torch.__version__})")
        return 0
    logging.basicConfig(format="equipoise: %(message)s")
    try:
        return parse(arguments).run()
    except BrokenPipeError:  # the reader, like `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, torch.OutOfMemoryError) as error:
        print(f"equipoise: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def help_text() -> str:
    """The page of help: every command with its first line, and examples."""
    lines = (f"  {name:9} {first_line(command)}" for name, command in COMMANDS.items())
    return HELP.format(commands="\n".join(lines))


def parse(arguments: list[str]) -> Command:
    """The command that was asked for; flags of `train` default to what its preset says."""
    verb, *flags = arguments
    check_choice(verb, list(COMMANDS), f"no command is called {verb!r}")
    command = COMMANDS[verb]
    return tyro.cli(
        command,
        prog=f"equipoise {verb}",
        description=described(command),
        args=flags,
        default=Train.like(preset_named(flags)) if command is Train else MISSING_NONPROP,
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
