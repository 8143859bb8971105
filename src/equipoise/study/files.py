"""Studies as files: TOML that people write, and study.json of the folder in which one is carried out."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..checks import check_choice
from ..metrics.evaluation import versions
from ..writing import write_whole
from .grid import Cell, Study
from .search import Search

STUDY = "study.json"
GROWING = ("rows", "columns")
PRESENTED = ("title", "about", "baseline", "survives")
KEYS = ["title", "about", "base", "rows", "columns", "seeds", "baseline", "survives", "search", "scales"]


def read(file: str | Path, scale: str | None = None) -> Study:
    """The study of a TOML file, or of one that comes along, "sngan-robustness", at one of its scales.

    A scale is a table `[scales.small]` of what differs: fields of the base in `[scales.small.base]`, of a row in
    `[scales.small.rows.NAME]`, of a column likewise, or a list of the `rows` or `columns` that it has; `seeds`,
    `survives` and `search`.

    Raises ValueError for a file that cannot be read and for a study that cannot be.
    """
    path = Path(file)
    text = path.read_text() if path.is_file() else _shipped(str(file))
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file}: {error}") from None
    for key in content:
        check_choice(key, KEYS, f"{file}: a study has no {key!r}")
    known = content.pop("scales", {})
    if scale is not None:
        check_choice(scale, [*known], f"{file} has no scale {scale!r}")
        content = scaled(content, known[scale])
    return of_plain(content)


def shipped() -> list[str]:
    """The studies that come along."""
    return sorted(file.name.removesuffix(".toml") for file in _folder().iterdir() if file.name.endswith(".toml"))


def scales(name: str) -> list[str]:
    """The scales of a study that comes along."""
    return [*tomllib.loads(_shipped(name)).get("scales", {})]


def scaled(content: Mapping[str, Any], scale: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a study at a scale.

    >>> whole = {"base": {"images": 9, "batch": 3}, "rows": {"a": {}, "b": {}}, "seeds": [0, 1]}
    >>> scaled(whole, {"base": {"images": 3}, "rows": ["a"]})
    {'base': {'images': 3, 'batch': 3}, 'rows': {'a': {}}, 'seeds': [0, 1]}
    """
    small = dict(content)
    for key, value in scale.items():
        whole = content.get(key, {})
        if key in ("rows", "columns"):
            for name in value:
                check_choice(name, [*whole], f"a scale names {name!r}, which is none of the {key}")
            more = value if isinstance(value, Mapping) else {}
            small[key] = {name: {**part, **more.get(name, {})} for name, part in whole.items() if more or name in value}
        else:
            small[key] = {**whole, **value} if isinstance(value, Mapping) else value
    return small


def of_plain(content: Mapping[str, Any]) -> Study:
    """The study that plain data describe."""
    given = dict(content)
    if given.get("search") is not None:
        given["search"] = _made(Search, given["search"])
    if not given.get("columns"):
        given.pop("columns", None)
    given.setdefault("rows", {})
    study: Study = _made(Study, given)
    return study


def to_plain(study: Study) -> dict[str, Any]:
    """A study as plain data."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(study)))
    return found


def begin(study: Study, out: Path, threads: int) -> None:
    """Writes study.json; raises ValueError for a folder that holds something else.

    A study may grow by rows, columns and seeds, be presented in another way, and change rows and columns of which no
    run could begin: what has been trained is kept.
    """
    check_folder(study, out)
    if (out / STUDY).exists():
        forget_refusals(study, begun(out), out)
    begun_with = context(out) if (out / STUDY).exists() else {"threads": threads, "versions": versions()}
    new = to_plain(study.located())
    if json.dumps(begun_with.get("study")) != json.dumps(new):  # the order of rows counts too
        text = json.dumps({**begun_with, "study": new}, indent=2)
        write_whole(out / STUDY, lambda beside: beside.write_text(text + "\n"))


def check_folder(study: Study, out: Path) -> None:
    """Raises ValueError for a folder that holds another study, or something else."""
    if (out / STUDY).exists():
        old = begun(out)
        if changed := [name for name in changes(study, old) if any(trained(out, cell) for cell in cells_of(old, name))]:
            raise ValueError(f"{out} holds another study; nothing was changed. It differs in {', '.join(changed)}")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists and is no folder of a study; nothing in it was touched")


def changes(study: Study, old: Study) -> list[str]:
    """What a study trains otherwise than an older one."""
    return differences(to_plain(study.located()), to_plain(old))


def cells_of(study: Study, change: str) -> list[Cell]:
    """The cells that a change concerns: of "rows.NAME" those of the row, of "base.loss" all."""
    kind, _, name = change.partition(".")
    whose = {"rows": lambda cell: cell.row == name, "columns": lambda cell: cell.column == name}.get(kind)
    return [cell for cell in study.cells if whose is None or whose(cell)]


def trained(out: Path, cell: Cell) -> bool:
    """Whether any run of a cell has begun."""
    return any((out / cell.slug).glob("*/recipe.json"))


def forget_refusals(study: Study, old: Study, out: Path) -> None:
    """Removes what says that runs could not begin, where they are changed now."""
    for cell in {cell for name in changes(study, old) for cell in cells_of(old, name)}:
        for file in (out / cell.slug).glob("*/failure.json"):
            file.unlink()


def begun(out: str | Path) -> Study:
    """The study of a folder; raises ValueError for a folder that has none."""
    return of_plain(context(out)["study"])


def threads(out: str | Path) -> int:
    """How many threads a run of the study has: the same for all its workers, so that every run is the same run."""
    return int(context(out)["threads"])


def context(out: str | Path) -> dict[str, Any]:
    """What study.json holds."""
    file = Path(out) / STUDY
    if not file.is_file():
        raise ValueError(f"{out} is no folder of a study: it has no {STUDY} (equipoise study FILE --out {out})")
    try:
        found: dict[str, Any] = json.loads(file.read_text())
        _ = found["study"], found["threads"]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{file} cannot be read: {error!r}") from None
    return found


def differences(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    """What a study trains otherwise than an older one, "rows.spectral", "seeds"; what it adds is no difference.

    >>> old = {"title": "", "rows": {"a": {}}, "seeds": [0], "base": {"batch": 4}}
    >>> differences({"title": "Mine", "rows": {"a": {}, "b": {}}, "seeds": [0, 1], "base": {"batch": 4}}, old)
    []
    >>> differences({"title": "", "rows": {"b": {}}, "seeds": [1], "base": {"batch": 8}}, old)
    ['rows.a', 'seeds', 'base.batch']
    """
    found = []
    for key, before in old.items():
        now = new[key]
        if key in PRESENTED:
            continue
        if key == "seeds":
            found += [key] * (not {*before} <= {*now})
        elif key in GROWING:
            found += [f"{key}.{name}".strip(".") for name in before if now.get(name) != before[name]]
        elif isinstance(before, dict) and isinstance(now, dict):
            both = dict.fromkeys([*before, *now])
            found += [f"{key}.{name}" for name in both if before.get(name) != now.get(name)]
        elif before != now:
            found.append(key)
    return found


def _folder() -> Any:
    return files(__package__).joinpath("shipped")


def _shipped(name: str) -> str:
    known = shipped()
    if name not in known:
        raise ValueError(f"no such file: {name}; studies that come along: {', '.join(known)}")
    text: str = _folder().joinpath(f"{name}.toml").read_text("utf-8")
    return text


def _made(kind: type, given: Mapping[str, Any]) -> Any:
    names = [field.name for field in fields(kind)]
    for name in given:
        check_choice(name, names, f"a {kind.__name__.lower()} has no {name!r}")
    return kind(**given)
