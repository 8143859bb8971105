"""The command line as its user meets it: exit status, one clear line, nothing lost."""

import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from importlib import import_module

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from equipoise import __version__, cli
from equipoise.cli import display
from equipoise.cli.passes import passes
from equipoise.cli.running import parse
from equipoise.runs import Progress, RunFolder, planning, session
from equipoise.runs.folder import read_rows
from equipoise.runs.forecast import Pace
from equipoise.runs.scoreboard import Scoreboard
from equipoise.spec import first_line

TINY = ["--network", "sn_resnet(g_scale=0.02,d_scale=0.03)", "--precision", "float32"]
TINY += ["--batch", "4", "--images", "24", "--score-images", "8", "--features", "pixels"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of photographs of two classes, one of them broken."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(12):
        file = folder / ("cats" if number % 2 else "dogs") / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (20, 30, 3)).astype(np.uint8)).save(file)
    (folder / "cats" / "broken.png").write_bytes(b"\x89PNG")
    return folder


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """A finished run on classes."""
    out = tmp_path_factory.mktemp("runs") / "x"
    assert cli.main(["train", str(photos), "--out", str(out), "--labels", "--size", "12x16", *TINY]) == 0
    return out


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"equipoise {__version__} (torch ")


@pytest.mark.parametrize("flag", ["--help", "-h", "help"])
def test_help_shows_every_command_with_examples(flag, capsys):
    assert cli.main([flag]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name}" in out for name in cli.COMMANDS)
    assert "equipoise train photos/ --out runs/photos" in out


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_of_a_command_has_an_example_on_a_line_of_its_own(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert any(line.strip().startswith(f"equipoise {command}") for line in capsys.readouterr().out.splitlines())


def test_help_of_train_shows_the_defaults_of_the_preset(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--preset", "sngan", "--help"])
    assert "sn_cnn" in capsys.readouterr().out


def test_what_a_preset_says_can_be_left_open():
    names = ("batch", "lr-g", "penalties", "network", "precision")
    flags = [word for name in names for word in (f"--{name}", "auto")]
    usual, auto = (parse(["train", "--preset", "sngan", *more]).recipe for more in ([], flags))
    assert (usual.batch, auto.batch) == (64, None)
    assert {auto.lr_g, auto.penalties, auto.network, auto.precision} == {None}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("trian", "no command is called 'trian' (did you mean 'train'?); choices: train, sample"),
        ("train --out {tmp}/x --preset sngann", "there is no preset 'sngann' (did you mean 'sngan'?)"),
        ("train {tmp}/none --out {tmp}/x", "no such file or folder"),
        ("train", "train needs a folder for the run: --out runs/NAME"),
        ("train --out {tmp}/x --batch 0", "batch must be at least 1, not 0"),
        ("train --out {tmp}/x --batch 32 --pieces 64", "32 samples cannot be split into 64 equal pieces"),
        ("train --out {tmp}/x --minutes 0", "minutes must be above 0, not 0"),
        ("train --out {tmp}/x --device tpu", "no device 'tpu' here; possible: auto, cpu"),
        ("train --out {tmp}/x --loss hing", "losses has no 'hing' (did you mean 'hinge'?)"),
        ("train --out {tmp}/x --penalties r1(wieght=2)", "unexpected keyword argument 'wieght'"),
        ("train --out {tmp}/x --features inceptoin", "features has no 'inceptoin' (did you mean 'inception'?)"),
        ("train --out {tmp}/x --loss {tmp}/none.py:f", "no such file"),
        ("train --out {tmp}/x --network mlp(width=-1)", "width must be at least 1, not -1"),
        ("train --out {tmp}/x --network sn_resnet(g_scale=-1.0)", "g_scale must be above 0"),
        ("sample {tmp}", "is not a run folder"),
        ("evaluate {tmp}", "is no run folder; images are scored --against others"),
        ("report {tmp}", "is not a run folder"),
        ("list lossess", "no kind of component is called 'lossess' (did you mean 'losses'?)"),
    ],
)
def test_a_mistake_gets_one_line_and_changes_nothing(arguments, message, tmp_path, capsys):
    assert cli.main(arguments.format(tmp=tmp_path).split()) == 1
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.startswith("equipoise: ")
    assert errors.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flags", [["--batch", "many"], ["--bacth", "3"], ["--fit", "cut"]])
def test_a_wrong_flag_is_refused(flags, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "--out", str(tmp_path / "x"), *flags])
    assert stop.value.code == 2
    assert list(tmp_path.iterdir()) == []


