"""The command line: one sub-command a verb."""

import sys
from collections.abc import Sequence
from typing import Annotated, Union

import torch
import tyro

from .. import __version__, presets
from ..spec import build
from .commands import Evaluate, List, Report, Sample, Train

DESCRIPTION = """Train generative adversarial networks that stay stable.

  equipoise train --out runs/first              the built-in images, a few minutes on two CPU cores
  equipoise train photos/ --out runs/photos     a folder or zip of your own; the same command goes on
  equipoise sample runs/first --out grid.png    64 images from the trained generator
  equipoise report runs/first                   one page: samples, curves, scores, every choice"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status: 0, 1 for a problem that is named in one line, 2 for wrong usage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in (["--version"], ["-V"]):
        print(f"equipoise {__version__} (torch {torch.__version__})")
        return 0
    try:
        return parse(arguments).run()
    except (ValueError, OSError, torch.OutOfMemoryError) as error:
        print(f"equipoise: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parse(arguments: list[str]) -> Train | Sample | Evaluate | Report | List:
    """The command that was asked for; flags of `train` default to what its preset says."""
    name = preset_named(arguments)
    start = Train(recipe=build(name.replace("-", "_"), presets), preset=name)
    train = Annotated[Train, tyro.conf.subcommand("train", default=start)]
    others = (Annotated[c, tyro.conf.subcommand(c.__name__.lower())] for c in (Sample, Evaluate, Report, List))
    command: Train | Sample | Evaluate | Report | List = tyro.cli(
        Union[train, *others],  # type: ignore[arg-type]  # noqa: UP007
        prog="equipoise",
        description=DESCRIPTION,
        args=arguments or ["--help"],
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
    )
    return command


def preset_named(arguments: Sequence[str]) -> str:
    """The value of --preset, which decides the other defaults and so is needed before them."""
    for flag, value in zip(arguments, [*arguments[1:], ""], strict=True):
        if flag == "--preset":
            return value
        if flag.startswith("--preset="):
            return flag.partition("=")[2]
    return "default"
