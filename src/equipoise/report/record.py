"""What a run folder says, read once; whatever is not there yet is empty."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..metrics.titles import title
from ..runs.folder import RunFolder, read_rows

Row = dict[str, Any]
Values = NDArray[np.float64]
Readings = dict[str, dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class Record:
    """The contents of a run folder."""

    path: Path
    context: dict[str, Any]
    stats: list[Row]
    training: list[Row]
    evaluations: list[Row]
    pictures: list[tuple[int, Path]]
    levels: list[tuple[int, Path]]
    nearest: Path
    seen: int
    readings: dict[int, Readings] = field(default_factory=dict)
    """What instruments said of the networks, by images seen."""

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.resolve().name

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe as it was written, by whatever version."""
        recipe: dict[str, Any] = self.context.get("recipe", {})
        return recipe

    @property
    def players(self) -> list[str]:
        """Who played, by the names that their statistics have."""
        players = self.context.get("players")
        return [*players] if isinstance(players, dict) else []

    @property
    def translates(self) -> bool:
        """Whether images are made of images."""
        return str(self.recipe.get("domains", "none")) != "none"

    @property
    def of_points(self) -> bool:
        """Whether the data are points."""
        return str(self.recipe.get("size")) == "1"

    @property
    def images(self) -> int:
        """The length that the run should have."""
        return int(self.recipe.get("images") or self.seen)

    @property
    def finished(self) -> bool:
        """Whether the run has that length."""
        return self.seen >= self.images

    @property
    def seconds(self) -> float | None:
        """How long it has trained."""
        return number(self.stats[-1], "seconds") if self.stats else None

    def seconds_at(self, seen: Values) -> Values:
        """How long it had trained when it had seen so many images."""
        known = [row for row in self.stats if number(row, "seconds") is not None]
        at, seconds = (np.concatenate([[0.0], column(known, key)]) for key in ("seen", "seconds"))
        return np.asarray(np.interp(seen, at, seconds), dtype=np.float64)

    def scored(self) -> tuple[str, list[Row]]:
        """The metric to speak of and its scores, by the features that were used last; ("", []) without scores."""
        first = by_output(self.training)[:1]
        for metric in scores_in(self.training):
            rows = [row for rows in first for row in rows if number(row, metric) is not None]
            if rows:
                return metric, by_card(rows)[card_key(rows[-1])]
        return "", []


def read(run: str | Path) -> Record:
    """Reads a run folder; raises ValueError for a folder that is none."""
    folder = RunFolder(run)
    context = folder.context()
    every, metrics = rows(folder.stats_file), rows(folder.metrics_file)
    readings = {int(row["seen"]): readings_in(row) for row in every if readings_in(row)}
    stats = [row for row in every if row["seen"] or not readings_in(row)]  # before the first round there are no others
    pictures, levels = numbered(folder.samples), numbered(folder.levels)
    saved = [int(file.stem) for file in folder.checkpoint_files() if file.stem.isdecimal()]
    training = [row for row in metrics if row.get("when") == "training"]
    evaluations = [row for row in metrics if row.get("when") == "evaluate"]
    reached = [int(row["seen"]) for row in stats + metrics] + [seen for seen, _ in pictures] + saved
    seen = max(reached, default=0)
    return Record(
        folder.path, context, stats, training, evaluations, pictures, levels, folder.nearest_file, seen, readings
    )


def numbered(folder: Path) -> list[tuple[int, Path]]:
    """The pictures of a folder that are named by a number, in that order."""
    return sorted((int(file.stem), file) for file in folder.glob("*.png") if file.stem.isdecimal())


def rows(file: Path) -> list[Row]:
    """The rows that say when they were written, in that order; what they say of their values is a dictionary."""
    found = [row for row in read_rows(file) if isinstance(row, dict) and number(row, "seen") is not None]
    known = [row | {name: by_value(row.get(name)) for name in ("scores", "intervals")} for row in found]
    return [row | {"metrics": calls(row.get("metrics"))} for row in known]


def by_value(found: object) -> dict[str, Any]:
    """What a row says of each of its values, or nothing."""
    return {str(k): v for k, v in found.items() if isinstance(v, dict | list)} if isinstance(found, dict) else {}


def readings_in(row: Row) -> Readings:
    """What instruments said in a row, by network and instrument: finite numbers, and lists of them."""
    of_nets = by_value(row.get("instruments"))
    found = {net: {name: finite(one) for name, one in by_value(of).items()} for net, of in of_nets.items()}
    return {net: known for net, of in found.items() if (known := {name: one for name, one in of.items() if one})}