def test_one_image_is_too_few_and_one_idx_file_is_no_set(tmp_path, capsys):
    Image.new("L", (16, 16)).save(tmp_path / "one.png")
    assert cli.main(["train", str(tmp_path), "--out", str(tmp_path / "x")]) == 1
    assert "has one image; at least 2 are needed" in capsys.readouterr().err
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"")
    assert cli.main(["train", str(tmp_path / "train-images-idx3-ubyte.gz"), "--out", str(tmp_path / "x")]) == 1
    assert "is one file of idx; give the folder that holds it and its labels" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_run_that_breaks_has_a_report(photos, tmp_path, capsys):
    (tmp_path / "bad.py").write_text(
        "from equipoise.losses import Loss\n\nfactors = iter([1.0] * 2)  # the rehearsal is sound\n\n\n"
        "def nan():\n    d = lambda r, f: (r - f).mean() * next(factors, float('nan'))\n"
        "    return Loss(d, lambda r, f: -f.mean())\n"
    )
    command = ["train", str(photos), "--out", str(tmp_path / "x"), "--size", "8", *TINY]
    assert cli.main([*command, "--loss", f"{tmp_path}/bad.py:nan"]) == 1
    assert "training broke after image" in capsys.readouterr().err
    assert (tmp_path / "x" / "report.html").is_file()


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m equipoise list | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr
    assert done.stdout == "games\n"


def test_a_run_with_a_file_of_ones_own_is_found_from_elsewhere(photos, tmp_path, monkeypatch):
    makers = "def mine():\n    return losses.hinge()\n\n\ndef rate():\n    return schedules.constant(1e-3)\n"
    (tmp_path / "mine.py").write_text(f"from equipoise import losses, schedules\n\n\n{makers}")
    monkeypatch.chdir(tmp_path)
    command = ["train", str(photos), "--out", str(tmp_path / "x"), "--size", "8", *TINY, "--loss", "mine.py:mine"]
    command += ["--lr-g", "mine.py:rate"]
    assert cli.main(command) == 0
    monkeypatch.chdir("/")
    assert cli.main(["sample", str(tmp_path / "x"), "--out", str(tmp_path / "s.png")]) == 0
    assert cli.main(["evaluate", str(tmp_path / "x"), "--count", "4"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--minutes abc", "--minutes takes a number, not 'abc'"),
        ("--images 10k", "--images takes a whole number, not '10k'"),
        ("--minuts 3", "unrecognized options: --minuts, 3 (did you mean --minutes?)"),
        ("--keep x", "--keep takes a whole number, not 'x'"),
        ("--mirorr", "unrecognized options: --mirorr (did you mean --mirror?)"),
        ("--batch", "missing value for argument '--batch'. Expected 1 values"),
    ],
)
def test_a_wrong_flag_is_one_line(capsys, words, said):
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "--out", "x", *words.split()])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"equipoise train: {said}; see equipoise train --help\n"


