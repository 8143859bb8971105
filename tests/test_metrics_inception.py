"""The Inception network of the FID with random weights: its names, its shapes, and where its file is sought."""

import hashlib
import io
import urllib.request
from pathlib import Path

import pytest
import torch

from equipoise.metrics import features, inception, inception_file

PIECES = {
    "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
    "Conv2d_1a_3x3.bn.running_mean": (32,),
    "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
    "Mixed_6a.branch3x3dbl_3.bn.weight": (96,),
    "Mixed_6c.branch7x7dbl_5.conv.weight": (192, 160, 1, 7),
    "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
    "Mixed_7c.branch3x3_2b.conv.weight": (384, 384, 3, 1),
    "Mixed_7c.branch_pool.conv.weight": (192, 2048, 1, 1),
    "fc.weight": (1008, 2048),
    "fc.bias": (1008,),
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.manual_seed(0)
    torch.save(inception.Inception().state_dict(), path)
    return path


@pytest.fixture
def published(weights: Path, monkeypatch) -> Path:
    monkeypatch.setattr(inception_file, "SHA256", hashlib.sha256(weights.read_bytes()).hexdigest())
    return weights


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.delenv("EQUIPOISE_INCEPTION", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "equipoise" / inception_file.NAME


def images(channels: int) -> torch.Tensor:
    return torch.randint(256, (2, channels, 20, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_parameters_carry_the_names_and_shapes_of_the_published_file() -> None:
    with torch.device("meta"):
        net = inception.Inception()
    shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    assert {name: shapes[name] for name in PIECES} == PIECES
    assert sum(parameter.numel() for parameter in net.parameters()) == 23_850_960
    assert len(shapes) == 94 * 6 + 2


def test_features_are_the_pooled_activations_and_logits_have_no_bias(published: Path) -> None:
    look, net = features.inception(str(published)), inception.load(str(published))
    rows = look(images(3))
    assert rows.shape == (2, look.dim) == (2, 2048)
    assert look.hash == inception_file.SHA256[:16]
    torch.testing.assert_close(inception.logits(net, rows) + net.fc.bias, net.fc(rows), rtol=1e-4, atol=1e-5)


def test_grey_is_repeated(published: Path) -> None:
    look, grey = features.inception(str(published)), images(1)
    torch.testing.assert_close(look(grey), look(grey.expand(-1, 3, -1, -1).contiguous()), rtol=1e-4, atol=1e-5)


def test_averages_leave_the_padding_out_and_the_last_block_takes_the_maximum() -> None:
    torch.testing.assert_close(inception._average(torch.ones(1, 1, 3, 3)), torch.ones(1, 1, 3, 3))
    with torch.device("meta"):
        net = inception.Inception()
    assert [name for name, block in net.named_children() if getattr(block, "maximum", False)] == ["Mixed_7c"]


def test_the_environment_variable_names_the_file(published: Path, nowhere: Path, monkeypatch) -> None:
    monkeypatch.setenv("EQUIPOISE_INCEPTION", str(published))
    assert inception_file.find(None) == published
    with pytest.raises(ValueError, match=r"no such file: .*other\.pth; it should be pt_inception"):
        inception_file.find("other.pth")


def test_the_file_is_downloaded_once_and_kept(published: Path, nowhere: Path, monkeypatch) -> None:
    asked: list[str] = []

    def answer(url: str, timeout: float) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO(published.read_bytes())

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    assert inception_file.find(None) == inception_file.find(None) == nowhere
    assert asked == [inception_file.URL]
    assert [path.name for path in nowhere.parent.iterdir()] == [inception_file.NAME]


def test_without_a_network_the_error_says_what_to_do(nowhere: Path, monkeypatch) -> None:
    def refuse(url: str, timeout: float) -> io.BytesIO:
        raise urllib.error.URLError("name not known")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(ValueError, match="no network") as caught:
        features.inception()
    for part in (inception_file.NAME, inception_file.URL, "EQUIPOISE_INCEPTION", "builtin, random or pixels"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(nowhere.parent.iterdir())


def test_a_broken_download_is_refused_and_not_kept(nowhere: Path, monkeypatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: io.BytesIO(b"half"))
    with pytest.raises(ValueError, match="not 6726825d"):
        features.inception()
    assert not list(nowhere.parent.iterdir())


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.pth"
    other.write_bytes(b"not these")
    with pytest.raises(ValueError, match=r"other\.pth is not pt_inception.*SHA-256 is [0-9a-f]{8}"):
        features.inception(str(other))
