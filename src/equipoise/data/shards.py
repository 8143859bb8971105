"""Images in .tar files, as WebDataset packs them: read where they lie, by index, so that a run resumes in a shard."""

import os
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from .convert import one_line
from .label_tables import LabelTable, named_classes
from .readers import SUFFIXES, Files

CLASS = ".cls"
KEPT = (*SUFFIXES, CLASS, ".json", ".csv")


class Place(NamedTuple):
    """Where a file lies: in which .tar, from which byte on, how many of them; where its own name begins in ours."""

    shard: Path
    start: int
    size: int
    own: int


@dataclass(frozen=True)
class Shards:
    """The images and labels in .tar files, by name; a shard is open only while it is read, by any process."""

    places: dict[str, Place] = field(repr=False)

    def read(self, name: str) -> bytes:
        """The content of one file."""
        place = self.places[name]
        with place.shard.open("rb") as file:
            file.seek(place.start)
            content = file.read(place.size)
        if len(content) < place.size:
            raise ValueError(f"the shard ends after {len(content)} of {place.size} bytes")
        return content

    def size(self, name: str) -> int:
        """The bytes of one file."""
        return self.places[name].size

    def names(self) -> Iterator[str]:
        """All files: of one .tar as they are called in it, of several behind the name of their .tar."""
        return iter(self.places)

    def inside(self, name: str) -> str:
        """What a file is called in its .tar."""
        return name[self.places[name].own :]


def find(folder: Path, packed: Sequence[str]) -> Shards:
    """What the .tar files of a folder hold, found by their headers alone; raises ValueError for one that is no .tar."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = pool.map(partial(_index, folder, alone=len(packed) == 1), sorted(packed))
        return Shards({name: place for part in parts for name, place in part.items()})


def _index(folder: Path, name: str, alone: bool) -> dict[str, Place]:
    path, before = folder / name, "" if alone else f"{name}/"
    if path.suffix.lower() != ".tar":
        raise ValueError(f"{path} is compressed: unpack it, as with gunzip, since images are read where they lie")
    found: dict[str, Place] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isfile() and not member.issparse() and member.name.lower().endswith(KEPT):
                    own = member.name.removeprefix("./")
                    found[before + own] = Place(path, member.offset_data, member.size, len(before))
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ValueError(f"{path} is no .tar file that can be read: {one_line(error)}") from None
    return found


def labels(files: Files) -> LabelTable | None:
    """The classes in files "key.cls" beside "key.jpg", texts or numbers; None where there are none."""
    classes = {key(name): name for name in files.store.names() if name.lower().endswith(CLASS)}
    if not classes:
        return None
    missing = next((name for name in files.names if key(name) not in classes), None)
    if missing:
        raise ValueError(f"{missing} has no label, a file {key(missing)}{CLASS}, as others have")
    texts = [files.store.read(classes[key(name)]).decode("utf-8", "replace").strip() for name in files.names]
    return named_classes([int(text) for text in texts] if all(text.isdecimal() for text in texts) else texts)


def key(name: str) -> str:
    """The name of a sample, which its files share: the path up to the first dot of the file's name.

    >>> key("set-00.tar/birds/0001.left.png")
    'set-00.tar/birds/0001'
    """
    path = PurePosixPath(name)
    return (path.parent / path.name.partition(".")[0]).as_posix()