def test_dry_run_prints_every_field_with_its_reason_and_writes_nothing(photos, tmp_path, capsys):
    flags = ["--penalties", "r1(weight=5.0)", "--g-penalties", "none", "--size", "8", "--dry-run", *TINY]
    assert cli.main(["train", str(photos), "--out", str(tmp_path / "x"), *flags]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "--g-batch 4 as many as the discriminator's" in lines
    assert '--penalties "r1(weight=5.0)"' in lines
    assert lines.index("--channels 3 as the images are") < lines.index("--seed 0")  # what was chosen comes first
    assert not any(line.startswith(("--strict", "--g-condition")) for line in lines)
    (off,) = (line for line in lines if line.startswith("switched off: "))
    assert "strict" in off
    assert "g-penalties" in off
    assert "networks' own: g-condition" in off
    assert lines[-1].startswith("training takes about ")
    needs = r"images a second on cpu(, 1 of 2 threads)?; it needs [\d.]+ [MG]B of memory and [\d.]+ kB on the disk; "
    assert re.search(needs + "nothing was written$", lines[-1])
    assert list(tmp_path.iterdir()) == []


def test_help_of_train_is_in_groups_and_says_what_is_chosen(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    out = capsys.readouterr().out
    groups = ("usual", "data", "networks", "game", "optimisation", "machine", "execution", "scores")
    titles = [f" {group} options" for group in groups]
    assert [*map(out.index, titles)] == sorted(map(out.index, titles))
    assert out.index("--minutes") < out.index("--channels")
    assert "None" not in out
    assert "(automatic)" in out


class TestMinutes:
    """A length in minutes becomes one in images when a run starts."""

    @pytest.fixture(autouse=True)
    def as_foreseen(self, monkeypatch):
        monkeypatch.setattr(planning, "measure_pace", lambda *_: Pace(image=0.5, scored=0.001))
        monkeypatch.setattr(session, "images_left", lambda seconds, images, rows: images - rows[-1]["seen"])

    def train(self, photos, out, *flags):
        fixed = [word for word in TINY if word not in ("--images", "24")]
        return cli.main(["train", str(photos), "--out", str(out), "--size", "8", *fixed, *flags])

    def test_they_become_images_once(self, photos, tmp_path, monkeypatch, capsys):
        assert self.train(photos, tmp_path / "x", "--minutes", "0.2") == 0
        assert "--images 22: in 0.2 minutes, at 2 images a second and some scores" in capsys.readouterr().out
        monkeypatch.setattr(planning, "measure_pace", None)  # a run that is there is not timed again
        assert self.train(photos, tmp_path / "x", "--minutes", "0.2") == 0
        assert self.train(photos, tmp_path / "x", "--minutes", "0.3") == 1
        assert "It differs in minutes: 0.2 there, 0.3 here" in capsys.readouterr().err

    def test_they_take_the_place_of_a_presets_length(self, photos, tmp_path):
        assert self.train(photos, tmp_path / "x", "--minutes", "0.2", "--preset", "sngan", "--d-norm", "none") == 0
        assert RunFolder(tmp_path / "x").recipe().images == 22

    def test_one_length_is_enough(self, photos, tmp_path, capsys):
        assert self.train(photos, tmp_path / "x", "--minutes", "0.2", "--images", "24") == 1
        assert "--images and --minutes are both the length of training; choose one" in capsys.readouterr().err


def test_data_behind_a_flag_of_several_values_are_named(photos, tmp_path, capsys):
    assert cli.main(["train", "--score", "fd", str(photos), "--out", str(tmp_path / "x")]) == 1
    assert f"--score takes several values, and {photos} for one: put the data first" in capsys.readouterr().err


def test_grey_images_that_are_mirrored_are_named(tmp_path, capsys):
    np.savez(tmp_path / "signs.npz", images=np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1), dtype=np.uint8))
    words = ["train", str(tmp_path / "signs.npz"), "--out", str(tmp_path / "x"), "--mirror", "--images", "32"]
    assert cli.main([*words, "--network", "mlp(width=8, depth=1, z_dim=2)", "--features", "pixels"]) == 0
    assert "grey images are mirrored: --no-mirror for signs" in capsys.readouterr().out


def test_labels_that_are_not_used_are_named(photos, tmp_path, capsys):
    said = "labels are not used, 2 classes: --labels trains on them\n"
    for flags, told in (([], True), (["--labels"], False)):
        out = str(tmp_path / f"{told}")
        assert cli.main(["train", str(photos), "--out", out, "--size", "12x16", *TINY, *flags]) == 0
        assert (said in capsys.readouterr().out) == told


def test_an_average_that_is_longer_than_the_run_is_named(photos, tmp_path, capsys):
    for average, told in (("25", True), ("24", False)):
        run = ["train", str(photos), "--out", str(tmp_path / average), "--size", "8", *TINY, "--ema-images", average]
        assert cli.main(run) == 0
        said = "samples are of weights averaged over 25 images, longer than the run: --ema-images 1\n"
        assert (said in capsys.readouterr().out) == told


@pytest.mark.parametrize(("scored", "told"), [(0.01, False), (1.0, True)])
def test_a_long_first_look_at_real_images_is_announced(photos, tmp_path, monkeypatch, capsys, scored, told):
    monkeypatch.setattr(planning, "measure_pace", lambda *_: Pace(image=0.5, scored=scored))
    monkeypatch.setattr(Scoreboard, "unseen", 30)
    assert cli.main(["train", str(photos), "--out", str(tmp_path / "x"), "--size", "8", *TINY, "--dry-run"]) == 0
    said = "30 s of it for a first look at 30 real images, which scores need once"
    assert (said in capsys.readouterr().out) == told


def test_training_prints_plain_lines_where_there_is_no_terminal(photos, tmp_path, capsys):
    assert cli.main(["train", str(photos), "--out", str(tmp_path / "x"), "--size", "8", *TINY]) == 0
    out = capsys.readouterr().out
    assert "24 of 24 images" in out
    assert "d loss " in out
    assert "g loss " in out
    assert "FD (" in out
    assert "\x1b" not in out
    assert (tmp_path / "x" / "report.html").is_file()


