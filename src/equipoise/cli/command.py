"""What verbs have in common: each is what its flags fill in, and `run` returns the exit status."""

from abc import ABC, abstractmethod
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import tyro
from tyro.conf import Positional

from ..processes import local_rank, processes

flag = partial(
    tyro.conf.arg, help_behavior_hint=lambda default: f"(default: {default})" * (default not in ("None", ""))
)
"""What is said of a flag; its default, unless that is nothing."""
Run = Annotated[Positional[Path], flag(help="folder of a run")]
Device = Annotated[str, flag(help="auto, cpu, cuda or cuda:1")]
Checkpoint = Annotated[str, flag(help="latest, best (by score), or a file")]
Raw = Annotated[bool, flag(help="the generator that is trained instead of the EMA generator")]


class Command(ABC):
    """One verb with its flags filled in."""

    @abstractmethod
    def run(self) -> int:
        """Does it; the exit status."""


def chosen_device(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one, of several processes each has its own."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.partition(":")[0] not in ("cpu", "cuda") or (name != "cpu" and not torch.cuda.is_available()):
        raise ValueError(f"no device {name!r} here; possible: auto, cpu" + ", cuda" * torch.cuda.is_available())
    return torch.device(f"cuda:{local_rank()}" if name == "cuda" and processes() > 1 else name)
