"""Data sets of Hugging Face's `datasets`: of the hub, saved to disk, or a folder of Parquet files."""

import importlib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ..problems import one_line
from .label_tables import LabelTable, classes, named_classes

HUB = "hf://"
SAVED = ("state.json", "dataset_info.json")
TRAINING, HELD_OUT = "train", ("test", "validation", "valid")
LABELS = ("label", "labels", "fine_label", "class")


class Rows:
    """The encoded images of one part of a data set, by the names "row 0", "row 1"...; nothing is decoded here."""

    def __init__(self, part: Any, where: str) -> None:
        kinds = _library().Image
        column = next((name for name, feature in part.features.items() if isinstance(feature, kinds)), None)
        if column is None:
            raise ValueError(f"{where} has no column of images: {', '.join(part.features)}")
        whole = part if part._indices is None else part.flatten_indices()  # columns are read without the selection
        self.where, self.column, self.table = where, column, whole
        self.part = whole.select_columns([column]).cast_column(column, kinds(decode=False))

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
        """The first column of class labels, with their names; else whole numbers or texts in a column named "label".

        None for a part whose class labels are kept secret: all -1.
        """
        features = self.table.features
        known = [name for name, feature in features.items() if isinstance(feature, _library().ClassLabel)]
        if known:
            numbers = self._column(known[0], missing=(None, -1))
            return classes(numbers, features[known[0]].names) if numbers else None
        named = [
            name for name in LABELS if getattr(features.get(name), "dtype", "").startswith(("int", "uint", "string"))
        ]
        texts = self._column(named[0]) if named else []
        return named_classes(texts) if texts else None

    def _column(self, name: str, missing: tuple[int | None, ...] = (None,)) -> list[Any]:
        """The values of a column, none where all are missing; raises ValueError where some are."""
        values: list[Any] = self.table.data.column(name).to_pylist()
        without = [number for number, value in enumerate(values) if value in missing]
        if without and len(without) < len(values):
            raise ValueError(f"row {without[0]} has no label in the column {name!r}")
        return [] if without else values


class Parts(NamedTuple):
    """What to train on, and what is held out, where there is such a part."""

    training: Rows
    held_out: Rows | None


def is_saved(folder: Path) -> bool:
    """Whether a folder was written by `save_to_disk`, of one part or of several."""
    return (folder / "dataset_dict.json").is_file() or all((folder / name).is_file() for name in SAVED)


def open_saved(folder: Path) -> Parts:
    """What `save_to_disk` wrote."""
    return _parts(str(folder), lambda library: library.load_from_disk(str(folder)))


def open_parquet(path: Path) -> Parts:
    """A Parquet file, or a folder of them, such as a clone of a data set of the hub."""
    named = {"path": str(path)} if path.is_dir() else {"path": "parquet", "data_files": str(path)}
    return _parts(str(path), lambda library: library.load_dataset(**named))


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
    if not parts:
        raise ValueError(f"{where} has no part")
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