def test_progress_names_every_player_and_the_first_score(capsys):
    row = {"speed": 5.0, "ae.loss": 1.0, "ae.reconstruction": 3.0, "d.loss": 0.25}
    score = {"scores": {"fd": {}, "kid": {}}, "features": "inception", "fd": 12.34, "kid": 0.5}
    with display.progress() as show:
        show(Progress(10, 100, row, score))
        show(Progress(20, 100, row, score | {"scores": {"kid": {}, "fd": {}}, "features": "builtin"}))
        show(Progress(30, 100, row, None))
    assert capsys.readouterr().out.splitlines() == [
        "10 of 100 images  5/s  ae loss 1.00  d loss 0.25  FID 12.34",
        "20 of 100 images  5/s  ae loss 1.00  d loss 0.25  KD (builtin) 0.5",
        "30 of 100 images  5/s  ae loss 1.00  d loss 0.25",
    ]


def test_where_there_is_no_terminal_long_passes_say_seldom_how_far_they_are(monkeypatch, capsys):
    times = iter([0, 1, 30, 31, 60, 61, 900, 901])  # when a pass begins, at its parts, and where a line is said
    monkeypatch.setattr("equipoise.cli.passes.monotonic", lambda: next(times))
    with passes() as watch:
        assert list(watch([[1, 2], [3, 4], [5]], "images", 5)) == [[1, 2], [3, 4], [5]]
        assert list(watch([[1]], "images", 1)) == [[1]]  # long after, and short
    with passes(show=False) as watch:
        assert list(watch([[1, 2]], "images", 2)) == [[1, 2]]
    assert capsys.readouterr().err.splitlines() == ["images: 2 of 5", "images: 4 of 5"]


def test_in_a_terminal_a_pass_has_a_bar_below_that_of_the_run_while_it_lasts(monkeypatch):
    screen = Console(force_terminal=True, color_system=None, file=io.StringIO(), width=120)
    for module in ("passes", "display"):
        monkeypatch.setattr(f"equipoise.cli.{module}.console", screen)

    def broken():
        yield [1, 2]
        raise RuntimeError

    row = {"speed": 5.0, "d.loss": 1.0}
    with passes() as watch, display.progress() as show:
        show(Progress(10, 100, row, None))
        for _ in watch([[1, 2], [3]], "real images", 3):
            time.sleep(0.2)  # it is drawn ten times a second
        with pytest.raises(RuntimeError):
            [*watch(broken(), "generated images", 3)]
        assert len(screen._live_stack) == 1  # the bar of the run
        show(Progress(20, 100, row, None))
    shown = screen.file.getvalue()
    assert re.search(r"10/100 .*\n.*real images .* 2/3", shown)
    assert "real images" not in shown[shown.index("20/100") :]


def test_the_same_command_goes_on_and_another_is_refused(run, photos, capsys):
    same = ["train", str(photos), "--out", str(run), "--labels", "--size", "12x16", *TINY]
    assert cli.main(same) == 0
    assert re.search(r"^resumed at ([\d,]+) of \1 images$", capsys.readouterr().out, re.MULTILINE)
    assert cli.main([*same, "--lr-d", "0.5"]) == 1
    assert "It differs in lr_d: 'decay(1e-3, share=0.5)' there, 0.5 here" in capsys.readouterr().err


def test_a_score_is_broken_off_at_once_and_made_up_for(photos, tmp_path, monkeypatch, capsys):
    command = ["train", str(photos), "--out", str(tmp_path / "x"), "--size", "8", *TINY]
    wait = lambda *_: (os.kill(os.getpid(), signal.SIGINT), time.sleep(60))
    with monkeypatch.context() as patched:
        patched.setattr(Scoreboard, "add", wait)
        assert cli.main(command) == 128 + signal.SIGINT
    assert "saved; to resume: equipoise" in capsys.readouterr().err
    assert not (tmp_path / "x" / "metrics.jsonl").exists()
    assert cli.main(command) == 0
    assert {0, 24} <= {row["seen"] for row in read_rows(tmp_path / "x" / "metrics.jsonl")}


def test_a_broken_image_is_named_once_or_refused(photos, tmp_path, caplog, capsys):
    command = ["train", str(photos), "--out", str(tmp_path / "x"), "--size", "8", *TINY]
    assert cli.main(command) == 0
    assert [record.getMessage() for record in caplog.records if "broken.png" in record.getMessage()] != []
    whole = len([*photos.rglob("*.png")]) - 1
    assert f"--mirror: {whole} images are few" in capsys.readouterr().out  # the broken one does not count
    assert cli.main([*command[:3], str(tmp_path / "y"), *command[4:], "--strict"]) == 1
    assert "broken.png" in capsys.readouterr().err


