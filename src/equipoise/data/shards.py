"""Images in .tar files, as WebDataset packs them: read where they lie, by index, so that a run resumes in a shard."""

import hashlib
import json
import logging
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

from .. import cache
from ..problems import one_line
from ..writing import write_whole
from .label_tables import LabelTable, named_classes
from .readers import SUFFIXES, Files, check_member
from .remote import RemoteFile

CLASS = ".cls"
KEPT = (*SUFFIXES, CLASS, ".json", ".csv")
PACKED = (".gz", ".tgz", ".bz2", ".xz", ".zst")
AT_ONCE = 16  # remote shards whose headers are read at the same time
Headers = dict[str, tuple[int, int, str]]  # where a file begins, its bytes, and the text of a class
log = logging.getLogger("equipoise.data")
T = TypeVar("T")


@dataclass(frozen=True)
class LocalFile:
    """A file of this machine, as `RemoteFile` is one of another; open only while it is read, by any process."""

    path: Path

    @property
    def address(self) -> str:
        """Where it lies."""
        return str(self.path)

    @property
    def suffix(self) -> str:
        """The end of its name, in lower case."""
        return self.path.suffix.lower()

    def part(self, start: int, size: int) -> bytes:
        """`size` bytes from `start` on; raises ValueError where it ends before."""
        with self.path.open("rb") as file:
            file.seek(start)
            content = file.read(size)
        if len(content) < size:
            raise ValueError(f"the shard ends after {len(content)} of {size} bytes")
        return content

    def read(self, use: Callable[[Any], T]) -> T:
        """use(file) of the open file."""
        with self.path.open("rb") as file:
            return use(file)


class Place(NamedTuple):
    """Where a file lies: in which .tar, from which byte on, how many of them; where its own name begins in ours.

    `text` is the content of a file ".cls".
    """

    shard: LocalFile | RemoteFile
    start: int
    size: int
    own: int
    text: str


@dataclass(frozen=True)
class Shards:
    """The images and labels in .tar files, by name; a shard is open only while it is read, by any process."""

    places: dict[str, Place] = field(repr=False)

    def read(self, name: str) -> bytes:
        """The content of one file."""
        place = self.places[name]
        return place.shard.part(place.start, place.size)

    def size(self, name: str) -> int:
        """The bytes of one file."""
        return self.places[name].size

    def names(self) -> Iterator[str]:
        """All files: of one .tar as they are called in it, of several behind the name of their .tar."""
        return iter(self.places)

    def inside(self, name: str) -> str:
        """What a file is called in its .tar."""
        return name[self.places[name].own :]

    @cached_property
    def remote(self) -> bool:
        """Whether shards are read over the network."""
        return any(isinstance(place.shard, RemoteFile) for place in self.places.values())


def find(packed: Mapping[str, LocalFile | RemoteFile]) -> Shards:
    """What .tar files hold, found by their headers; raises ValueError for one that is no .tar."""
    with ThreadPoolExecutor(max(AT_ONCE, os.cpu_count() or 1)) as pool:
        parts = pool.map(partial(_index, alone=len(packed) == 1), *zip(*sorted(packed.items()), strict=True))
        return Shards({name: place for part in parts for name, place in part.items()})


def _index(name: str, shard: LocalFile | RemoteFile, alone: bool) -> dict[str, Place]:
    before, suffix = "" if alone else f"{name}/", shard.suffix
    if suffix in PACKED:
        raise ValueError(
            f"{shard.address} is compressed: unpack it, as with gunzip, since images are read where they lie"
        )
    if suffix != ".tar":
        raise ValueError(f"{shard.address} is no .tar file")
    found = _of_remote(shard) if isinstance(shard, RemoteFile) else _read(shard)
    for own in found:
        check_member(shard.address, own)
    return {before + own: Place(shard, start, size, len(before), text) for own, (start, size, text) in found.items()}


def _of_remote(shard: RemoteFile) -> Headers:
    """The files of a remote .tar, kept in the user's cache for as long as its host says that it is the same."""
    version = shard.version()
    key = json.dumps([shard.address, version, KEPT])
    kept = cache.folder() / "shards" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    found = _kept(kept) if version else None
    if found is None:
        found = _read(shard)
        if version:
            _keep(kept, found)
    return found


def _read(shard: LocalFile | RemoteFile) -> Headers:
    try:
        return shard.read(_headers)
    except ConnectionError:
        raise
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ValueError(f"{shard.address} is no .tar file that can be read: {one_line(error)}") from None


def _headers(file: Any) -> Headers:
    found: Headers = {}
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if member.isfile() and not member.issparse() and name.lower().endswith(KEPT):
                content = archive.extractfile(member) if name.lower().endswith(CLASS) else None
                text = content.read().decode("utf-8", "replace").strip() if content else ""
                found[name] = member.offset_data, member.size, text
    return found


def _kept(file: Path) -> Headers | None:
    try:
        return {name: (start, size, text) for name, (start, size, text) in json.loads(file.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):  # not there, or damaged
        return None


def _keep(file: Path, found: Headers) -> None:
    try:
        write_whole(file, lambda beside: beside.write_text(json.dumps(found)))
    except OSError as error:  # it is read again next time
        log.warning("the index of a shard could not be kept in %s: %s", file.parent, one_line(error))


def labels(files: Files, shards: Shards) -> LabelTable | None:
    """The classes in files "key.cls" beside "key.jpg", texts or numbers; None where there are none."""
    classes = {key(name): place.text for name, place in shards.places.items() if name.lower().endswith(CLASS)}
    if not classes:
        return None
    missing = next((name for name in files.names if key(name) not in classes), None)
    if missing:
        raise ValueError(f"{missing} has no label, a file {key(missing)}{CLASS}, as others have")
    texts = [classes[key(name)] for name in files.names]
    return named_classes([int(text) for text in texts] if all(text.isdecimal() for text in texts) else texts)


def key(name: str) -> str:
    """The name of a sample, which its files share: the path up to the first dot of the file's name.

    >>> key("set-00.tar/birds/0001.left.png")
    'set-00.tar/birds/0001'
    """
    path = PurePosixPath(name)
    return (path.parent / path.name.partition(".")[0]).as_posix()
