"""The command line: one sub-command a verb, in `verbs`."""

import sys
from collections.abc import Sequence
from importlib.metadata import version

from .. import __version__

COMMANDS = ("train", "sample", "evaluate", "report", "study", "tune", "prepare", "stats", "list")

HELP = """usage: equipoise COMMAND ...

Train generative adversarial networks that stay stable.

  train      Train a GAN on images; the same command again resumes it.
  sample     Write images from a trained generator: a grid, an .npz of arrays, or a folder of single files.
  evaluate   Score a run's generator, or any set of images: values with their card, and 95 per cent intervals of most.
  report     Write report.html into the folder of a run or of a study: samples, curves, scores, every choice.
  study      Train every row of a study in every column with several seeds; the same command again resumes it.
  tune       Search for better settings on images of one's own, within a time; the same command again resumes it.
  prepare    Write images in the size of training into a .zip file, with their labels, so that every run begins at once.
  stats      Write the statistics of real images, mu and sigma of their features, for `evaluate --against`.
  list       List the components that a recipe can name, with their hyper-parameters.

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
        print(HELP)
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"equipoise {__version__} (torch {version('torch')})")
        return 0
    try:
        from .running import run  # torch is imported here and not before, which takes seconds

        return run(arguments)
    except KeyboardInterrupt:
        return 130