def finite(readings: object) -> dict[str, Any]:
    """Of readings by name, the finite numbers and the lists of them."""
    found = readings.items() if isinstance(readings, dict) else ()
    return {str(key): value for key, value in found if is_finite(value)}


def is_finite(value: object) -> bool:
    """Whether it is a finite number, or a list of some."""
    several = value if isinstance(value, list) else [value]
    return bool(several) and all(isinstance(one, int | float) and isfinite(one) for one in several)


def calls(found: object) -> list[str]:
    """The metrics that a row says were measured, or none."""
    return [*map(str, found)] if isinstance(found, list) else []


def number(row: Row, key: str) -> float | None:
    """A finite number in a row, or None."""
    found = row.get(key)
    return float(found) if isinstance(found, int | float) and isfinite(found) else None


def column(rows: list[Row], key: str) -> Values:
    """A key's numbers over all rows, NaN where a row has none."""
    found = (number(row, key) for row in rows)
    return np.array([np.nan if n is None else n for n in found], dtype=np.float64)


def by_card(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows that may be compared with each other, by their cards."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(card_key(row), []).append(row)
    return groups


def by_output(rows: list[Row]) -> list[list[Row]]:
    """Rows of each of the images that a run scores: of a translation there and back two lists, the first the best's."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(str(row.get("output", "")), []).append(row)
    return [*groups.values()]


MEASURE = ("output", "inputs", "features_hash", "resizer", "n_real", "reference", "reference_hash", "dtype")
CARD = (*MEASURE, "metrics", "n_fake")


def card_key(row: Row, names: Sequence[str] = CARD) -> str:
    """What has to be equal for values to be comparable."""
    return " ".join(str(row.get(name, "")) for name in names)


def features_key(row: Row) -> str:
    """The hash of the features."""
    return str(row.get("features_hash", ""))


def scores_in(rows: list[Row], parts: bool = False) -> list[str]:
    """The keys of the scores that rows have, first that to speak of.

    With `parts`, also what a score is made of, "polygon.recall"; those of a class or a scale, "intra_fd.3", never.
    """
    whole = lambda key: "." not in key or (parts and not key.partition(".")[2].isdecimal())
    return list(dict.fromkeys(key for row in rows for key in row["scores"] if whole(key)))


def score_title(metric: str, *rows: Row) -> str:
    """What a score is called in rows that have it."""
    return ", ".join(dict.fromkeys(title(metric, row) for row in rows))


def best(rows: list[Row], metric: str) -> Row | None:
    """The row with the best score; of equal ones the last, as the run keeps it."""
    known = [row for row in reversed(rows) if number(row, metric) is not None]
    sign = -1 if any(is_higher_better(metric, row) for row in known) else 1
    return min(known, key=lambda row: sign * float(row[metric]), default=None)


def is_higher_better(metric: str, row: Row) -> bool:
    """Whether more of this score is better."""
    return bool(row["scores"].get(metric, {}).get("higher", False))


class Floor(NamedTuple):
    """What so many held-out real images score, and how many were generated for the scores beside it."""

    score: float
    images: float
    generated: float | None


def real_floor(record: Record, row: Row, metric: str) -> Floor | None:
    """What held-out real images score, measured as in a row: of as many as were generated, or most nearly so."""
    generated = number(row, "n_fake")
    alike = [other for other in reversed(record.evaluations) if measured_alike(metric, row, other)]
    known = [(number(other, f"real_{metric}"), number(other, "real_n")) for other in alike]
    floors = [Floor(score, images, generated) for score, images in known if score is not None and images is not None]
    return min(floors, key=lambda floor: abs(floor.images - (generated or 0)), default=None)


def measured_alike(metric: str, row: Row, other: Row) -> bool:
    """Whether a value was made by the same call in both rows, on the same features, against the same real images."""
    one, two = ({name_in(call): call for call in part.get("metrics", [])} for part in (row, other))
    both = one.keys() & two.keys()
    made = {metric} & both or both  # `precision` is of a call with another name: one of both rows
    return card_key(row, MEASURE) == card_key(other, MEASURE) and all(one[name] == two[name] for name in made)


def name_in(call: str) -> str:
    """The name in a call, whatever it may be."""
    return call.rpartition(".py:")[2].partition("(")[0]


def score_before(rows: list[Row], seen: int) -> Row | None:
    """The last score of a run when it had seen so many images."""
    return next((row for row in reversed(rows) if row["seen"] <= seen), None)
