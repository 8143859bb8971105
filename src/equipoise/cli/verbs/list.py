"""The verb `list`: the components that a recipe can name."""

import inspect
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated

from rich.table import Table
from tyro.conf import Positional

from ... import (
    activations,
    augment,
    constraints,
    games,
    growth,
    instruments,
    losses,
    metrics,
    networks,
    norms,
    optimizers,
    penalties,
    presets,
    schedules,
)
from ...checks import check_choice
from ...data import toys
from ...metrics import features
from ...spec import first_line, kind, names, parameters
from ..command import Command, flag
from ..terminal import console, plain_table

MODULES = (
    games,
    losses,
    penalties,
    norms,
    constraints,
    augment,
    networks,
    activations,
    optimizers,
    schedules,
    growth,
    metrics,
    features,
    instruments,
    toys,
    presets,
)
KINDS = {kind(module): module for module in MODULES}


@dataclass(kw_only=True)
class List(Command):
    """List the components that a recipe can name, with their hyper-parameters.

    equipoise list
    equipoise list losses
    """

    kind: Annotated[Positional[str | None], flag(help="losses, penalties, norms, networks, presets...")] = None

    def run(self) -> int:
        """Prints one kind or all."""
        show(self.kind)
        return 0


def show(only: str | None) -> None:
    """The components of one kind or of all: name, first line of the description, hyper-parameters."""
    if only is not None:
        check_choice(only, list(KINDS), f"no kind of component is called {only!r}")
    for name, module in KINDS.items():
        if only in (None, name):
            console.print(name, style="bold")
            _print_presets() if module is presets else console.print(_component_table(module))


def _component_table(module: ModuleType) -> Table:
    table = plain_table("name", "what it is", "hyper-parameters")
    for name in names(module):
        factory = getattr(module, name)
        table.add_row(name, first_line(factory), parameters(factory))
    return table


def _print_presets() -> None:
    labelled = {False: "no labels", True: "needs labels", None: "labels where there are some"}
    for name in names(presets):
        factory, shown = getattr(presets, name), name.replace("_", "-")
        console.print(shown, style="bold")
        print(f"  {first_line(factory)}\n  {labelled[factory().labels]}; published: {published(factory)}")
        print(f"  equipoise train DATA --out runs/{shown} --preset {shown}")


def published(preset: object) -> str:
    """What a preset's documentation says of published figures, with their protocol."""
    paragraph = (inspect.getdoc(preset) or "").split("\n\n")[1]
    return " ".join(paragraph.removeprefix("Published: ").split())
