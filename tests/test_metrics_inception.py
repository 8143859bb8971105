"""The Inception network of the FID with random weights, against the published network written out plainly."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, batch_norm, conv2d, max_pool2d

from equipoise import metrics
from equipoise.metrics import features
from equipoise.metrics.evaluation import Evaluation
from equipoise.metrics.features import inception_v3, preprocess

SHAPES = {
    "Conv2d_1a_3x3": (32, 3, 3, 3),
    "Mixed_5b.branch5x5_2": (64, 48, 5, 5),
    "Mixed_6a.branch3x3dbl_3": (96, 96, 3, 3),
    "Mixed_6c.branch7x7dbl_5": (192, 160, 1, 7),
    "Mixed_7a.branch7x7x3_4": (192, 192, 3, 3),
    "Mixed_7c.branch3x3_2b": (384, 384, 3, 1),
    "Mixed_7c.branch_pool": (192, 2048, 1, 1),
}


def random_weights() -> dict[str, Tensor]:
    """Tensors by the names of the published file, of a size that keeps activations as they are."""
    draw = torch.Generator().manual_seed(0)
    uniform = lambda *shape, low=0.5, high=1.5: torch.rand(*shape, generator=draw) * (high - low) + low
    with torch.device("meta"):
        net = inception_v3.Inception()
    tensors = {"fc.weight": uniform(1008, 2048, low=-0.1, high=0.1), "fc.bias": uniform(1008)}
    for name, layer in net.named_modules():
        if isinstance(layer, torch.nn.Conv2d):
            n, *fan = layer.weight.shape
            tensors[f"{name}.conv.weight"] = torch.randn(n, *fan, generator=draw) * (2 / torch.Size(fan).numel()) ** 0.5
            norm = {"weight": uniform(n), "bias": uniform(n, low=-0.1, high=0.1)}
            norm |= {"running_mean": uniform(n, low=-0.1, high=0.1), "running_var": uniform(n)}
            tensors |= {f"{name}.bn.{part}": tensor for part, tensor in norm.items()}
    return tensors


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save(random_weights(), path)
    return path


@pytest.fixture
def published(weights: Path, monkeypatch) -> Path:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    monkeypatch.setattr(inception_v3, "FILE", replace(inception_v3.FILE, digests={"random.pth": digest}))
    return weights


def images(channels: int) -> Tensor:
    return torch.randint(256, (2, channels, 20, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def plain(w: dict[str, Tensor], x: Tensor) -> Tensor:
    """The graph in its order: every batch norm by itself, every average before its convolution."""

    def layer(name: str, x: Tensor, stride: int = 1, padding: tuple[int, int] | None = None) -> Tensor:
        kernel = w[f"{name}.conv.weight"]
        same = (kernel.shape[2] // 2, kernel.shape[3] // 2) if stride == 1 else (0, 0)
        y = conv2d(x, kernel, stride=stride, padding=same if padding is None else padding)
        norm = [w[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return batch_norm(y, *norm, eps=1e-3).relu()

    def chain(block: str, x: Tensor, *names: str, last: int = 1) -> Tensor:
        for name in names:
            x = layer(f"{block}.{name}", x, last if name == names[-1] else 1)
        return x

    def mixed(block: str, x: Tensor) -> Tensor:
        parts = {name.split(".")[1] for name in w if name.startswith(f"{block}.")}
        run = lambda *names, last=1: chain(block, x, *names, last=last)
        numbered = lambda stem, count: [f"{stem}_{i}" for i in range(1, count + 1)]
        if block == "Mixed_6a":
            double = run(*numbered("branch3x3dbl", 3), last=2)
            return torch.cat([run("branch3x3", last=2), double, max_pool2d(x, 3, 2)], 1)
        if block == "Mixed_7a":
            seven = run(*numbered("branch7x7x3", 4), last=2)
            return torch.cat([run(*numbered("branch3x3", 2), last=2), seven, max_pool2d(x, 3, 2)], 1)
        average = avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        pooled = layer(f"{block}.branch_pool", max_pool2d(x, 3, 1, 1) if block == "Mixed_7c" else average)
        if "branch5x5_1" in parts:
            middle = [run(*numbered("branch5x5", 2)), run(*numbered("branch3x3dbl", 3))]
        elif "branch7x7_1" in parts:
            middle = [run(*numbered("branch7x7", 3)), run(*numbered("branch7x7dbl", 5))]
        else:
            stems = [("branch3x3_1",), ("branch3x3dbl_1", "branch3x3dbl_2")]
            ends = [("branch3x3_2a", "branch3x3_2b"), ("branch3x3dbl_3a", "branch3x3dbl_3b")]
            middle = [run(*stem, end) for stem, pair in zip(stems, ends, strict=True) for end in pair]
        return torch.cat([run("branch1x1"), *middle, pooled], 1)

    x = layer("Conv2d_2a_3x3", layer("Conv2d_1a_3x3", x, 2), padding=(0, 0))
    x = max_pool2d(layer("Conv2d_2b_3x3", x), 3, 2)
    x = max_pool2d(layer("Conv2d_4a_3x3", layer("Conv2d_3b_1x1", x), padding=(0, 0)), 3, 2)
    for name in inception_v3.MIXED:
        x = mixed(f"Mixed_{name}", x)
    return x.mean((2, 3))


def test_parameters_have_the_names_and_shapes_of_the_published_file() -> None:
    tensors = random_weights()
    assert {name: tuple(tensors[f"{name}.conv.weight"].shape) for name in SHAPES} == SHAPES
    kinds = ("conv.weight", "bn.weight", "bn.bias")
    learned = [tensor for name, tensor in tensors.items() if name.endswith(kinds) or name.startswith("fc.")]
    assert sum(tensor.numel() for tensor in learned) == 23_850_960
    assert len(tensors) == 94 * 5 + 2


@pytest.mark.parametrize("resizer", preprocess.RESIZERS)
def test_features_are_those_of_the_published_network(resizer: str, published: Path) -> None:
    look = features.inception(str(published), resizer)
    resized = (preprocess.RESIZERS[resizer][0](images(3).float(), 299) - 128) / 128
    expected = plain(random_weights(), resized)
    rows = look(images(3))
    assert rows.shape == (2, look.dim) == (2, 2048)
    assert expected.std() > 0.01
    torch.testing.assert_close(rows, expected, rtol=1e-4, atol=1e-4 * expected.std().item())


def test_features_are_those_of_torch_fidelity(published: Path) -> None:
    extractor = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3", reason="needs torch-fidelity")
    other = extractor.FeatureExtractorInceptionV3(
        "inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(published)
    )
    look = features.inception(str(published))
    rows, logits = other(images(3))
    torch.testing.assert_close(look(images(3)), rows, rtol=1e-4, atol=1e-4 * rows.std().item())
    assert look.logits is not None
    torch.testing.assert_close(look.logits(look(images(3))), logits, rtol=1e-4, atol=1e-3)


def test_the_file_s_own_digest_names_the_features_and_other_resizers_have_another_name(published: Path) -> None:
    usual, clean = (features.inception(str(published), resizer) for resizer in ("tensorflow", "clean"))
    assert (usual.name, usual.hash) == ("inception", *[d[:16] for d in inception_v3.FILE.digests.values()])
    assert clean.name == "inception(resizer='clean')"
    assert clean.hash != usual.hash
    assert "bicubic" in clean.resizer


def test_bfloat16_moves_features_a_little_says_so_and_is_no_fid(published: Path) -> None:
    exact, rough = features.inception(str(published)), features.inception(str(published), precision="bfloat16")
    looked = images(3)
    apart = (exact(looked) - rough(looked)).abs().max() / exact(looked).std()
    assert 1e-5 < apart < 0.1
    assert rough(looked).dtype == torch.float32
    assert (rough.name, rough.dtype) == ("inception(precision='bfloat16')", "bfloat16")
    assert rough.hash != exact.hash
    assert Evaluation([metrics.fd()], rough).card()["dtype"] == "bfloat16"
    with pytest.raises(ValueError, match="fid is defined on inception features"):
        Evaluation([metrics.fid()], rough)


def test_an_unknown_resizer_is_refused_with_the_choices(published: Path) -> None:
    with pytest.raises(ValueError, match=r"no resizer 'cleam' \(did you mean 'clean'\?\); choices: tensorflow, clean"):
        features.inception(str(published), "cleam")


def test_logits_have_no_bias(published: Path) -> None:
    look, tensors = features.inception(str(published)), random_weights()
    rows = look(images(3))
    assert look.logits is not None
    torch.testing.assert_close(look.logits(rows), rows @ tensors["fc.weight"].T, rtol=1e-4, atol=1e-4)


def test_grey_is_repeated(published: Path) -> None:
    look, grey = features.inception(str(published)), images(1)
    torch.testing.assert_close(look(grey), look(grey.expand(-1, 3, -1, -1).contiguous()), rtol=1e-4, atol=1e-5)


def test_gradients_reach_images_of_any_value(published: Path) -> None:
    look, x = features.inception(str(published)), images(3).float().requires_grad_()
    look.extract(x).square().sum().backward()
    assert x.grad is not None
    assert (x.grad != 0).float().mean() > 0.9
