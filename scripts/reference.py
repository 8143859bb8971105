"""The reference as pages of Markdown, made from the package itself: every component, every part, every command."""

import inspect
import io
import os
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from dataclasses import asdict
from types import ModuleType
from typing import Any
from unittest import mock

from docstrings import documentation, first_line, prose, signature

from equipoise import (
    activations,
    cli,
    critic,
    games,
    growth,
    instruments,
    layers,
    losses,
    metrics,
    networks,
    norms,
    penalties,
    presets,
    schedules,
    spec,
    study,
    training,
)
from equipoise.cli.verbs.list import MODULES
from equipoise.networks import growing
from equipoise.report.tables import plain

FLAGS = {
    "games": "--game {}",
    "losses": "--loss {}",
    "penalties": "--penalties {}",
    "norms": "--d-norm {}",
    "constraints": "--constraint {}",
    "augment": "--augment {}",
    "networks": "--network {}",
    "activations": "--d-activation {}",
    "optimizers": "--optimizer {}",
    "schedules": '--penalties "r1(weight={})"',
    "growth": "--preset pggan --growth {}",
    "metrics": "--score {}",
    "features": "--features {}",
    "instruments": "--instruments {}",
    "presets": "--preset {}",
    "toys": "",
}
"""How a component of each kind is named on the command line."""
NEEDED = {
    ("games", "cycle"): "--preset cyclegan ",
    ("games", "paired"): "--preset pix2pix ",
    ("games", "pyramid"): "--preset lapgan ",
    ("losses", "auxiliary_classifier"): "--labels --d-condition auxiliary ",
    ("losses", "multi_hinge"): "--labels --d-condition auxiliary ",
    ("losses", "boundary_equilibrium"): "--preset began ",
    **dict.fromkeys((("losses", name) for name in ("energy", "pretrained")), "--preset ebgan "),
    ("penalties", "consistency_term"): "--preset ct-gan ",
    ("penalties", "pulling_away"): "--preset ebgan ",
    ("networks", "began"): "--preset began ",
    ("networks", "ebgan"): "--preset ebgan ",
    ("networks", "dcgan"): "--preset dcgan ",
    ("networks", "infogan"): "--preset infogan-study ",
    **dict.fromkeys((("networks", name) for name in ("cyclegan", "growing_cyclegan")), "--preset cyclegan "),
    ("networks", "pix2pix"): "--preset pix2pix ",
    ("networks", "lapgan"): "--preset lapgan ",
    ("instruments", "sigma_error"): "--d-norm spectral ",
    ("metrics", "fid"): "--features inception ",
    **dict.fromkeys((("metrics", name) for name in ("cas", "classifier_scores", "intra_fd")), "--labels "),
}
"""What a component cannot do without, on the command line."""
FOR_G = ("pulling_away", "path_length")
PARTS = (
    (training, "State steps Player Turn Precision World seeded"),
    (critic, "Critic"),
    (losses, "Loss CriticLoss"),
    (penalties, "gradient"),
    (games, "adaptive_weight ImageBuffer"),
    (norms, "apply remove accelerated"),
    (activations, "apply"),
    (schedules, "Schedule"),
    (networks, "ImageShape"),
    (growing, "GrowingDecoder GrowingEncoder"),
    (growth, "Growth"),
    (metrics, "evaluate SetMetric to_uint8"),
    (instruments, "Instrument undisturbed"),
    (study, "Study Search read begin begun carry_out"),
    (spec, "build names"),
)
"""What loops of one's own are made of."""


def pages() -> dict[str, str]:
    """All pages of the reference by the names of their files, in the order of reading."""
    kinds = {f"{spec.kind(module)}.md": kind_page(module) for module in MODULES}
    return {"commands.md": commands(), **kinds, "layers.md": of_layers(), "python.md": of_parts()}


def index() -> str:
    """What there is, with the names of all components."""
    rows = [f"| [{spec.kind(m)}]({spec.kind(m)}.md) | {', '.join(links(m))} |" for m in MODULES]
    rows += [f"| [layers](layers.md) | {', '.join(f'[{name}](layers.md#{name.lower()})' for name in layer_names())} |"]
    rows += [f"| [command line](commands.md) | {', '.join(f'[{name}](commands.md#{name})' for name in cli.COMMANDS)} |"]
    rows += ["| [parts of loops](python.md) | " + ", ".join(f"`{module.__name__}`" for module, _ in PARTS) + " |"]
    return "\n".join(["| kind | members |", "|---|---|", *rows, ""])