class TestSample:
    def sample(self, run, out, *flags):
        return cli.main(["sample", str(run), "--out", str(out), "--count", "6", *flags])

    def test_grid(self, run, tmp_path):
        assert self.sample(run, tmp_path / "grid.png") == 0
        with Image.open(tmp_path / "grid.png") as picture:
            assert picture.size == (3 * 16, 2 * 12)
            assert picture.mode == "RGB"

    def test_arrays_with_labels(self, run, tmp_path):
        assert self.sample(run, tmp_path / "s.npz", "--labels", "dogs") == 0
        with np.load(tmp_path / "s.npz") as arrays:
            assert arrays["images"].shape == (6, 3, 12, 16)
            assert arrays["images"].dtype == np.uint8
            assert arrays["labels"].tolist() == [1] * 6

    def test_single_files(self, run, tmp_path):
        assert self.sample(run, tmp_path / "many", "--truncation", "0.5", "--raw", "--checkpoint", "best") == 0
        assert len(list((tmp_path / "many").glob("*.png"))) == 6

    def test_nothing_is_overwritten(self, run, tmp_path, capsys):
        (tmp_path / "grid.png").write_text("precious")
        assert self.sample(run, tmp_path / "grid.png") == 1
        assert "exists and was not touched" in capsys.readouterr().err
        assert (tmp_path / "grid.png").read_text() == "precious"

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            (["--labels", "bird"], "there is no class 'bird'; choices: cats, dogs"),
            (["--truncation", "0"], "truncation must be above 0"),
            (["--count", "0"], "count must be at least 1"),
            (["--checkpoint", "nope.pt"], "no such checkpoint: nope.pt"),
        ],
    )
    def test_mistakes(self, run, tmp_path, capsys, flags, message):
        assert self.sample(run, tmp_path / "x.png", *flags) == 1
        assert message in capsys.readouterr().err
        assert not (tmp_path / "x.png").exists()

    def test_an_unknown_picture_format_is_named(self, run, tmp_path, capsys):
        for name in ("x.foo", "x.psd"):  # the second can be read alone
            assert self.sample(run, tmp_path / name) == 1
            assert f"{name} cannot be written: --out is a picture (.png, .jpg...), .npz" in capsys.readouterr().err


def test_evaluate_prints_the_card(run, capsys):
    assert cli.main(["evaluate", str(run), "--count", "8", "--features", "pixels"]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("FD (pixels)", "KD (pixels)", "n_real", "n_fake"))


def test_list_shows_names_meanings_and_hyper_parameters(capsys):
    assert cli.main(["list", "penalties"]) == 0
    out = capsys.readouterr().out
    assert "wgan_gp" in out
    assert "arXiv:1704.00028" in out
    assert "weight=10.0" in out
    assert "[outputs, rest]" in out  # no markup
    assert cli.main(["list"]) == 0
    assert "sngan-projection" in capsys.readouterr().out


def test_a_progress_bar_in_a_terminal(photos, tmp_path):
    """Run with a pseudo-terminal, as a person would."""
    master, slave = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "equipoise",
        "train",
        str(photos),
        "--out",
        str(tmp_path / "x"),
        "--size",
        "8",
        *TINY,
    ]
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "160"}
    process = subprocess.Popen(command, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    shown = b""
    try:
        while part := os.read(master, 65536):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.close(master)
    assert process.wait() == 0
    text = shown.decode()
    assert "24/24" in text
    assert "\x1b[" in text
    assert "g loss " in text
    assert "FD (" in text


def test_what_needs_no_torch_does_not_import_it():
    for flag in ("--version", "--help"):
        code = f"import sys; from equipoise import cli; sys.exit(cli.main(['{flag}']) or 'torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_training_begins_without_what_draws_pages(tmp_path):
    code = (
        "import sys; from dataclasses import replace; from equipoise import presets, runs; "
        "import equipoise.cli.verbs.train; "
        f"run = runs.train(replace(presets.default(), images=64), {str(tmp_path / 'x')!r}); "
        "next(run), next(run); "
        "sys.exit(any(name in sys.modules for name in ('matplotlib', 'scipy.stats', 'equipoise.report.page')))"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_help_says_of_each_command_what_it_says_itself():
    for name in cli.COMMANDS:
        command = getattr(import_module(f"equipoise.cli.verbs.{name}"), name.capitalize())
        assert f"  {name:10} {first_line(command)}\n" in cli.HELP
