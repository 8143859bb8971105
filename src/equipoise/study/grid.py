"""A study: rows x columns x seeds of one base recipe, each cell a run."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from inspect import Parameter, signature
from itertools import count, product
from types import ModuleType
from typing import Any, NamedTuple

from .. import augment, constraints, games, growth, losses, networks, norms, optimizers, penalties, presets
from ..checks import check_choice
from ..recipe import Recipe
from ..runs.choices import SCORE_IMAGES
from ..runs.paths import TERMS, absolute, located
from ..spec import listed, parse
from .search import Search
from .spaces import ranges_in

Choices = Mapping[str, Any]
"""Fields of a recipe with their values; `preset` says where the others come from."""

BUDGET = ("images", "minutes")
SCORES = 10  # in a run of a study, but for that of the start
PROTOCOL = ("seed", "score", "score_images", "features")
FIELDS = ["preset", *(field.name for field in fields(Recipe))]
KINDS = {
    **{"loss": losses, "penalties": penalties, "g_penalties": penalties, "constraint": constraints},
    **{"network": networks, "g_norm": norms, "d_norm": norms, "augment": augment},
    **{"game": games, "growth": growth, "optimizer": optimizers},
}
"""What the calls in a field of a recipe name."""


class Cell(NamedTuple):
    """One place of the table."""

    row: str
    column: str

    @property
    def name(self) -> str:
        """As one writes it."""
        return f"{self.row}, {self.column}" if self.column else self.row

    @property
    def slug(self) -> str:
        """As a folder is called."""
        return "--".join(slug(part) for part in self if part)


@dataclass(frozen=True)
class Study:
    """What is compared: every row in every column, with the same seeds, at equal cost, by the same scores.

    A row, a column and `base` hold fields of a recipe, and `preset`. What a row or a column says goes before the base,
    and no field is set by a row and by a column. The length (`images`, or `minutes` of training) may
    change from column to column, never from row to row; `score`, `features` and `score_images` are the base's. With a
    `search` values may be ranges, "log(1e-5, 1e-2)", also inside calls: "r1(weight=log(0.1, 100))"; every cell is then
    searched for its best setting, which is trained with all seeds.

    `about` says what is known beforehand, such as what a paper found. `baseline` is the row that others are compared
    with; without one, it is the first. `survives` is what the first score has to reach for a run to count as a
    survivor; without it, it must be better than that of the untrained generator.

    Raises ValueError for unknown fields, equal cells, and a field that is set twice.
    """

    base: Choices = field(default_factory=dict)
    rows: Mapping[str, Choices] = field(default_factory=dict)
    columns: Mapping[str, Choices] = field(default_factory=lambda: {"": {}})
    seeds: Sequence[int] = (0, 1, 2)
    title: str = ""
    about: str = ""
    baseline: str = ""
    survives: int | float | None = None
    search: Search | None = None

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError("a study needs rows: what is compared")
        whole = all(type(seed) is int and seed >= 0 for seed in self.seeds)
        if not self.seeds or not whole or len({*self.seeds}) < len(self.seeds):
            raise ValueError(f"seeds must be different whole numbers from 0 up, at least one, not {[*self.seeds]}")
        if self.baseline:
            check_choice(self.baseline, [*self.rows], f"baseline: no row is called {self.baseline!r}")
        self._check_fields()
        self._check_lengths()
        self._check_ranges()
        self._check_names()
        self._check_equal()

    @property
    def compared_with(self) -> str:
        """The row that others are compared with."""
        return self.baseline or next(iter(self.rows))

    @cached_property
    def cells(self) -> list[Cell]:
        """All cells, column by column."""
        return [Cell(row, column) for column, row in product(self.columns, self.rows)]

    @cached_property
    def searched(self) -> list[Cell]:
        """The cells whose values are ranges, of which a search finds the best setting."""
        return [cell for cell in self.cells if ranges_in(self.choices(cell))]

    def choices(self, cell: Cell) -> dict[str, Any]:
        """What the study says of a cell."""
        base, column = dict(self.base), self.columns[cell.column]
        if any(name in column for name in BUDGET):
            base = {name: value for name, value in base.items() if name not in BUDGET}
        return {**base, **column, **self.rows[cell.row]}

    def recipe(self, cell: Cell, seed: int, drawn: Choices | None = None) -> Recipe:
        """The recipe of one run, with what a search has drawn for its ranges; all paths absolute."""
        return scored_alike(recipe_of({**self.choices(cell), **(drawn or {}), "seed": seed}))

    def located(self) -> "Study":
        """The same study with all paths absolute, as its folder keeps it."""
        whole = lambda choices: {**choices, **absolute(choices)}
        rows, columns = ({name: whole(part) for name, part in group.items()} for group in (self.rows, self.columns))
        return self.changed(base=whole(self.base), rows=rows, columns=columns)

    def changed(self, **what: Any) -> "Study":
        """The same study with other fields."""
        return replace(self, **what)

    def _check_fields(self) -> None:
        for name, group in self._groups():
            for key in group:
                check_choice(key, FIELDS, f"{name}: a recipe has no field {key!r}")
        for name, group in self._groups():
            kept = {"base": ("seed",), "row": (*BUDGET, *PROTOCOL), "column": PROTOCOL}[name.partition(" ")[0]]
            if taken := [key for key in group if key in kept]:
                raise ValueError(f"{name} sets {taken[0]}{_where(taken[0])}")
            if all(group.get(key) is not None for key in BUDGET):
                raise ValueError(f"{name} sets images and minutes, and both are the length of a run: choose one")
        for row, column in product(self.rows, self.columns):
            if both := [key for key in self.rows[row] if key in self.columns[column]]:
                raise ValueError(f"row {row!r} and column {column!r} both set {both[0]}: which of them should count?")

    def _groups(self) -> Iterator[tuple[str, Choices]]:
        yield "base", self.base
        yield from ((f"row {name!r}", group) for name, group in self.rows.items())
        yield from ((f"column {name!r}", group) for name, group in self.columns.items())

    def _check_lengths(self) -> None:
        for column in self.columns:
            given = [name for name in BUDGET if {**self.base, **self.columns[column]}.get(name) is not None]
            if not given:
                where = f"column {column!r}" if column else "the base"
                raise ValueError(f"{where} needs a length, images or minutes: the same budget for all rows")

    def _check_ranges(self) -> None:
        if self.searched and self.search is None:
            found = next(iter(ranges_in(self.choices(self.searched[0]))))
            raise ValueError(f"{found} is a range, and the study has no [search], which says how many values are tried")
        if self.search and not self.searched:
            raise ValueError("a search needs ranges of values, as lr_d = 'log(1e-5, 1e-2)'")
        if self.search and (
            timed := [cell for cell in self.cells if not isinstance(self.choices(cell).get("images"), int)]
        ):
            raise ValueError(f"a search needs a length in images, and {timed[0].name!r} has none")

    def _check_names(self) -> None:
        found: dict[str, str] = {}
        for cell in self.cells:
            if cell.slug in found:
                raise ValueError(f"{found[cell.slug]!r} and {cell.name!r} would share the folder {cell.slug}")
            found[cell.slug] = cell.name

    def _check_equal(self) -> None:
        found: dict[str, str] = {}
        for cell in self.cells:
            choices = self.choices(cell)
            same = choices if ranges_in(choices) else asdict(recipe_of(choices))
            key = repr(sorted((name, in_one_form(value, name)) for name, value in same.items()))
            if key in found:
                raise ValueError(f"the cells {found[key]!r} and {cell.name!r} are equal: nothing would be compared")
            found[key] = cell.name


def recipe_of(choices: Choices) -> Recipe:
    """The recipe that such fields make, all paths absolute; raises ValueError for values that it cannot have."""
    rest = {name: plain(name, value) for name, value in choices.items() if name != "preset"}
    recipe = presets.named(str(choices.get("preset", "default")))
    if "minutes" in rest:
        rest.setdefault("images", None)
    try:
        return located(replace(recipe, **rest))
    except TypeError as error:
        raise ValueError(f"{rest}: {error}") from None


def scored_alike(recipe: Recipe) -> Recipe:
    """With scores at the same moments in all runs, where it does not say when: a run alone suits them to its speed.

    For all of them together no more images are generated than are trained on.
    """
    if recipe.score_every is not None or recipe.images is None:
        return recipe
    times = max(1, min(SCORES, recipe.images // (recipe.score_images or SCORE_IMAGES)))
    return replace(recipe, score_every=-(-recipe.images // times))


def plain(name: str, value: Any) -> Any:
    """A value of a TOML file as a recipe's field has it; one call may stand for a list of one."""
    if name in TERMS and isinstance(value, str):
        return listed((value,))
    if name == "size" and type(value) is int:
        return str(value)
    return tuple(value) if isinstance(value, list) else value