def links(module: ModuleType) -> Iterator[str]:
    """A link to every component of a kind."""
    return (f"[{name}]({spec.kind(module)}.md#{name})" for name in spec.names(module))


def kind_page(module: ModuleType) -> str:
    """Every component of a kind."""
    kind = spec.kind(module)
    parts = [component(kind, name, getattr(module, name)) for name in spec.names(module)]
    return "\n".join([f"# {kind.capitalize()}\n", prose(inspect.cleandoc(module.__doc__ or "")), *parts])


def component(kind: str, name: str, factory: Any) -> str:
    """A component: how it is called, its formula, what else it says, its examples."""
    parts = [f"## {name}\n", signature(f"{kind}.{name}", factory), documentation(factory), in_use(kind, name)]
    return "\n".join(parts + ([differences(factory)] if kind == "presets" else []))


def in_use(kind: str, name: str) -> str:
    """The component on the command line."""
    written = name.replace("_", "-") if kind == "presets" else name
    flags = NEEDED.get((kind, name), "") + ("--g-penalties {}" if name in FOR_G else FLAGS[kind]).format(written)
    return f"```sh\nequipoise train {name if kind == 'toys' else 'DATA'} --out runs/x {flags}".rstrip() + "\n```\n"


def differences(preset: Any) -> str:
    """What a preset says that the default does not."""
    usual, own = asdict(presets.default()), asdict(preset())
    rows = [f"| {name} | `{plain(value)}` |" for name, value in own.items() if value != usual[name]]
    return (
        "\n".join(["| field | value |", "|---|---|", *rows, ""]) if rows else "Where the fields of all recipes start.\n"
    )


def layer_names() -> list[str]:
    """The layers, which are classes."""
    return sorted(name for name, member in vars(layers).items() if isinstance(member, type))


def of_layers() -> str:
    """Every layer."""
    parts = (
        "\n".join([f"## {name}\n", signature(f"layers.{name}", member), documentation(member)])
        for name, member in ((name, getattr(layers, name)) for name in layer_names())
    )
    return "\n".join(["# Layers\n", first_line(layers) + "\n", *parts])


def of_parts() -> str:
    """What loops of one's own are made of."""
    sections = [part for module, names in PARTS for part in section(module, names.split())]
    return "\n".join(
        [
            "# Python: loops of your own\n",
            "What a loop of your own is made of, besides the components.",
            "[A GAN of my own](../howto/a-gan-of-my-own.md) shows them at work.\n",
            *sections,
        ]
    )


def section(module: ModuleType, names: list[str]) -> Iterator[str]:
    """Some parts of a module."""
    path = module.__name__
    yield f"## {path}\n"
    for name in names:
        thing = getattr(module, name)
        yield "\n".join([f"### {name}\n", signature(name, thing), documentation(thing)])
        if isinstance(thing, type):
            yield from (f"{{.method}}\n{method}\n" for method in methods(thing))


def methods(kind: type) -> Iterator[str]:
    """The public methods of a class, a paragraph each."""
    for name, member in vars(kind).items():
        function = inspect.unwrap(getattr(member, "__func__", getattr(member, "fget", None) or member))
        if name[0] != "_" and inspect.isfunction(function) and function.__doc__:
            yield f"`.{name}{'' if isinstance(member, property) else called(function)}`: {first_line(function)}"


def called(function: Any) -> str:
    """The parameters of a method, by their names."""
    given = [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]
    return f"({', '.join(given)})"


def commands() -> str:
    """The help of every command."""
    parts = [f"## {name}\n\n```text\n{helped([name, '--help'])}\n```\n" for name in cli.COMMANDS]
    start = f"# The command line\n\n```text\n{cli.HELP}\n```\n"
    return "\n".join([start, *parts])


def helped(words: list[str]) -> str:
    """What the command line prints."""
    said = io.StringIO()
    plain_terminal = mock.patch.dict(os.environ, {"COLUMNS": "86", "NO_COLOR": "1"})
    with plain_terminal, redirect_stdout(said), suppress(SystemExit):
        cli.main(words)
    return "\n".join(line.rstrip() for line in said.getvalue().strip().splitlines())
