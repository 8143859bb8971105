"""A search for better settings of one's own data: a study of the usual recipe and one with ranges around it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from .. import optimizers, penalties, schedules
from ..checks import check_choice
from ..recipe import Recipe, known
from ..runs import Session
from ..spec import Call, find, name_of, names, parse, written
from .comparison import Summary, probability_better, summary
from .costs import serial_runs
from .grid import Study
from .search import Search
from .spaces import drawn, rounded

USUAL, TUNED = "usual", "tuned"
AROUND = 10.0  # times smaller and larger
STARTS = 5.0  # seconds until a run trains
RATES = ("value", "start", "end", "values")  # arguments of schedules that are rates

MEASURED = ("images", "score_every", "sample_every")  # what of a base follows from how fast the machine is

KNOBS = ["lr", "lr_g", "lr_d", "penalty weight", "batch", "d_steps", "beta1", "augment"]
"""What can be tuned by name; any field of a recipe can with a range: "lr_d=log(1e-5, 1e-2)"."""


class Answer(NamedTuple):
    """What a search has found: the setting, its score, that of the usual recipe, and how sure it is the better one."""

    setting: dict[str, Any]
    metric: str
    tuned: Summary
    usual: Summary
    sure: float


def tuning(
    recipe: Recipe,
    fields: Sequence[str],
    minutes: float,
    out: Path,
    device: str,
    workers: int = 1,
    threads: int = 1,
    trials: int = 9,
    lengths: Mapping[str, Any] | None = None,
) -> Study:
    """The study that finds better values of some fields of a recipe within so many minutes.

    All settings begin, the better third of them is resumed, and so forth; the best one and the usual recipe are then
    trained to the end with three seeds each, which says how sure the answer is. `lengths` are those of a search that
    has begun, which do not follow from how busy the machine is now.
    """
    of_one = minutes / trials  # about what a run to the end has, which decides how wide networks are
    session = Session(replace(recipe, images=None, minutes=of_one), out / "timed", device, threads=threads)
    complete, own = session.recipe, ("seed", "minutes", "images")
    searched = space(complete, fields)
    drawn(searched, np.random.default_rng(0))  # raises ValueError for a range that is none
    search = Search(trials=trials, method="halving")
    timed = replace(recipe, network=complete.network, lr_g=complete.lr_g, lr_d=complete.lr_d)
    base = {name: value for name, value in asdict(timed).items() if value is not None and name not in own}
    study = Study(
        base={**base, "images": 10**9},
        rows={USUAL: {}, TUNED: searched},
        search=search,
        title=f"Tuning {', '.join(fields)}",
    )
    if lengths is not None:
        return study.changed(base={**base, **lengths})
    pace = session.plan.pace
    runs, least = serial_runs(study, workers), 20 * known(complete.batch)
    scores = search.parts
    beside = STARTS + (1 + scores) * known(complete.score_images) * pace.scored  # seconds of a run that train nothing
    images = int((60 * minutes / runs - beside) / pace.image)
    if images < least:
        enough = runs * (beside + least * pace.image) / 60
        raise ValueError(f"{minutes:g} minutes are too few for {runs:.0f} runs in turn: give --minutes {enough:.1f}")
    return study.changed(base={**base, **dict(zip(MEASURED, (images, images // scores, images), strict=True))})


def space(recipe: Recipe, fields: Sequence[str]) -> dict[str, Any]:
    """Fields of a recipe as ranges around what it says.

    >>> from equipoise import presets
    >>> space(presets.wgan_gp(), ["penalty weight"])
    {'penalties': ('wgan_gp(weight=log(1.0, 100.0))',)}
    """
    found: dict[str, Any] = {}
    for field in fields:
        name, equals, text = field.partition("=")
        found |= {name.strip(): text.strip()} if equals else _knob(recipe, field.strip())
    return found


def _knob(recipe: Recipe, name: str) -> dict[str, Any]:
    check_choice(
        name, KNOBS, f"nothing to tune is called {name!r}, and a field of a recipe needs a range, {name}=log(a, b)"
    )
    if name == "lr":
        return {field: _rate(getattr(recipe, field), name) for field in ("lr_g", "lr_d")}
    if name in ("lr_g", "lr_d"):
        return {name: _rate(getattr(recipe, name), name)}
    if name == "penalty weight":
        if not recipe.penalties:
            raise ValueError("the recipe has no penalty to tune; try penalties='r1(weight=log(0.1, 10))'")
        return {"penalties": tuple(_weighted(penalty) for penalty in known(recipe.penalties))}
    if name == "batch":
        batch, both = known(recipe.batch), ("batch", "g_batch") if recipe.g_batch == recipe.batch else ("batch",)
        return dict.fromkeys(both, f"one_of({max(2, batch // 2)}, {batch}, {2 * batch}, name='batch')")
    if name == "beta1":
        return {"optimizer": _with(recipe.optimizer, optimizers, beta1=Call("uniform", (0.0, 0.9), {}))}
    return {"d_steps": "one_of(1, 2, 5)"} if name == "d_steps" else {"augment": "one_of('none', 'diffaug', 'ada')"}


def _rate(rate: object, name: str) -> str:
    """A learning rate as a range; of a schedule each of its rates, whose ranges share a name, so that ratios stay."""
    if isinstance(rate, int | float):
        return written(_around(rate, name))
    if name_of(str(rate)) not in names(schedules):
        raise ValueError(f"{rate} has no number that could be tuned; give a range yourself: lr_g=log(1e-5, 1e-2)")
    found = {key: value for key, value in _arguments(str(rate), schedules).items() if key in RATES}
    return _with(str(rate), schedules, **{key: _ranges(value, name) for key, value in found.items()})


def _ranges(values: Any, name: str) -> Any:
    """A range around each of the numbers, 0 as it is."""
    if isinstance(values, tuple):
        return tuple(_ranges(value, name) for value in values)
    return _around(values, name) if values else values


def _weighted(penalty: str) -> str:
    """The call of a penalty with a range as its weight."""
    usual, given = signature(find(penalty, penalties)).parameters, _arguments(penalty, penalties)
    weight = given.get("weight", usual["weight"].default if "weight" in usual else 0)
    if not isinstance(weight, int | float) or not weight:
        raise ValueError(f"{penalty} has no weight that is a number; give a range yourself: penalties=...")
    return _with(penalty, penalties, weight=_around(weight))


def _arguments(spec: str, module: ModuleType) -> dict[str, Any]:
    """The arguments that a call states, by name."""
    call = parse(spec.rpartition(".py:")[2])
    return dict(signature(find(spec, module)).bind(*call.positional, **call.keywords).arguments)


def _with(spec: str, module: ModuleType, **changed: Any) -> str:
    """The call with other arguments."""
    file, colon, text = spec.rpartition(".py:")
    usual = signature(find(spec, module)).parameters
    if lacking := [name for name in changed if name not in usual]:
        raise ValueError(f"{spec} has no {lacking[0]} that could be tuned")
    return f"{file}{colon}{written(Call(parse(text).name, (), _arguments(spec, module) | changed))}"


def _around(value: int | float, name: str | None = None) -> Call:
    """A range around a value; ranges of one name are drawn at the same place."""
    low, high = rounded(value / AROUND), rounded(value * AROUND)
    return Call("log", (low, high), {} if name is None else {"name": name})


def answer(metric: str, scores: dict[str, list[float]], setting: dict[str, Any], higher: bool) -> Answer | None:
    """What the scores of both rows say; None while one has none."""
    tuned, usual = (summary(scores.get(row, [])) for row in (TUNED, USUAL))
    if tuned is None or usual is None:
        return None
    sure = probability_better(scores[TUNED], scores[USUAL], higher)
    return Answer(setting, metric, tuned, usual, sure)