def in_one_form(value: Any, field: str = "") -> str:
    """A value without what makes no difference: spaces, 1 for 1.0, and a component's defaults: "hinge()" is "hinge"."""
    if isinstance(value, list | tuple):
        return repr([in_one_form(part, field) for part in value])
    if not isinstance(value, str):
        return repr(float(value) if type(value) is int else value)
    try:
        return repr(_call_in_full(value, KINDS.get(field)))
    except ValueError:
        return repr(value)


def _call_in_full(text: str, module: ModuleType | None) -> tuple[str, dict[str, str]]:
    """A call with all of its arguments by name, the defaults too where it names a component."""
    call = parse(text)
    usual = signature(getattr(module, call.name)).parameters if hasattr(module, call.name) else {}
    defaults = {name: one.default for name, one in usual.items() if one.default is not Parameter.empty}
    given = {**dict(zip(usual or map(str, count()), call.positional, strict=False)), **call.keywords}
    return call.name, {name: in_one_form(value) for name, value in sorted({**defaults, **given}.items())}


def slug(name: str) -> str:
    """A name as a part of a file's name.

    >>> slug("WN + TPReLU")
    'wn-tprelu'
    """
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "x"


def _where(field: str) -> str:
    """Where a field is to be said, and why."""
    if field == "seed":
        return ": say seeds = [0, 1, 2] beside the base"
    equal = "in all runs: say it in the base" if field in PROTOCOL else "in all rows: equal budgets"
    return f", which has to be equal {equal}"
