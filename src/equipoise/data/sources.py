"""What a path holds: a folder, zip or tar of images, CIFAR, idx files, arrays; or the built-in set, or a toy set."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np
from jaxtyping import Shaped

from ..ranges import BYTES, Range
from ..spec import build, kind, names
from . import arrays, cifar, huggingface, idx, label_files, remote, shards, toys
from .convert import BrokenImage, Look
from .label_tables import LabelTable, classes, named_classes
from .readers import SUFFIXES, Archive, Arrays, Files, Folder, Reader, Store, image_names, shown
from .stacks import read_stack

SAMPLE = 64
KINDS = (
    "a folder, .zip or .tar of images, a folder of .tar shards, CIFAR-10 or CIFAR-100 (folder or .tar.gz), a folder of "
    "idx files, .npy, .npz, .tif, what Hugging Face's datasets saved, hf://owner/name, https://host/set-{00..99}.tar"
)
NAMED = re.compile(r"\w+\(.*\)|.*\.py:.*", re.DOTALL)  # a call, or what stands in a user's own file


def nothing() -> None:
    """The labels, or the held-out part, of a source that has none."""


@dataclass(frozen=True)
class Source:
    """A set of images that was found, not yet decoded."""

    kind: str  # folder, zip, tar, huggingface, cifar10, cifar100, idx, arrays, builtin or toy
    name: str
    reader: Reader
    typical: Look  # the fewest channels that hold every image of a sample; the median height and width
    find_labels: Callable[[], LabelTable | None] = nothing
    held_out: Callable[[], "Source | None"] = nothing
    toy: toys.Toy | None = None
    left_out: int = 0  # images that could not be decoded, once that is known

    @cached_property
    def labels(self) -> LabelTable | None:
        """The labels, read when first asked for; None when there are none."""
        return self.find_labels()

    @property
    def count(self) -> int:
        """How many images there are, as far as is known."""
        return len(self.reader) - self.left_out


def inspect(path: str | Path | None = None, labels: bool = False, strict: bool = False) -> Source:
    """Finds out what a path holds; None or "builtin" is the built-in set, "ring(count=8)" a toy set.

    "hf://owner/name" is one of Hugging Face's hub, "https://host/set-{00..99}.tar" shards that stay where they are, as
    with every other address that fsspec knows. Up to 64 images of a folder are opened.
    """
    source = _found("builtin" if path is None else str(path), strict)
    if labels:
        require_labels(source)
    return source


def _found(data: str, strict: bool) -> Source:
    if data == "builtin":
        return _builtin()
    if data.startswith(huggingface.HUB):
        return _parts(data, huggingface.open_hub(data), strict)
    if remote.is_address(data):
        return _tar(data, {address: remote.RemoteFile(address) for address in remote.addresses(data)}, strict)
    return _toy(data) if is_toy(data) else _find(Path(data).expanduser(), strict)


def require_labels(source: Source) -> None:
    """Raises ValueError when the source has no labels."""
    if source.labels is not None:
        return
    names = getattr(source.reader, "names", ()) if source.kind in ("folder", "zip") else ()
    loose = next((name for name in names if "/" not in name), None)
    folders = f"{loose!r} lies in no sub-folder, and a class is a sub-folder, or a line of labels.json or labels.csv"
    reason = folders if loose else "it has none"
    raise ValueError(f"{source.name} cannot be used with labels: {reason}")


def is_named(data: str) -> bool:
    """Whether data are no path: the built-in images, a toy set, or what lies behind an address."""
    return data == "builtin" or remote.is_address(data) or is_toy(data)


def is_toy(data: str) -> bool:
    """Whether data are named by a component, not by a path.

    >>> is_toy("ring"), is_toy("grid(side=3)"), is_toy("mine.py:moons"), is_toy("photos/ring")
    (True, True, True, False)
    """
    return data in names(toys) or bool(NAMED.fullmatch(data) and not Path(data).expanduser().exists())


def _toy(data: str) -> Source:
    toy = build(data, toys)
    if not isinstance(toy, toys.Toy):
        raise ValueError(f"{data} gives {type(toy).__name__}, but a toy set is one of equipoise.data.toys.Toy")
    held_out = partial(_drawn, toy, f"{toy.name} held-out", toy.held_out, 1)
    return replace(_drawn(toy, toy.name, toy.count, 0), held_out=held_out)


def _drawn(toy: toys.Toy, name: str, count: int, seed: int) -> Source:
    images, numbers = toy.draw(count, seed)
    shaped = images[:, :, None, None] if images.ndim == 2 else images
    table = nothing if numbers is None else lambda: classes(numbers, toy.classes)
    return replace(_pixels("toy", name, shaped, table, ranges=(toy.range, toy.range)), toy=toy)


def _find(path: Path, strict: bool) -> Source:
    if not path.exists():
        raise ValueError(f"no such file or folder: {path}; {kind(toys)} by name: {', '.join(names(toys))}")
    try:
        return _folder(path, strict) if path.is_dir() else _file(path, strict)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def _folder(path: Path, strict: bool) -> Source:
    found = cifar.cifar_folder(path)
    if found:
        return _cifar(found[1], found[0])
    train = idx.images_file(path)
    if train:
        return _idx(train)
    if huggingface.is_saved(path):
        return _parts(path.resolve().name, huggingface.open_saved(path), strict)
    folder = Folder(path)
    names = tuple(folder.names())
    images, packed, tables = (shown(names, endings) for endings in (SUFFIXES, (".tar",), (".parquet",)))
    if len(tables) > len(images):
        return _parts(path.resolve().name, huggingface.open_parquet(path), strict)
    if len(packed) > len(images):
        return _tar(str(path), {name: shards.LocalFile(path / name) for name in packed}, strict)
    return _files("folder", str(path), folder, names, strict)


def _file(path: Path, strict: bool) -> Source:
    suffix = path.suffix.lower()
    if suffix == ".zip":
        archive = Archive(path)
        return _files("zip", str(path), archive, tuple(archive.names()), strict)
    if suffix in (".npy", ".npz"):
        return _arrays(path, arrays.read_arrays(path))
    if suffix in (".tif", ".tiff"):
        return _arrays(path, read_stack(path))
    if suffix == ".parquet":
        return _parts(path.name, huggingface.open_parquet(path), strict)
    if "idx" in path.name and "ubyte" in path.name:
        raise ValueError(f"{path} is one file of idx; give the folder that holds it and its labels")
    kind = cifar.cifar_tar(path) if suffix in (".gz", ".tgz", ".tar") else None
    if kind:
        return _cifar(path, kind)
    if suffix in (".tar", ".gz", ".tgz"):
        return _tar(str(path), {path.name: shards.LocalFile(path)}, strict)
    what = "a single image" if suffix in SUFFIXES else "a file of unknown kind"
    raise ValueError(f"{path} is {what}; possible: {KINDS}")


def _files(kind: str, where: str, store: Store, names: tuple[str, ...], strict: bool) -> Source:
    images, packed = image_names(names), kind != "folder"
    if not images:
        raise ValueError(f"{where} has no image: no file that ends in {', '.join(SUFFIXES)}; possible: {KINDS}")
    files = Files(store, images)
    described = label_files.labels_file(names, images, packed)
    find_labels = partial(_labels, files, described, where, packed)
    name = where if remote.is_address(where) else Path(where).resolve().name
    return Source(kind, name, files, survey(files, where, strict), find_labels)


def _tar(where: str, packed: Mapping[str, shards.LocalFile | remote.RemoteFile], strict: bool) -> Source:
    store = shards.find(packed)
    source = _files("tar", where, store, tuple(store.names()), strict)
    files = cast(Files, source.reader)
    in_folders = lambda: _classes(tuple(map(store.inside, files.names)), True)
    others = source.find_labels if len(packed) == 1 else in_folders  # several shards have names of their own
    return replace(source, find_labels=lambda: shards.labels(files, store) or others())


def _rows(name: str, rows: huggingface.Rows, strict: bool, held_out: Callable[[], Source | None] = nothing) -> Source:
    files = Files(rows, tuple(rows.names()))
    if not files.names:
        raise ValueError(f"{rows.where} has no row")
    return Source("huggingface", name, files, survey(files, rows.where, strict), rows.labels, held_out)


def _parts(name: str, parts: huggingface.Parts, strict: bool) -> Source:
    """The part to train on, with the one that is held out."""
    rest = parts.held_out
    return _rows(
        name, parts.training, strict, nothing if rest is None else partial(_rows, f"{name} test", rest, strict)
    )


def survey(reader: Reader, name: str, strict: bool = False) -> Look:
    """The fewest channels that hold every image of a sample, and the median height and width."""
    looks, problem = [], ""
    for index in np.unique(np.linspace(0, len(reader) - 1, SAMPLE).astype(int)):
        try:
            looks.append(reader.look(int(index)))
        except BrokenImage as error:
            problem = problem or str(error)
            if strict:
                raise
    if not looks:
        raise ValueError(f"{name} has no image that can be read ({problem})")
    height, width = (int(np.median(sizes)) for sizes in zip(*((k.height, k.width) for k in looks), strict=True))
    return Look(channels_of_all({k.channels for k in looks}), height, width)


def channels_of_all(seen: set[int]) -> int:
    """Grey+alpha and RGB together need RGBA."""
    return 4 if {2, 3} <= seen else max(seen)


def _labels(files: Files, described: str | None, where: str, packed: bool) -> LabelTable | None:
    """What a file of labels says, else the classes that are sub-folders."""
    found = label_files.read(files, described, where) if described else None
    return _classes(files.names, packed) if found is None else found


def _classes(names: tuple[str, ...], packed: bool) -> LabelTable | None:
    """Classes by first-level sub-folder; the one folder that a zip file often packs is looked into."""
    parts = [PurePosixPath(name).parts for name in names]
    while packed and len({p[0] for p in parts}) == 1 and min(map(len, parts)) > 2:
        parts = [p[1:] for p in parts]
    if min(map(len, parts)) < 2:
        return None
    return named_classes([p[0] for p in parts])


def _pixels(
    kind: str,
    name: str,
    images: Shaped[np.ndarray, "n c h w"],
    find_labels: Callable[[], LabelTable | None],
    held_out: Callable[[], Source | None] = nothing,
    ranges: tuple[Range | None, Range | None] = (BYTES, BYTES),
) -> Source:
    """Arrays as a source: the range that their numbers have, and the one to learn."""
    if images.size == 0:
        raise ValueError(f"{name} has no image: its array is {list(images.shape)}")
    (has, learnt), (_, channels, height, width) = ranges, images.shape
    look = Look(channels, height, width, learnt)
    return Source(kind, name, Arrays(images, has), look, find_labels, held_out)


def _cifar(path: Path, kind: str) -> Source:
    name = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}[kind]
    images, labels = cifar.read_cifar(path, kind)
    return _pixels(kind, name, images, lambda: labels, partial(_cifar_test, path, kind, f"{name} test"))


def _cifar_test(path: Path, kind: str, name: str) -> Source:
    images, labels = cifar.read_cifar(path, kind, cifar.TEST)
    return _pixels(kind, name, images, lambda: labels)


def _idx(train: Path) -> Source:
    test = idx.images_file(train.parent, ("t10k", "test"))
    name = train.parent.resolve().name
    return _idx_file(train, name, partial(_idx_file, test, f"{name} test") if test else nothing)


def _idx_file(path: Path, name: str, held_out: Callable[[], Source | None] = nothing) -> Source:
    images = idx.read_idx(path, 3)
    return _pixels("idx", name, images[:, None], partial(_idx_labels, path, len(images)), held_out)


def _idx_labels(path: Path, count: int) -> LabelTable | None:
    beside = idx.labels_file(path)
    return arrays.read_labels(path, {"labels": idx.read_idx(beside, 1)}, count) if beside else None


def _arrays(path: Path, content: dict[str, Any]) -> Source:
    images, *ranges = arrays.read_images(path, content)
    labels = partial(arrays.read_labels, path, content, len(images))
    return _pixels("arrays", path.name, images, labels, ranges=(ranges[0], ranges[1]))


def _builtin() -> Source:
    name = "fashion-mnist-10k (built in)"
    test = partial(_builtin_part, "held_out_", "fashion-mnist held-out 2k (built in)")
    return _builtin_part("", name, test)


def _builtin_part(part: str, name: str, held_out: Callable[[], Source | None] = nothing) -> Source:
    images, table = arrays.read_builtin(part)
    return _pixels("builtin", name, images[:, None], lambda: table, held_out)
