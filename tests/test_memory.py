"""The memory of a run: what it needs, what would fit where there is less, and what is kept once freed."""

import json
import os
import platform
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from small_runs import PLAIN, small

from equipoise import report
from equipoise.runs import Session, assemble, forecast, planning
from equipoise.runs import session as session_module
from equipoise.runs.forecast import Pace
from equipoise.runs.hardware import most_memory
from equipoise.training import loop


class TestMemory:
    """What a run needs, and what would fit where that is not there."""

    def short(self, monkeypatch, most, error=torch.OutOfMemoryError):
        """Rounds of more than so many images at a time fail as an allocator fails."""
        played = assemble.rounds

        def rounds(assembled, stream, recipe, *others):
            if recipe.batch // (recipe.pieces or 1) > most:
                raise error("CUDA out of memory; or DefaultCPUAllocator: can't allocate memory: you tried to ...")
            return played(assembled, stream, recipe, *others)

        for module in (forecast, session_module):
            monkeypatch.setattr(module, "rounds", rounds)

    def test_the_forecast_is_kept_beside_what_came_true(self, arrays, tmp_path):
        session = Session(small(PLAIN, arrays), tmp_path / "x")
        session.forecast()
        [*session.train()]
        told = json.loads((tmp_path / "x" / "recipe.json").read_text())["forecast"]
        assert told["seconds"] == session.plan.pace.image * session.recipe.images
        assert told["memory"] > 10**8
        kept = sum(file.stat().st_size for file in (tmp_path / "x" / "checkpoints").iterdir())
        assert 0.3 * kept < told["disk"] < 3 * kept
        assert "; forecast " in report.write(tmp_path / "x").read_text()

    @pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
    def test_pieces_that_fit_are_found(self, arrays, tmp_path, monkeypatch, error):
        self.short(monkeypatch, most=1, error=error)
        recipe = small(PLAIN, arrays, g_batch=4, score_every=None)
        session = Session(recipe, tmp_path / "x")
        assert session.recipe.pieces == 4
        assert session.plan.reasons["pieces"] == "a larger part of a batch needs more memory than there is"
        [*session.train()]
        assert Session(recipe, tmp_path / "x").recipe.pieces == 4

    def test_a_cpu_is_asked_how_much_memory_it_has(self, arrays, tmp_path, monkeypatch):
        of_pieces = lambda recipe, *_: Pace(0.1, 0.1, memory=1000 + 4000 // (recipe.pieces or 1))
        monkeypatch.setattr(planning, "measure_pace", of_pieces)
        monkeypatch.setattr(planning, "most_memory", lambda device: 2500)
        recipe = small(PLAIN, arrays, g_batch=4, score_every=None)
        assert Session(recipe, tmp_path / "x").recipe.pieces == 4
        assert Session(replace(recipe, pieces=2), tmp_path / "x").recipe.pieces == 2

    def test_linux_says_how_much_memory_there_is(self):
        assert 10**8 < most_memory(torch.device("cpu")) < 10**14
        assert most_memory(torch.device("cuda")) == float("inf")

    def test_pieces_that_were_asked_for_are_kept(self, arrays, tmp_path, monkeypatch):
        self.short(monkeypatch, most=1)
        with pytest.raises(torch.OutOfMemoryError, match=r"4 images in 2 pieces: .* --pieces 4, one part"):
            Session(small(PLAIN, arrays, pieces=2, score_every=None), tmp_path / "x")
        self.short(monkeypatch, most=0)
        with pytest.raises(torch.OutOfMemoryError, match="in 3 pieces: less is needed with a smaller --batch"):
            Session(small(PLAIN, arrays, batch=3, score_every=None, recompute=True), tmp_path / "x")
        assert not (tmp_path / "x").exists()

    def test_memory_that_runs_out_in_training_is_answered(self, arrays, tmp_path, monkeypatch):
        def fail(*_):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB ...")

        progress = Session(small(PLAIN, arrays), tmp_path / "x").train()
        next(progress)
        monkeypatch.setattr(loop, "move", fail)
        with pytest.raises(torch.OutOfMemoryError) as caught:
            next(progress)
        assert str(caught.value).startswith("out of memory with batches of 4 images: less is needed with --rec")
        assert str(caught.value).endswith("checkpoints/0000000000.pt")


KEEPING = """
import resource

import torch

from equipoise.runs.hardware import keep_freed_memory


def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(1 << 24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


first, kept, growing = faults(), keep_freed_memory(torch.device("cpu")), faults()
print(kept, first, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_that_is_freed_is_kept():
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    said = lambda env: subprocess.run([sys.executable, "-c", KEEPING], env=env, capture_output=True, text=True).stdout
    kept, first, later = said(plain).split()
    assert kept == "True"
    assert int(later) < 100 < int(first)  # of pages that were cleared
    assert said(plain | {"MALLOC_MMAP_MAX_": "65536"}).split()[0] == "False"
