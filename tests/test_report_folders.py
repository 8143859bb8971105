"""The page of folders that are hostile, broken or barely begun."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from test_report import full, labels, make, parse, score

from equipoise.report import write

EVIL = "<script>alert('&')</script>"


def test_text_from_the_folder_is_inert(tmp_path: Path) -> None:
    evil = {"labels": labels(EVIL), "hardware": {EVIL: EVIL}, "versions": {EVIL: EVIL}, "chosen": {"size": EVIL}}
    card = dict.fromkeys(("features", "features_hash", "resizer", "reference", "dtype", "weights"), EVIL)
    rows = [score(8, 3.0, **card), score(8, 3.0, "evaluate", **card)]
    run = make(tmp_path / "a<b>&'\"", rows, recipe={"data": EVIL, "network": EVIL}, **evil)
    page = parse(run)
    assert not page.all("script")
    assert page.text.count(EVIL) >= 16
    assert "a<b>&'\"" in page.text


def test_names_of_players_terms_and_scores_are_inert(tmp_path: Path) -> None:
    stats = [{"seen": 8, "seconds": 1.0, f"{EVIL}.loss": 1.0, f"{EVIL}.{EVIL}": 2.0, f"x.{EVIL}": 3.0}]
    rows = [score(8, 3.0, metrics=[EVIL], **{EVIL: 5.0})]
    page = parse(make(tmp_path / "run", rows, stats, players={EVIL: [EVIL]}))
    assert not page.all("script")
    assert page.text.count(EVIL) >= 8


@pytest.mark.parametrize("odd", [None, [], "d", 3])
def test_players_and_scores_of_another_kind(tmp_path: Path, odd: object) -> None:
    page = parse(
        make(tmp_path / "run", [score(8, 3.0, scores=odd, metrics=odd)], [{"seen": 8, "d.loss": 1.0}], players=odd)
    )
    assert "No score yet." in page.text
    assert "Discriminator: loss" in page.text


@pytest.mark.parametrize("odd", [None, [], "d", 3, [3, None, "(", ".py:", EVIL]])
def test_metrics_of_another_kind(tmp_path: Path, odd: object) -> None:
    rows = [score(8, 3.0, metrics=odd), score(8, 3.0, "evaluate", metrics=odd, real_fd=0.5, real_n=2000)]
    assert "of 2,000 held-out real images" in parse(make(tmp_path / "run", rows)).text


def test_names_that_are_no_unicode(tmp_path: Path) -> None:
    assert "b?d" in parse(make(tmp_path / "run", labels=labels("b\udce9d"))).text


def cut(file: str) -> Callable[[Path], None]:
    return lambda run: (run / file).write_bytes((run / file).read_bytes()[:-20])


def drop(file: str) -> Callable[[Path], None]:
    return lambda run: (run / file).unlink()


def empty_samples(run: Path) -> None:
    for file in (run / "samples").iterdir():
        file.unlink()


def broken_samples(run: Path) -> None:
    for file in (run / "samples").iterdir():
        file.write_bytes(file.read_bytes()[:60])


def last_sample_cut(run: Path) -> None:
    file = run / "samples" / "0000200000.png"
    file.write_bytes(file.read_bytes()[:100])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut("metrics.jsonl"), "best 13.9 at 190,000"),
        (cut("stats.jsonl"), "Speed overall 500 images/s"),
        (drop("metrics.jsonl"), "No score yet"),
        (drop("stats.jsonl"), "no statistics yet"),
        (empty_samples, "No samples yet."),
        (broken_samples, "No sample can be read."),
        (last_sample_cut, "The EMA generator after 190,000 images."),
    ],
)
def test_a_part_that_is_missing_or_cut_short(tmp_path: Path, damage: Callable[[Path], None], says: str) -> None:
    run = full(tmp_path / "run")
    damage(run)
    assert says in parse(run).text


def test_a_run_that_has_just_begun(tmp_path: Path) -> None:
    page = parse(make(tmp_path / "run"))
    assert "No statistics and no scores yet." in page.text
    assert "No samples yet." in page.text
    assert not page.all("img")


def test_rows_of_another_version(tmp_path: Path) -> None:
    rows = [{"seen": 0, "when": "training"}, {"seen": 64, "when": "evaluate"}, {"other": 1}, [1, 2]]
    page = parse(
        make(tmp_path / "run", rows, [{"seen": 64}, {"seen": 128, "d.loss": None, "d.real": 1.0, "loss_d": 1.0}])
    )
    assert "No score yet" in page.text


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a run folder"):
        write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_same_folder_gives_the_same_page(tmp_path: Path) -> None:
    run = full(tmp_path / "run")
    assert write(run).read_bytes() == write(run).read_bytes()


def test_the_page_stays_small_with_large_pictures(tmp_path: Path) -> None:
    run = full(tmp_path / "run", recipe={"size": "256"})
    for file in sorted((run / "samples").iterdir())[-2:]:
        Image.effect_noise((1600, 1600), 90).convert("RGB").save(file, compress_level=0)
    assert write(run).stat().st_size < 6_000_000


def test_a_page_that_could_not_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = full(tmp_path / "run")
    before = write(run).read_bytes()
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "0000000008.pt").touch()

    def fails(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(OSError, match=r"report.html: No space left on device; the last good .*0000000008.pt$"):
        write(run)
    assert (run / "report.html").read_bytes() == before
    assert not list(run.glob(".report*"))
