"""A profile says where time goes, and changes nothing."""

import json
import re
import time
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from equipoise import cli
from equipoise.profiling import Profile, span


def test_a_span_is_charged_without_what_is_within():
    profile = Profile()
    with profile.taken():
        with span("outer"):
            time.sleep(0.02)
            with span("inner"):
                time.sleep(0.05)
        with span("inner"):
            time.sleep(0.01)
    assert 0.02 <= profile.seconds["outer"] < profile.seconds["inner"]
    assert profile.calls == {"outer": 1, "inner": 2}
    assert sum(share.part for share in profile.shares()) == pytest.approx(1)


def test_spans_cost_nothing_where_nobody_listens():
    assert isinstance(span("x"), nullcontext)


@pytest.fixture
def words(tmp_path):
    file = tmp_path / "tiny.npz"
    np.savez(file, images=np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), dtype=np.uint8))
    flags = "--images 320 --batch 16 --size 8 --score-images 32 --features pixels(size=2) --score fd"
    return ["train", str(file), *flags.split(), "--network", "mlp(width=8, depth=1, z_dim=4)"]


def test_a_run_with_a_profile_is_the_same_run(words, tmp_path, capsys):
    assert cli.main([*words, "--out", str(tmp_path / "plain")]) == 0
    capsys.readouterr()
    assert cli.main([*words, "--out", str(tmp_path / "timed"), "--profile"]) == 0
    said = capsys.readouterr().out
    text = (tmp_path / "timed" / "profile.txt").read_text()
    assert text in said
    shares = dict(re.findall(r"^(\S.*?) +([\d.]+) %", text, re.MULTILINE))
    assert {"data", "d: forward", "d: backward", "g: optimizer", "averages", "scores", "pictures"} <= {*shares}
    assert any(name.startswith("penalty ") for name in shares)
    assert sum(map(float, shares.values())) == pytest.approx(100, abs=1)
    events = json.loads((tmp_path / "timed" / "trace.json").read_text())["traceEvents"]
    assert any("addmm" in event.get("name", "") for event in events)
    one, other = (
        torch.load(tmp_path / name / "checkpoints" / "0000000320.pt", weights_only=True)["nets"]["G"]
        for name in ("plain", "timed")
    )
    assert all(torch.equal(one[key], other[key]) for key in one)
