"""The labels in a labels.json, labels.csv or StyleGAN's dataset.json beside images: plain data, a label a file."""

import csv
import io
import json
import posixpath
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from ..problems import one_line
from .label_tables import LARGEST, LabelTable, attributes, named_classes, vectors
from .readers import Files

NAMES = ("labels.json", "labels.csv", "dataset.json")  # the first one that is there counts
POSSIBLE = "a class name or number, a list of attribute names, a list of numbers, or an object of numbers or booleans"
BOOLEANS = {"0": False, "1": True, "false": False, "true": True}
Table = tuple[dict[str, Any], tuple[str, ...]]  # labels by file, names of their parts


def labels_file(others: Collection[str], images: Sequence[str], packed: bool) -> str | None:
    """The file of labels at the root, or in the one folder that a zip file often packs."""
    folders = [PurePosixPath()]
    if packed:
        shared = PurePosixPath(posixpath.commonpath([posixpath.dirname(name) for name in images]))
        folders = [*reversed(shared.parents), shared]
    candidates = ((folder / name).as_posix() for folder in folders for name in NAMES)
    return next((name for name in candidates if name in others), None)


def read(files: Files, file: str, where: str) -> LabelTable | None:
    """The labels of all images, checked; None for StyleGAN's file of images without labels."""
    where = f"{where}/{file}"
    content = _content(files, file, where)
    if file.endswith(".csv") and content and posixpath.join(posixpath.dirname(file), content[0][0]) in files.names:
        raise ValueError(f"{where} needs a header: its first line is already that of {content[0][0]!r}")
    found = from_rows(content, where) if file.endswith(".csv") else from_json(content, where)
    if found is None:
        return None
    labels, names = found
    folder = posixpath.dirname(file)
    by_file = {posixpath.join(folder, name): label for name, label in labels.items()}
    check_files(by_file, files.names, where)
    return table([by_file[name] for name in files.names], files.names, where, names)


def _content(files: Files, file: str, where: str) -> Any:
    try:
        content = files.store.read(file)
        if not file.endswith(".csv"):
            return json.loads(content)
        return [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True) if row]
    except UnicodeDecodeError:
        raise ValueError(f"{where} is not text in UTF-8; save it as UTF-8") from None
    except Exception as error:  # a damaged zip member can raise nearly anything
        raise ValueError(f"{where} cannot be read: {one_line(error)}") from None


def from_json(content: Any, where: str) -> Table | None:
    """{file: label}, or StyleGAN's {"labels": [[file, label], ...]}, whose labels may be null."""
    if not isinstance(content, dict):
        raise ValueError(f"{where} must be an object, file: label, not a {type(content).__name__}")
    if content.get("labels", ...) is None:
        return None
    pairs = content["labels"] if isinstance(content.get("labels"), list) else [[*pair] for pair in content.items()]
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise ValueError(f'{where}: {shown(pair)} in "labels" is no pair [file, label]')
    return by_name(pairs, where), ()


def from_rows(content: list[list[str]], where: str) -> Table:
    """A header, then files with their labels: one of text or whole numbers is a class, others what they look like."""
    header, *rows = content or [[]]
    if len(header) < 2:
        hint = ", joined by commas, not by ';'" if ";" in "".join(header) else ""
        raise ValueError(f"{where} needs a header and at least two columns: file, label{hint}")
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"{where}: {row[0]!r} has {len(row) - 1} labels, but the header names {len(header) - 1}")
    cells = [[cell.strip() for cell in row[1:]] for row in rows]
    labels = one_column([row[0] for row in cells]) if len(header) == 2 else columns(cells, where)
    names = tuple(name.strip() for name in header[1:])
    return by_name([[row[0].strip(), label] for row, label in zip(rows, labels, strict=True)], where), names


def one_column(cells: list[str]) -> list[Any]:
    """Whole numbers, else numbers, else text."""
    for kind in (int, float):
        try:
            return [kind(cell) for cell in cells]
        except ValueError:
            continue
    return list(cells)


def columns(rows: list[list[str]], where: str) -> list[Any]:
    """Booleans where all are 0, 1, true or false, else numbers."""
    if all(cell.lower() in BOOLEANS for row in rows for cell in row):
        return [[BOOLEANS[cell.lower()] for cell in row] for row in rows]
    for row in rows:
        for cell in row:
            if isinstance(one_column([cell])[0], str):
                raise ValueError(f"{where}: {cell!r} is no number, which labels of several columns are (or 0/1, true)")
    return [[float(cell) for cell in row] for row in rows]


