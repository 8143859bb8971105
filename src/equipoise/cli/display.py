"""What the command line shows: a progress bar in a terminal, plain lines elsewhere."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from torch import nn

from ..data import Source
from ..labels import LabelSpace
from ..metrics.titles import title
from ..recipe import Networks, known
from ..report.next_steps import as_flags
from ..report.numbers import duration, size
from ..runs import Progress as RunProgress
from ..runs import Session
from ..runs.forecast import per_second
from ..runs.hardware import most_memory
from ..schedules import at
from .terminal import console, plain_table

UNCHOSEN = ("data", "minutes")  # what is trained on, and a wish that --images has become
LONG = 0.1  # of a run
PLAIN_LINES = 50  # in a whole run, where there is no terminal

Show = Callable[[RunProgress], None]


def progress() -> AbstractContextManager[Show]:
    """A context whose value shows how far a run is."""
    return _bar() if console.is_terminal else _lines()


@contextmanager
def _bar() -> Iterator[Show]:
    columns = [
        BarColumn(bar_width=8),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[losses]}"),
        TextColumn("[bold]{task.fields[score]}"),
    ]
    with Progress(*columns, console=console, speed_estimate_period=60) as bar:
        task = bar.add_task("", visible=False, speed="", losses="", score="")

        def show(now: RunProgress) -> None:
            bar.tasks[task].fields.update(_words(now))
            bar.update(task, completed=now.seen, total=now.images, visible=True)

        yield show


@contextmanager
def _lines() -> Iterator[Show]:
    words: dict[str, str] = {}
    printed = -1

    def show(now: RunProgress) -> None:
        nonlocal printed
        words.update(_words(now))
        line = now.seen * PLAIN_LINES // now.images
        if (now.row and line > printed) or now.score:
            printed = line
            print("  ".join([f"{now.seen:,} of {now.images:,} images", *words.values()]), flush=True)
            words.pop("score", None)

    yield show


def _words(now: RunProgress) -> dict[str, str]:
    """The loss of every player and the first score, where they are new."""
    words = {}
    if now.row:
        words["speed"] = f"{per_second(1 / now.row['speed'])}/s"
        losses = {key.removesuffix(".loss"): value for key, value in now.row.items() if key.endswith(".loss")}
        words["losses"] = "  ".join(f"{player} loss {value:.2f}" for player, value in losses.items())
    if now.score:
        first = next(iter(now.score["scores"]))
        words["score"] = f"{title(first, now.score)} {now.score[first]:.4g}"
    return words


def chosen(run: Session) -> None:
    """What a new run chose for the data and the machine, and why; how long it takes."""
    for name, reason in run.plan.reasons.items():
        print(f"{' '.join(filter(None, _flag(name, getattr(run.recipe, name))))}: {reason}")
    print(_hints(run), end="")
    if run.plan.certificate:
        print(run.plan.certificate)
    print(f"training takes {_lasts(run)}")


def resumed(run: Session) -> None:
    """Where a run that was stopped is resumed."""
    if files := run.folder.checkpoint_files():
        print(f"resumed at {int(files[-1].stem):,} of {run.recipe.images:,} images")


def _hints(run: Session) -> str:
    """Lines on what a user may not have meant."""
    return _unused_labels(run) + _mirrored_signs(run) + _long_average(run) + _unsharded(run)


def _unused_labels(run: Session) -> str:
    """A line on labels that the data have and the run does without; nothing where there are none that can be read."""
    found = run.plan.found
    if run.recipe.labels or not isinstance(found, Source):
        return ""
    try:
        kind, size = LabelSpace() if found.labels is None else found.labels.meaning.space
    except (ValueError, OSError):
        return ""
    return f"labels are not used, {size} {kind}: --labels trains on them\n" if size > 1 else ""


def _mirrored_signs(run: Session) -> str:
    """A line on mirrored grey images, often signs and digits: some presets mirror, as published for photographs."""
    if not run.recipe.mirror or known(run.recipe.channels) > 1:
        return ""
    return "grey images are mirrored: --no-mirror for signs, digits and whatever has a left and a right\n"


def _long_average(run: Session) -> str:
    """A line on averaged weights that are still the untrained ones at the end: the paper's run is far longer."""
    length, images = at(run.recipe.rate("ema_images"), 0), known(run.recipe.images)
    if length <= images:
        return ""
    better = f"--ema-images {-(-images // 30)}"
    return f"samples are of weights averaged over {length:,.0f} images, longer than the run: {better}\n"


def _unsharded(run: Session) -> str:
    """A line on weights that cannot be shared with others, where there is one process."""
    if not run.recipe.shard or run.world.size > 1:
        return ""
    return "one process has all weights: --shard is for several, torchrun --nproc-per-node=2 -m equipoise train ...\n"


