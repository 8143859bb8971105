"""The labels of a set of images: what the user wrote, what it means, and what networks see of it."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64, Shaped
from torch import Tensor
from torch.nn.functional import one_hot

from ..checks import check_choice
from ..labels import Kind, Labels, LabelSpace

Values = Int64[np.ndarray, " n"] | Bool[np.ndarray, "n k"] | Float64[np.ndarray, "n k"]
UserLabels = Int64[Tensor, " n"] | Bool[Tensor, "n k"] | Float64[Tensor, "n k"]
EXAMPLES = 64
LARGEST = 1e30
DTYPES = {"classes": torch.int64, "attributes": torch.bool, "vectors": torch.float64}


@dataclass(frozen=True)
class Meaning:
    """What labels mean: the names of classes, attributes or dimensions; of vectors mean and deviation in the data.

    `examples` are label rows of the data, in the user's units; classes need none.
    """

    kind: Kind = "none"
    names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    examples: tuple[tuple[bool | float, ...], ...] = ()

    @property
    def space(self) -> LabelSpace:
        """Their kind, and how many classes, attributes or dimensions there are."""
        return LabelSpace(self.kind, len(self.names))

    def for_networks(self, labels: Shaped[Tensor, "n ..."]) -> Labels:
        """(label - mean) / std for vectors: about unit size; classes, attributes and mixtures of them as they are."""
        if self.kind != "vectors":
            return labels.float() if labels.is_floating_point() else labels
        mean, std = torch.tensor([self.mean, self.std], dtype=torch.float64)
        return ((labels - mean) / std).float()

    def mixable(self, labels: UserLabels) -> Float64[Tensor, "n k"]:
        """Labels that can be interpolated: classes as weights of all classes, attributes as 0 and 1."""
        return (one_hot(labels, len(self.names)) if self.kind == "classes" else labels).double()

    def representatives(self) -> UserLabels | None:
        """Every class, or the examples; None without labels."""
        if self.kind == "none":
            return None
        rows = range(len(self.names)) if self.kind == "classes" else self.examples
        return torch.tensor(list(rows), dtype=DTYPES[self.kind])

    def parse(self, texts: Sequence[str]) -> UserLabels:
        """The labels that a user names.

        A class by its name or number; attributes as names joined by commas, "none", or as many of 0 and 1; vectors as
        numbers joined by commas.

        >>> Meaning("attributes", ("smile", "glasses")).parse(["glasses", "none", "1,1"]).tolist()
        [[False, True], [False, False], [True, True]]
        """
        if self.kind == "none":
            raise ValueError(f"there is no label {texts[0]!r}: the run was trained without labels")
        read = {"classes": self._class, "attributes": self._attributes, "vectors": self._vector}[self.kind]
        return torch.tensor([read(text) for text in texts], dtype=DTYPES[self.kind])

    def _class(self, text: str) -> int:
        numbers = {str(number): number for number in range(len(self.names))}
        numbers |= {name: number for number, name in enumerate(self.names)}
        if text not in numbers:
            check_choice(text, list(self.names), f"there is no class {text!r}")
        return numbers[text]

    def _attributes(self, text: str) -> list[bool]:
        parts = text.split(",")
        if len(parts) == len(self.names) and {*parts} <= {"0", "1"}:
            return [part == "1" for part in parts]
        if text == "none":
            return [False] * len(self.names)
        for part in parts:
            check_choice(part, list(self.names), f"there is no attribute {part!r}")
        return [name in parts for name in self.names]

    def _vector(self, text: str) -> list[float]:
        try:
            numbers = [float(part) for part in text.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) != len(self.names) or not all(map(isfinite, numbers)):
            wanted = f"{len(self.names)} numbers joined by commas: {','.join(self.names)}"
            raise ValueError(f"a label of this run is {wanted}, not {text!r}")
        return numbers

    def to_json(self) -> dict[str, Any]:
        """Plain data, as written to recipe.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "Meaning":
        """The inverse of `to_json`; raises ValueError for anything else."""
        try:
            names, mean, std, examples = (tuple(values[name]) for name in ("names", "mean", "std", "examples"))
            meaning = values["kind"], names, mean, std, tuple(tuple(row) for row in examples)
            sound = _is_sound(*meaning)
        except (KeyError, TypeError):
            sound = False
        if not sound:
            raise ValueError("labels have kind, names, mean, std and examples")
        return cls(*meaning)


