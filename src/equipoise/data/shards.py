"""Images in .tar files, as WebDataset packs them: read where they lie, by index, so that a run resumes in a shard."""

import os
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from .convert import one_line
from .label_tables import LabelTable, named_classes
from .readers import Files

CLASS = ".cls"


class Place(NamedTuple):
    """Where a file lies: in which .tar, from which byte on, and how many of them."""

    shard: Path
    start: int
    size: int


@dataclass(frozen=True)
class Shards:
    """The files in .tar files, named "shard.tar/file"; a shard is open only while it is read, by any process."""

    places: dict[str, Place] = field(repr=False)

    def read(self, name: str) -> bytes:
        """The content of one file."""
        shard, start, size = self.places[name]
        with shard.open("rb") as file:
            file.seek(start)
            content = file.read(size)
        if len(content) < size:
            raise ValueError(f"the shard ends after {len(content)} of {size} bytes")
        return content

    def size(self, name: str) -> int:
        """The bytes of one file."""
        return self.places[name].size

    def names(self) -> Iterator[str]:
        """All files."""
        return iter(self.places)


def find(paths: Sequence[Path]) -> Shards:
    """What some .tar files hold, found by their headers alone; raises ValueError for one that is no whole .tar."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return Shards({name: place for part in pool.map(_index, sorted(paths)) for name, place in part.items()})


def _index(path: Path) -> dict[str, Place]:
    if path.suffix.lower() != ".tar":
        raise ValueError(f"{path} is compressed: unpack it, as with gunzip, since images are read where they lie")
    try:
        with tarfile.open(path, "r:") as archive:
            files = (member for member in archive if member.isfile() and not member.issparse())
            return {f"{path.name}/{member.name}": Place(path, member.offset_data, member.size) for member in files}
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ValueError(f"{path} is no .tar file that can be read: {one_line(error)}") from None


def labels(files: Files) -> LabelTable | None:
    """The classes in files "key.cls" beside "key.jpg", texts or numbers; else the folders in the shards, if any."""
    classes = {key(name): name for name in files.store.names() if name.lower().endswith(CLASS)}
    if not classes:
        inside = [PurePosixPath(name).parts[1:] for name in files.names]
        return named_classes([parts[0] for parts in inside]) if min(map(len, inside)) > 1 else None
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
