"""What pages of runs share: a run is made by its command, and a page keeps what it said of runs that are gone."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from equipoise.cli import running
from equipoise.report.record import Record, read

ROOT = Path(__file__).parent.parent
UNSAID = ("data", "minutes", "keep")  # where data lie, what became images, how many checkpoints are kept


class Told(NamedTuple):
    """What a page says of a run: a line of its table, and an entry below it."""

    row: str
    entry: str


def words(command):
    """A command of several lines as a shell takes it apart, without the name of the program."""
    return shlex.split(command.replace("\\\n", ""))[1:]


def recipe(command):
    """The recipe that a command asks for."""
    return running.parse(words(command)).recipe


def train(command):
    """Trains, or resumes, in a process and on one thread of its own, unless it is finished; whether it came so far."""
    folder = ROOT / running.parse(words(command)).out
    if (folder / "recipe.json").exists() and read(folder).finished:
        return True
    run = sys.executable, "-m", "equipoise", *words(command)
    return subprocess.run(run, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}).returncode == 0


def run_of(command, folder) -> Record | None:
    """The run in a folder, None where there is none; raises ValueError for one that is not the command's."""
    if not (folder / "recipe.json").exists():
        return None
    record, asked = read(folder), recipe(command).to_json()
    said = {field: value for field, value in asked.items() if value is not None and field not in UNSAID}
    if other := [field for field, value in said.items() if record.recipe.get(field, value) != value]:
        raise ValueError(f"{folder} is another run than its command makes: remove it ({', '.join(other)})")
    if not record.training:
        raise ValueError(f"{folder} has no score yet: train on, or remove it")
    return record


def told(page, runs, commands, tell):
    """What a page says of each run by its name: that of folders in `runs` anew, and of others what it said."""
    text = page.read_text() if page.exists() else ""
    rows = {match[1]: f"{match[0]}\n" for match in re.finditer(r"^\| \[([^\]]+)\]\(#.*$", text, re.MULTILINE)}
    entries = {part.partition("\n")[0]: f"\n## {part.rstrip()}\n" for part in text.split("\n## ")[1:]}
    found = {name: Told(row, entries[name]) for name, row in rows.items() if name in entries}
    for name, command in commands.items():
        if record := run_of(command, runs / name):
            found[name] = tell(name, record)
    return {name: found[name] for name in commands if name in found}


def write(page, head, tables, runs, end=""):
    """A page of runs: tables, heads and the names of their rows, those with rows alone; then what is said of each."""
    parts = [head]
    for title, names in tables:
        rows = [run.row for name, run in runs.items() if name in names]
        parts += [title, *rows] if rows else []
    page.write_text("".join([*parts, *(run.entry for run in runs.values()), end]))