def _is_sound(kind: Any, names: Sequence[Any], mean: Sequence[Any], std: Sequence[Any], examples: Any) -> bool:
    """Whether a meaning can be used."""
    numbers = [*mean, *std, *(number for row in examples for number in row)]
    return (
        kind in get_args(Kind)
        and bool(names) == (kind != "none")
        and len(mean) == len(std) == (len(names) if kind == "vectors" else 0)
        and bool(examples) == (kind in ("attributes", "vectors"))
        and all(len(row) == len(names) for row in examples)
        and all(isinstance(name, str) for name in names)
        and all(isinstance(number, bool | int | float) for number in numbers)
    )


@dataclass(frozen=True, eq=False)
class LabelTable:
    """The labels of images, a row each, in the user's units, with what they mean."""

    values: Values
    meaning: Meaning

    def __len__(self) -> int:
        return len(self.values)

    @property
    def space(self) -> LabelSpace:
        """Their kind, and how many classes, attributes or dimensions there are."""
        return self.meaning.space

    def rows(self, indices: Int64[np.ndarray, " m"]) -> "LabelTable":
        """The labels of some of the images."""
        return LabelTable(self.values[indices], self.meaning)

    def tensor(self) -> Labels:
        """What networks see."""
        return self.meaning.for_networks(torch.from_numpy(self.values))

    def like(self, meaning: Meaning) -> "LabelTable":
        """The same labels as others mean theirs: numbered and standardised alike; raises ValueError where they cannot.

        >>> few = classes([1, 1], ("cat", "dog"))
        >>> few.like(Meaning("classes", ("bird", "cat", "dog"))).values.tolist()
        [2, 2]
        """
        own, numbers = self.meaning, {name: number for number, name in enumerate(meaning.names)}
        strange = [name for name in own.names if name not in numbers]
        if own.kind != meaning.kind or strange or (own.kind != "classes" and own.names != meaning.names):
            ours, theirs = (f"{m.kind} {', '.join(m.names[:5])}" for m in (own, meaning))
            raise ValueError(f"labels do not agree with those of training: {ours}; in training {theirs}")
        values = self.values
        if own.kind == "classes":
            values = np.array([numbers[name] for name in own.names], np.int64)[values]
        return LabelTable(values, meaning)

    def digest(self) -> str:
        """A hash of the labels and of what they mean."""
        digest = hashlib.sha256(repr((self.meaning.kind, self.meaning.names)).encode())
        digest.update(np.ascontiguousarray(self.values).data)
        return digest.hexdigest()


def classes(numbers: Sequence[int] | Int64[np.ndarray, " n"], names: Sequence[str]) -> LabelTable:
    """Labels that are one class each, by its number."""
    return LabelTable(np.asarray(numbers, np.int64), Meaning("classes", tuple(names)))


def named_classes(labels: Sequence[Any]) -> LabelTable:
    """Labels that are the name of one class each, text or whole numbers; the classes are sorted."""
    names = sorted(set(labels))
    numbers = {name: number for number, name in enumerate(names)}
    return classes([numbers[label] for label in labels], [str(name) for name in names])


def attributes(rows: Bool[np.ndarray, "n k"], names: Sequence[str] = ()) -> LabelTable:
    """Labels that are booleans, one per attribute."""
    return LabelTable(rows, Meaning("attributes", _named("attribute", rows, names), examples=_examples(rows)))


def vectors(rows: Float64[np.ndarray, "n k"], names: Sequence[str] = ()) -> LabelTable:
    """Labels that are vectors; a constant column has standard deviation 1 here."""
    mean, std = rows.mean(0), rows.std(0)
    std = np.where((np.ptp(rows, axis=0) > 0) & (std > 0), std, 1.0)
    named = _named("number", rows, names)
    return LabelTable(rows, Meaning("vectors", named, tuple(mean.tolist()), tuple(std.tolist()), _examples(rows)))


def usable(rows: Shaped[np.ndarray, "n k"]) -> Bool[np.ndarray, " n"]:
    """Which rows have only numbers that can be learnt."""
    return (np.abs(rows) <= LARGEST).all(1)  # false for NaN


def _named(what: str, rows: Shaped[np.ndarray, "n k"], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(names) or tuple(f"{what} {number}" for number in range(rows.shape[1]))


def _examples(rows: Shaped[np.ndarray, "n k"]) -> tuple[tuple[bool | float, ...], ...]:
    chosen = np.resize(np.random.default_rng(0).permutation(len(rows)), EXAMPLES)
    return tuple(tuple(row) for row in rows[chosen].tolist())
