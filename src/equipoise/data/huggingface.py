"""Data sets of Hugging Face's `datasets`: of the hub, saved to disk, or a folder of Parquet files."""

import importlib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from .convert import one_line
from .label_tables import LabelTable, classes, named_classes

HUB = "hf://"
SAVED = ("state.json", "dataset_dict.json")  # of one part, and of several
TRAINING, HELD_OUT = "train", ("test", "validation", "valid")
LABELS = ("label", "labels", "fine_label", "class")


class Rows:
    """The encoded images of one part of a data set, by the names "row 0", "row 1"...; nothing is decoded here."""

    def __init__(self, part: Any, where: str) -> None:
        self.where = where
        kinds = _library().Image
        column = next((name for name, feature in part.features.items() if isinstance(feature, kinds)), None)
        if column is None:
            raise ValueError(f"{where} has no column of images: {', '.join(part.features)}")
        self.part, self.column = part.cast_column(column, kinds(decode=False)), column

    def __len__(self) -> int:
        return len(self.part)

    def read(self, name: str) -> bytes:
        """The bytes of one image, which may lie in a file of its own."""
        image = self.part[_number(name)][self.column]
        content: bytes = image["bytes"] or Path(image["path"]).read_bytes()
        return content

    def size(self, name: str) -> int:
        """How many bytes it has."""
        return self._sizes[_number(name)] or 0

    def names(self) -> Iterator[str]:
        """All rows."""
        return (f"row {number}" for number in range(len(self)))

    @cached_property
    def _sizes(self) -> list[int | None]:
        compute = importlib.import_module("pyarrow.compute")
        encoded = compute.struct_field(self.part.data.column(self.column), "bytes")
        sizes: list[int | None] = compute.binary_length(encoded).to_pylist()
        return sizes

    def labels(self) -> LabelTable | None:
        """The first column of class labels, with their names; else whole numbers or texts in a column named "label"."""
        features = self.part.features
        known = [name for name, feature in features.items() if isinstance(feature, _library().ClassLabel)]
        if known:
            return classes(self._column(known[0]), features[known[0]].names)
        named = [
            name for name in LABELS if getattr(features.get(name), "dtype", "").startswith(("int", "uint", "string"))
        ]
        return named_classes(self._column(named[0])) if named else None

    def _column(self, name: str) -> list[Any]:
        values: list[Any] = self.part.data.column(name).to_pylist()
        missing = next((number for number, value in enumerate(values) if value in (None, -1)), None)
        if missing is not None:
            raise ValueError(f"row {missing} has no label in the column {name!r}")
        return values


class Parts(NamedTuple):
    """What to train on, and what is held out, where there is such a part."""

    training: Rows
    held_out: Rows | None


def is_saved(folder: Path) -> bool:
    """Whether a folder was written by `save_to_disk`."""
    return any((folder / name).is_file() for name in SAVED)


def open_saved(folder: Path) -> Parts:
    """What `save_to_disk` wrote."""
    return _parts(str(folder), lambda library: library.load_from_disk(str(folder)))


def open_parquet(folder: Path) -> Parts:
    """A folder of Parquet files, such as a clone of a data set of the hub."""
    return _parts(str(folder), lambda library: library.load_dataset(str(folder)))


def open_hub(data: str) -> Parts:
    """Of "hf://owner/name", downloaded once into the cache of `datasets`."""
    return _parts(data, lambda library: library.load_dataset(data.removeprefix(HUB)))


def _parts(where: str, load: Callable[[Any], Any]) -> Parts:
    library = _library()
    try:
        found = load(library)
    except Exception as error:  # what is no data set, or a broken one, can raise nearly anything
        raise ValueError(f"{where} cannot be read: {one_line(error)}") from None
    parts = found if isinstance(found, dict) else {TRAINING: found}
    training = parts.get(TRAINING, next(iter(parts.values())))
    rest = next((parts[name] for name in HELD_OUT if name in parts and parts[name] is not training), None)
    return Parts(Rows(training, where), None if rest is None else Rows(rest, where))


def _library() -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError:
        raise ValueError('data sets of Hugging Face need `datasets`: pip install "equipoise[huggingface]"') from None


def _number(name: str) -> int:
    return int(name.removeprefix("row "))