def by_name(pairs: list[list[Any]], where: str) -> dict[str, Any]:
    """Labels by file, each file once."""
    labels: dict[str, Any] = {}
    for file, label in pairs:
        name = posixpath.normpath(file)
        if name in labels:
            raise ValueError(f"{where} labels {file!r} twice")
        labels[name] = label
    return labels


def check_files(labels: Collection[str], images: Sequence[str], where: str) -> None:
    """Raises ValueError unless each image has a label and each label an image."""
    without, known = [name for name in images if name not in labels], set(images)
    strange = [name for name in labels if name not in known]
    if without:
        other = f"; it labels {strange[0]!r}, which is not there" if strange else ""
        raise ValueError(
            f"{where} has no label for {len(without)} of {len(images)} images, first {without[0]!r}{other}"
        )
    if strange:
        raise ValueError(f"{where} labels {len(strange)} images that are not there, first {strange[0]!r}")


def table(labels: list[Any], files: Sequence[str], where: str, names: Sequence[str] = ()) -> LabelTable:
    """Labels of one kind, whichever it is; `names` are those of their parts."""
    form = common([form_of(label) for label in labels], labels, files, where)
    if form == "a name" or (form == "a number" and all(isinstance(label, int) for label in labels)):
        return named_classes(labels)
    if form == "a list of names":
        return listed(labels, where)
    if form.startswith("an object"):
        common([f"the names {', '.join(sorted(label))}" for label in labels], labels, files, where)
        names = list(labels[0])
        labels = [[label[name] for name in names] for label in labels]
    elif form in ("a number", "true or false"):
        labels = [[label] for label in labels]
    common([f"{len(label)} parts" for label in labels], labels, files, where)
    return numbers(labels, files, where, names)


def form_of(label: Any) -> str | None:
    """What a label is, in words; None for what is no label."""
    scalars = {bool: "true or false", int: "a number", float: "a number", str: "a name"}
    if type(label) in scalars:
        return scalars[type(label)] if label != "" else None
    if not isinstance(label, list | dict):
        return None
    what = "a list of" if isinstance(label, list) else "an object of"
    kinds = {type(part) for part in (label if isinstance(label, list) else label.values())}
    if isinstance(label, list) and kinds <= {str}:
        return "a list of names"
    words = {frozenset({bool}): "booleans", frozenset({int}): "numbers", frozenset({float}): "numbers"}
    words[frozenset({int, float})] = "numbers"
    return f"{what} {words[frozenset(kinds)]}" if frozenset(kinds) in words else None


def common(forms: Sequence[str | None], labels: Sequence[Any], files: Sequence[str], where: str) -> str:
    """What all labels are; raises ValueError for the first one that is something else."""
    for form, label, file in zip(forms, labels, files, strict=True):
        if form is None:
            raise ValueError(f"{where}: the label of {file!r} is {shown(label)}, but a label is {POSSIBLE}")
        if form != forms[0]:
            raise ValueError(f"{where}: labels are alike, but {files[0]!r} has {forms[0]} and {file!r} has {form}")
    return str(forms[0])


def listed(labels: list[list[str]], where: str) -> LabelTable:
    """Attributes that hold, by their names."""
    names = sorted({name for label in labels for name in label})
    if not names:
        raise ValueError(f"{where}: no image has an attribute")
    held = [set(label) for label in labels]
    return attributes(np.array([[name in label for name in names] for label in held]), names)


def numbers(labels: list[list[Any]], files: Sequence[str], where: str, names: Sequence[str] = ()) -> LabelTable:
    """Attributes where all are booleans or the whole numbers 0 and 1, else vectors."""
    for label, file in zip(labels, files, strict=True):
        if not all(abs(number) <= LARGEST for number in label):
            raise ValueError(f"{where}: the label of {file!r} is {shown(label)}, but numbers are finite, up to 1e30")
    if all(type(number) is not float and number in (0, 1) for label in labels for number in label):
        return attributes(np.array(labels, bool), names)
    return vectors(np.array(labels, np.float64), names)


def shown(label: Any) -> str:
    """A label in a message, in one line that is not too long."""
    text = " ".join(repr(label).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
