"""Undecoded images, read by index, in any process: files of a folder, of a zip file or of shards, or an array."""

import os
import stat
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Real, Shaped, UInt8

from ..problems import one_line
from ..ranges import BYTES, Range
from .convert import BrokenImage, Format, Look, convert_array, convert_floats, decode, look

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
LARGEST_FILE = 2**30


@dataclass(frozen=True)
class Arrays:
    """Images that are already numbers: bytes, or floats in a range, where it is known."""

    array: Shaped[np.ndarray, "n c h w"] = field(repr=False)
    range: Range | None = BYTES

    def __len__(self) -> int:
        return len(self.array)

    def look(self, index: int) -> Look:
        """The size and kind of every image."""
        _, channels, height, width = self.array.shape
        return Look(channels, height, width, self.range)

    def pixels(self, index: int, format: Format) -> Real[np.ndarray, "c h w"]:
        """One image, converted."""
        image = self.array[index]
        if not format.range.is_bytes:
            return convert_floats(image, format)
        return convert_array(image if image.dtype == np.uint8 else self._as_bytes(image), format)

    def _as_bytes(self, image: Real[np.ndarray, "c h w"]) -> UInt8[np.ndarray, "c h w"]:
        """255 (x - low) / (high - low), rounded."""
        assert self.range is not None
        scaled = (image.astype(np.float64) - self.range.low) * (255 / (self.range.high - self.range.low))
        return scaled.round().clip(0, 255).astype(np.uint8)

    def outline(self) -> str:
        """What is known of all images without reading them: nothing but their shape."""
        return str(self.array.shape)


@dataclass(frozen=True)
class Folder:
    """The files of a folder; each is open only while it is read."""

    path: Path

    def read(self, name: str) -> bytes:
        """The content of one file."""
        return (self.path / name).read_bytes()

    def size(self, name: str) -> int:
        """The bytes of one file; 0 of one that is gone."""
        file = self.path / name
        return file.stat().st_size if file.exists() else 0

    def names(self) -> Iterator[str]:
        """All files below the folder, links to folders followed once."""
        seen: set[str] = set()
        for parent, folders, files in os.walk(self.path, followlinks=True):
            seen.add(os.path.realpath(parent))
            folders[:] = [f for f in folders if os.path.realpath(Path(parent, f)) not in seen]
            yield from (Path(parent, file).relative_to(self.path).as_posix() for file in files)


@dataclass
class Archive:
    """The files of a zip file, read without extraction; every process opens its own handle."""

    path: Path
    _handle: zipfile.ZipFile | None = None
    _process: int = field(default_factory=os.getpid)

    def read(self, name: str) -> bytes:
        """The content of one file."""
        size = self._zip().getinfo(name).file_size
        if size > LARGEST_FILE:
            raise ValueError(f"the file has {size} bytes, more than {LARGEST_FILE}")
        return self._zip().read(name)

    def size(self, name: str) -> int:
        """The bytes of one file, unpacked."""
        return self._zip().getinfo(name).file_size

    def names(self) -> Iterator[str]:
        """All files in the zip file, refused when one of them is unsafe or encrypted."""
        for member in self._zip().infolist():
            _check_zipped(self.path, member)
            if not member.is_dir():
                yield member.filename

    def _zip(self) -> zipfile.ZipFile:
        if self._handle is None or self._process != os.getpid():
            self._handle, self._process = _open_zip(self.path), os.getpid()
        return self._handle

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_handle": None}


@runtime_checkable
class Store(Protocol):
    """Files by name: of a folder, of a zip file, of shards."""

    def read(self, name: str) -> bytes:
        """The content of one file."""
        ...

    def size(self, name: str) -> int:
        """Its bytes, which are known without reading it."""
        ...

    def names(self) -> Iterator[str]:
        """All files."""
        ...


@dataclass(frozen=True)
class Files:
    """Image files by index."""

    store: Store
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def look(self, index: int) -> Look:
        """The size and kind of one image."""
        return look(self._read(index), self.names[index])

    def pixels(self, index: int, format: Format) -> UInt8[np.ndarray, "c h w"]:
        """One image, converted."""
        return decode(self._read(index), format, self.names[index])

    @property
    def remote(self) -> bool:
        """Whether they are read over the network."""
        return bool(getattr(self.store, "remote", False))

    def outline(self) -> str:
        """The names and sizes of all files, which are known without reading them."""
        return "\n".join(f"{name} {self.store.size(name)}" for name in self.names)

    def _read(self, index: int) -> bytes:
        try:
            return self.store.read(self.names[index])
        except ConnectionError:  # the image is not known to be broken
            raise
        except Exception as error:  # a damaged zip member can raise zlib's, lzma's and zipfile's errors
            raise BrokenImage(f"{self.names[index]}: {one_line(error)}") from None


@dataclass(frozen=True)
class Halves:
    """The left or the right half of each picture: pairs as Isola 2017 (arXiv:1611.07004) published them."""

    pictures: Files
    right: bool

    def __len__(self) -> int:
        return len(self.pictures)

    def look(self, index: int) -> Look:
        """The size and kind of one half."""
        whole = self.pictures.look(index)
        if whole.width < 2:
            raise BrokenImage(f"{self.pictures.names[index]}: one pixel wide, so that it holds no two images")
        return Look(whole.channels, whole.height, whole.width // 2)

    def pixels(self, index: int, format: Format) -> UInt8[np.ndarray, "c h w"]:
        """One half, converted."""
        whole, half = self.pictures.look(index), self.look(index).width
        pixels = self.pictures.pixels(index, Format(format.channels, whole.height, whole.width))
        return convert_array(pixels[:, :, -half:] if self.right else pixels[:, :, :half], format)

    @property
    def remote(self) -> bool:
        """Whether they are read over the network."""
        return self.pictures.remote

    def outline(self) -> str:
        """The names and sizes of all pictures."""
        return f"{'right' if self.right else 'left'} halves\n{self.pictures.outline()}"


Reader = Arrays | Files | Halves


def image_names(names: Iterable[str]) -> tuple[str, ...]:
    """The sorted names of the images among files; hidden ones and those in __MACOSX are left out."""
    return shown(names, SUFFIXES)


def shown(names: Iterable[str], endings: tuple[str, ...]) -> tuple[str, ...]:
    """The sorted names of files with such endings; hidden ones and those in __MACOSX are left out."""
    return tuple(sorted(name for name in names if name.lower().endswith(endings) and not _is_hidden(name)))


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise ValueError(f"{path} is not a zip file that can be read: {error}") from None


def check_member(archive: Path | str, name: str, is_link: bool = False) -> None:
    """Raises ValueError for a member of an archive that would be written elsewhere than under it."""
    plain = name.replace("\\", "/")
    if plain.startswith("/") or plain[1:2] == ":" or ".." in plain.split("/") or is_link:
        raise ValueError(f"{archive} has an unsafe member, {name!r}: a path out of the archive or a link")


def _check_zipped(path: Path, member: zipfile.ZipInfo) -> None:
    check_member(path, member.orig_filename, stat.S_ISLNK(member.external_attr >> 16))
    if member.flag_bits & 1:
        raise ValueError(f"{path} is encrypted (its member {member.orig_filename!r} needs a password); unpack it first")
