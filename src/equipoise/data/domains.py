"""Two sets of images between which a translation is learnt: a folder for each, or pairs side by side in pictures."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path, PurePosixPath
from posixpath import commonpath
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..processes import ALONE, World
from ..randomness import SECOND_DOMAIN, mixed
from ..schedules import Rate
from ..watching import Watch, unwatched
from .batches import batches
from .convert import Format, Look
from .dataset import Dataset, load
from .label_tables import Meaning
from .readers import Archive, Files, Folder, Halves, Reader, Store, image_names
from .sources import Source, channels_of_all, nothing, survey

TRAINING, HELD_OUT = "train", ("test", "val")
POSSIBLE = "two domains are sub-folders trainA and trainB (and testA, testB), or any two sub-folders"
BESIDE = "or pictures that hold a pair side by side, in train and test or val, or all in one folder"
Groups = dict[str, tuple[str, ...]]
Sides = tuple[Reader, Reader]
Images = Float[Tensor, "b c h w"]
TwoBatches = dict[str, Images] | tuple[Images, Images]


class DomainSources(NamedTuple):
    """Two sets of images that were found, not yet decoded."""

    name: str
    a: Source
    b: Source
    paired: bool

    @property
    def together(self) -> Source:
        """What a recipe is chosen for: the smaller set, with channels and size that suit both."""
        one, other = self.a.typical, self.b.typical
        look = Look(
            channels_of_all({one.channels, other.channels}), min(one.height, other.height), min(one.width, other.width)
        )
        return replace(min(self.a, self.b, key=lambda source: source.count), name=self.name, typical=look)


@dataclass(eq=False)
class Domains:
    """Two sets of images in one format: input and target of a translation, in pairs or each for itself."""

    name: str
    a: Dataset
    b: Dataset
    paired: bool

    def __len__(self) -> int:
        return max(len(self.a), len(self.b))

    @property
    def meaning(self) -> Meaning:
        """There are no labels."""
        return self.a.meaning

    @property
    def format(self) -> Format:
        """What the images of both are."""
        return self.a.format

    def batches(
        self,
        batch: Rate,
        seed: int,
        start: int = 0,
        mirror: bool = False,
        dequantize: bool = False,
        device: torch.device | str = "cpu",
        world: World = ALONE,
    ) -> Iterator[TwoBatches]:
        """{"a": images, "b": images} or, of pairs, (a, b) without end, after the first `start` of each, in [-1, 1].

        Each domain has its own order; pairs come together, and are mirrored together.
        """
        second = mixed(seed, SECOND_DOMAIN)
        some = partial(
            batches, batch=batch, start=start, mirror=mirror, dequantize=dequantize, device=device, world=world
        )
        a = some(self.a, seed=seed)
        b = some(self.b, seed=seed if self.paired else second, noise_seed=second)
        for (one, _), (other, _) in zip(a, b, strict=True):
            yield (one, other) if self.paired else {"a": one, "b": other}


def find_domains(path: str | Path, kind: str = "unpaired", strict: bool = False) -> DomainSources:
    """Finds the two domains in a folder or a zip file: "unpaired", or pairs of which "a_to_b" or "b_to_a" is learnt."""
    path = Path(path).expanduser()
    if not path.is_dir() and path.suffix.lower() != ".zip":
        raise ValueError(f"{path} is no folder and no .zip that holds two domains")
    store: Store = Folder(path) if path.is_dir() else Archive(path)
    found = in_folders(image_names(store.names()))
    paired = kind != "unpaired"
    split = _side_by_side if paired and (TRAINING in found or [*found] == [""]) else _two_folders
    training, held_out = split(store, found, str(path))
    if paired:
        training, held_out = _matched(training), held_out and _matched(held_out)
    kind_of_source, name = "folder" if path.is_dir() else "zip", path.resolve().name
    a, b = (
        Source(
            kind_of_source,
            f"{name} {letter}",
            images,
            survey(images, f"{path} {letter}", strict or paired),
            held_out=partial(_held_out, f"{name} {letter} test", rest, strict or paired) if rest else nothing,
        )
        for letter, images, rest in zip("ab", training, held_out or (None, None), strict=True)
    )
    return DomainSources(name, b, a, paired) if kind == "b_to_a" else DomainSources(name, a, b, paired)


def load_domains(found: DomainSources, format: Format, strict: bool = False, watch: Watch = unwatched) -> Domains:
    """The images of both; of pairs, a broken image is refused, since its partner would be left alone."""
    a, b = (load(source, format, strict=strict or found.paired, watch=watch) for source in (found.a, found.b))
    return Domains(found.name, a, b, found.paired)


def in_folders(names: tuple[str, ...]) -> Groups:
    """Names by first-level sub-folder, "" of those in none; a folder that holds all is looked into.

    >>> in_folders(("set/trainA/1.png", "set/trainB/2.png"))
    {'trainA': ('set/trainA/1.png',), 'trainB': ('set/trainB/2.png',)}
    """
    parts, depth = {name: PurePosixPath(name).parts for name in names}, 0
    while {len(p) > depth + 2 for p in parts.values()} == {True} and len({p[depth] for p in parts.values()}) == 1:
        depth += 1
    first = lambda name: parts[name][depth] if len(parts[name]) > depth + 1 else ""
    return {folder: tuple(group) for folder, group in groupby(sorted(names, key=first), first)}


def _two_folders(store: Store, found: Groups, where: str) -> tuple[Sides, Sides | None]:
    """The files of both domains, and those that are held out."""
    parts = [(f"{part}A", f"{part}B") for part in (TRAINING, *HELD_OUT)]
    if {*parts[0]} & found.keys():
        folders, held_out = parts[0], next((part for part in parts[1:] if {*part} <= found.keys()), None)
    elif len(found) == 2 and "" not in found and not {*found} <= {TRAINING, *HELD_OUT}:
        folders, held_out = (min(found), max(found)), None
    else:
        holds = ", ".join(folder or "images in no sub-folder" for folder in found) or "no image"
        raise ValueError(f"{where} does not hold two domains but {holds}: {POSSIBLE}; {BESIDE}")
    if missing := [folder for folder in folders if folder not in found]:
        raise ValueError(f"{where} has no image in {missing[0]}: {POSSIBLE}")
    read = lambda sides: (Files(store, found[sides[0]]), Files(store, found[sides[1]]))
    return read(folders), read(held_out) if held_out else None


def _side_by_side(store: Store, found: Groups, where: str) -> tuple[Sides, Sides | None]:
    """The left and the right halves of pictures, and of those that are held out."""
    halves = lambda names: (Halves(Files(store, names), right=False), Halves(Files(store, names), right=True))
    held_out = next((found[part] for part in HELD_OUT if part in found), None)
    return halves(found[TRAINING] if TRAINING in found else found[""]), halves(held_out) if held_out else None


def _matched(sides: Sides) -> Sides:
    """Both sides in the order of their names, which must be the same but for their folder and suffix."""
    a, b = sides
    if not (isinstance(a, Files) and isinstance(b, Files)):
        return sides
    one, other = _by_stem(a), _by_stem(b)
    if lonely := sorted(one.keys() ^ other.keys()):
        name = one.get(lonely[0]) or other[lonely[0]]
        more = f", nor have {len(lonely) - 1} others" if len(lonely) > 1 else ""
        raise ValueError(f"{name} has no partner of the same name in the other domain{more}")
    in_order = lambda files, names: Files(files.store, tuple(names[stem] for stem in sorted(one)))
    return in_order(a, one), in_order(b, other)


def _by_stem(files: Files) -> dict[str, str]:
    """File names by what both domains have in common; raises ValueError for two of one name."""
    found: dict[str, str] = {}
    root = commonpath([PurePosixPath(name).parent for name in files.names])
    for name in files.names:
        stem = str(PurePosixPath(name).relative_to(root).with_suffix(""))
        if stem in found:
            raise ValueError(f"{found[stem]} and {name} have the same name: a pair is one image of each domain")
        found[stem] = name
    return found


def _held_out(name: str, images: Reader, strict: bool) -> Source:
    return Source("folder", name, images, survey(images, name, strict))