def _lasts(run: Session) -> str:
    """How long a run takes, as words."""
    if run.plan.sharded:
        return "as long as it takes: nothing is timed where weights are sharded"
    pace = run.plan.pace
    short = ", more than there is," * (pace.memory > most_memory(run.device))
    needs = f"{size(pace.memory)} of memory{short} and {size(run.plan.disk())} on the disk"
    threads, most = run.plan.threads, torch.get_num_threads()
    where = f"{run.device}" + f", {threads} of {most} threads" * (threads < most)
    speed = f"{per_second(pace.image)} images a second on {where}"
    return f"about {duration(run.forecast())} here, at {speed}{_first_look(run)}; it needs {needs}"


def _first_look(run: Session) -> str:
    """Words on the time that real images are looked at for the first score, once; nothing where it is short."""
    seconds = run.scores.unseen * run.plan.pace.scored
    if seconds < LONG * run.forecast():
        return ""
    return f", {duration(seconds)} of it for a first look at {run.scores.unseen:,} real images, which scores need once"


def finished(run: Session, page: Path) -> int:
    """Says where everything is."""
    out, translates = run.folder.path, run.recipe.domains != "none"
    flags = "--input photos/ --out translated/" if translates else "--out grid.png"
    print(f"done: {out}\nreport: {page}\nsamples: equipoise sample {shlex.quote(str(out))} {flags}")
    return 0


def plan(run: Session) -> None:
    """Every flag with its value, those first that were chosen, with the reason; what it is about; how long it takes."""
    values = {field.name: getattr(run.recipe, field.name) for field in fields(run.recipe) if field.name not in UNCHOSEN}
    own = [field.name for field in fields(Networks) if values[field.name] is None]
    unused = lambda value: value is None or value is False or value in ((), "none")
    off = [name for name, value in values.items() if unused(value) and name not in (*own, *run.plan.reasons)]
    table = plain_table("flag", "value", "chosen because")
    for name in sorted(values, key=lambda name: name not in run.plan.reasons):
        if name not in off + own:
            table.add_row(*_flag(name, values[name]), run.plan.reasons.get(name, ""))
    console.print(table)
    listed = lambda names: ", ".join(name.replace("_", "-") for name in names)
    print(f"switched off: {listed(off)}; the networks' own: {listed(own)}")
    weights = ", ".join(f"{name} {count_weights(net):,}" for name, net in run.state.nets.items())
    kind, size = run.dataset.meaning.space
    labels = "" if kind == "none" else f" of {size} classes" if kind == "classes" else f" with {kind} of size {size}"
    print(f"{len(run.dataset):,} images{labels} in {run.dataset.name}; weights: {weights}")
    if run.plan.certificate:
        print(run.plan.certificate)
    print(_hints(run), end="")
    if run.assembled.growth is not None:
        console.print(_phases(run))
    print(f"training takes {_lasts(run)}; nothing was written")


def _phases(run: Session) -> Table:
    """How the networks grow, and how long each phase takes."""
    table = plain_table("from image", "shorter side", "", "batch", "images a second", "takes about")
    assert run.assembled.growth is not None
    phases = run.assembled.growth.phases(run.assembled.sides, known(run.recipe.images))
    for phase, (_, image) in zip(phases, run.plan.pace.phases, strict=True):
        batch, took = round(at(run.assembled.batch, phase.middle)), duration(image * (phase.end - phase.begin))
        how = "fades in" if phase.fading else "held"
        table.add_row(f"{phase.begin:,}", str(phase.side), how, str(batch), per_second(image), took)
    return table


def _flag(name: str, value: object) -> tuple[str, str]:
    """A flag and its value as one would type them; of a switch the flag says it all."""
    flag, *words = as_flags({name: value})
    return flag, " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """A word as one would type it.

    >>> _quoted("r1(weight=3.0)"), _quoted("16")
    ('"r1(weight=3.0)"', '16')
    """
    return word if shlex.quote(word) == word else f'"{word}"' if '"' not in word else shlex.quote(word)


def count_weights(net: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(weight.numel() for weight in net.parameters())


def scores(row: dict[str, Any]) -> None:
    """The values of a row with their intervals, those of real images beside them, and the card below."""
    table = plain_table("", "value", "95 % interval", *(["of held-out images"] if "real_n" in row else []))
    for key in row["scores"]:
        low, high = row["intervals"].get(key, (None, None))
        interval = "" if low is None else f"{low:.4g} to {high:.4g}"
        floor = [f"{row[f'real_{key}']:.4g}"] if f"real_{key}" in row else []
        table.add_row(title(key, row), f"{row[key]:.4g}", interval, *floor)
    console.print(table)
    console.print(_card(row))


def _card(row: dict[str, Any]) -> Table:
    """How the values of a row were measured."""
    table = plain_table("", "")
    values = {"scores", "intervals", "classes", *row["scores"], *(f"real_{key}" for key in row["scores"])}
    for name, value in row.items():
        if name not in values:
            pairs = [f"{key} {part}" for key, part in value.items()] if isinstance(value, dict) else value
            table.add_row(name, ", ".join(pairs) if isinstance(pairs, list) else str(pairs))
    return table
