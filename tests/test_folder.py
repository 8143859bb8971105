"""The run folder: its files, which are whole or refused by name, full disks, and its lock."""

import errno
import json
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch
from PIL import Image
from small_runs import CPU

from equipoise.runs import RunFolder
from equipoise.runs.folder import append_row, load_checkpoint, read_rows
from equipoise.writing import NotWritten, write_whole


def test_a_run_folder_holds_everything(finished):
    out, told = finished
    recipe = RunFolder(out).recipe()
    assert told[-1].seen == recipe.images
    assert [row["seen"] for row in read_rows(out / "stats.jsonl")] == [
        progress.seen for progress in told if progress.row
    ]
    assert [row["seen"] for row in read_rows(out / "metrics.jsonl")] == [0, 12, 24]
    assert sorted(file.name for file in (out / "samples").iterdir()) == [f"{n:010d}.png" for n in (0, 12, 24)]
    assert sorted(file.name for file in (out / "checkpoints").iterdir()) == [
        "0000000020.pt",
        "0000000024.pt",
        "best.pt",
    ]
    context = json.loads((out / "recipe.json").read_text())
    assert {"size", "channels", "g_batch"} <= context["chosen"].keys()
    assert recipe.size == "12x10"
    assert None not in [getattr(recipe, name) for name in ("channels", "features", "score_every", "g_batch")]
    with Image.open(out / "samples" / "0000000000.png") as picture:
        assert picture.size == (9 * 10, 8 * 12)


def test_the_best_checkpoint_is_the_best_by_score(finished):
    out, _ = finished
    rows = [row for row in read_rows(out / "metrics.jsonl") if row["seen"]]
    best = min(rows, key=lambda row: row["fd"])
    assert load_checkpoint(out / "checkpoints" / "best.pt", CPU)["seen"] == best["seen"]


@pytest.mark.parametrize("size", [0, 1000])
def test_a_damaged_checkpoint_is_named(finished, tmp_path, size):
    file = tmp_path / "0000000004.pt"
    file.write_bytes((finished[0] / "checkpoints" / "0000000024.pt").read_bytes()[:size])
    with pytest.raises(
        ValueError, match=r"0000000004.pt cannot be read .* remove it to resume from an older checkpoint"
    ):
        load_checkpoint(file, CPU)


def test_a_checkpoint_that_would_execute_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/executed",)

    torch.save({"nets": Evil()}, tmp_path / "bad.pt")
    with pytest.raises(ValueError, match="cannot be read"):
        load_checkpoint(tmp_path / "bad.pt", CPU)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", ["[]", "{}", '{"recipe": {"batch": "x"}}', "nonsense"])
def test_a_damaged_recipe_is_named(content, tmp_path):
    (tmp_path / "recipe.json").write_text(content)
    with pytest.raises(ValueError, match=r"recipe.json (is not what training wrote|cannot be read)"):
        RunFolder(tmp_path).context()


def test_a_line_cut_short_by_a_crash_costs_only_itself(tmp_path):
    log = tmp_path / "x.jsonl"
    log.write_text('{"seen": 1}\n{"se')
    append_row(log, {"seen": 2})
    append_row(log, {"seen": 3})
    assert list(read_rows(log)) == [{"seen": 1}, {"seen": 2}, {"seen": 3}]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    def breaks(beside):
        beside.write_text("half")
        raise OSError("disk full")

    (tmp_path / "x").write_text("old")
    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "x", breaks)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("x", "old")]


@pytest.fixture
def full_disk():
    """A context in which no file can grow beyond so many bytes."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def limited(size):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    return limited


def test_a_checkpoint_that_could_not_be_written_is_named_with_the_last_good_one(tmp_path, full_disk):
    folder = RunFolder(tmp_path)
    good = folder.save_checkpoint({"seen": 4}, 4, keep=1)
    with (
        pytest.raises(NotWritten, match=rf"cannot write .*0000000008.pt: File too large; .* checkpoint is {good}$"),
        folder.locked(),
        full_disk(5_000),
    ):
        folder.save_checkpoint({"weights": torch.zeros(10_000)}, 8, keep=1)
    assert [*folder.checkpoints.iterdir()] == [good]
    assert load_checkpoint(good, CPU) == {"seen": 4}


def test_a_full_disk_is_the_reason_that_is_given(tmp_path, monkeypatch):
    def full(state, file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", full)
    message = r"cannot write .*0000000008.pt: No space left on device; there was no checkpoint yet$"
    with pytest.raises(OSError, match=message), RunFolder(tmp_path).locked():
        RunFolder(tmp_path).save_checkpoint({}, 8, keep=1)
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.parametrize("torn", ["", '{"se'])
def test_a_line_that_could_not_be_written_leaves_the_others_as_they_were(tmp_path, full_disk, torn):
    log = tmp_path / "x.jsonl"
    log.write_text('{"seen": 1}\n' + torn)
    with pytest.raises(NotWritten, match=r"cannot write .*x.jsonl: File too large"), full_disk(30):
        append_row(log, {"seen": 2, "long": "x" * 100})
    assert log.read_text() == '{"seen": 1}\n' + torn
    append_row(log, {"seen": 3})
    assert list(read_rows(log)) == [{"seen": 1}, {"seen": 3}]


HOLDS = """
import sys, time
from equipoise.runs import RunFolder
with RunFolder(sys.argv[1]).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_killed_process_leaves_its_folder_free(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "locked\n"
    with pytest.raises(ValueError, match="is being trained by another process"), RunFolder(tmp_path).locked():
        pass
    process.kill()
    process.communicate()
    with RunFolder(tmp_path).locked():
        pass
