"""Published files of weights: where they are sought, that they are checked, and what is said without them."""

import hashlib
import io
import urllib.request
from pathlib import Path

import pytest

from equipoise import cache
from equipoise.metrics import features
from equipoise.metrics.features import cifar_resnet, inception_v3
from equipoise.metrics.features.weight_files import WeightFile

FOUND = {"inception": inception_v3.FILE, "resnet56": cifar_resnet.FILE}
each = pytest.mark.parametrize("name", FOUND)
BYTES = b"weights"
DIGEST = hashlib.sha256(BYTES).hexdigest()
TOY = WeightFile({"toy.pth": DIGEST, "toy.npz": "ab" * 32}, "https://example.org/weights", "EQUIPOISE_TOY")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch) -> Path:
    """The folder of the cache, which does not exist yet."""
    for file in (TOY, *FOUND.values()):
        monkeypatch.delenv(file.variable, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache.folder()


@pytest.fixture
def offline(monkeypatch) -> None:
    def refuse(url: str, timeout: float) -> io.BytesIO:
        raise urllib.error.URLError("name not known")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def test_a_path_goes_before_the_variable_and_the_variable_before_the_cache(kept: Path, tmp_path: Path, monkeypatch):
    places = [kept / "toy.pth", tmp_path / "variable.pth", tmp_path / "given.pth"]
    kept.mkdir(parents=True)
    for place in places:
        place.write_bytes(BYTES)
    assert TOY.find() == places[0]
    monkeypatch.setenv("EQUIPOISE_TOY", str(places[1]))
    assert TOY.find() == places[1]
    assert TOY.find(str(places[2])) == places[2]


def test_any_of_the_names_is_found_in_the_cache(kept: Path) -> None:
    kept.mkdir(parents=True)
    (kept / "toy.npz").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"toy\.npz is not toy\.pth or toy\.npz: its SHA-256 is"):
        TOY.find()


def test_the_file_is_downloaded_once_and_kept(kept: Path, monkeypatch) -> None:
    asked: list[str] = []

    def answer(url: str, timeout: float) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO(BYTES)

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    assert TOY.find() == TOY.find() == kept / "toy.pth"
    assert asked == ["https://example.org/weights/toy.pth"]
    assert [path.name for path in kept.iterdir()] == ["toy.pth"]


@each
def test_without_a_network_one_line_says_which_file_to_put_where(name: str, kept: Path, offline: None) -> None:
    with pytest.raises(ValueError, match="no network") as caught:
        getattr(features, name)()
    file = FOUND[name]
    for part in (*file.digests, file.source, str(kept / file.name), file.variable, "builtin, mobilenet, random"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(kept.iterdir())


@each
def test_a_broken_download_is_refused_and_not_kept(name: str, kept: Path, monkeypatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: io.BytesIO(b"half"))
    with pytest.raises(ValueError, match=f"not {next(iter(FOUND[name].digests.values()))[:8]}"):
        getattr(features, name)()
    assert not list(kept.iterdir())


def test_a_missing_file_and_another_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no such file: .*other\.pth; it should be toy\.pth or toy\.npz from https"):
        TOY.find(str(tmp_path / "other.pth"))
    (tmp_path / "other.pth").write_bytes(b"not these")
    with pytest.raises(ValueError, match=r"other\.pth is not toy\.pth.*SHA-256 is [0-9a-f]{8}.*, not .* or abababab"):
        TOY.find(str(tmp_path / "other.pth"))


@each
def test_names_carry_the_first_digits_of_the_digest_that_is_asked_for(name: str) -> None:
    file = FOUND[name]
    assert file.digests[file.name][:8] in file.name
