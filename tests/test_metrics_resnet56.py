"""The ResNet-56 of CIFAR-10: the published network written out plainly, its two file formats, its known error."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, linear, pad

from equipoise.metrics import features
from equipoise.metrics.features import cifar_resnet

SHARED = Path(__file__).parents[2] / "shared" / "data"
REAL, STRIP = SHARED / "networks" / "resnet56-4bfd9763.npz", SHARED / "cifar10" / "test_batch.00.webp"
LABELS = STRIP.with_name("test_batch.labels.npy")


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    """Random tensors by the names of the published file."""
    draw = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        net = cifar_resnet.ResNet56()
    made = {"linear.weight": torch.randn(10, 64, generator=draw), "linear.bias": torch.randn(10, generator=draw)}
    for name, layer in net.named_modules():
        if isinstance(layer, torch.nn.Conv2d):
            n, *fan = layer.weight.shape
            made[f"{name}.weight"] = torch.randn(n, *fan, generator=draw) / torch.Size(fan).numel() ** 0.5
            for part in ("weight", "bias", "running_mean", "running_var"):
                made[f"{name.replace('conv', 'bn')}.{part}"] = torch.rand(n, generator=draw) * 0.5 + 0.1
    return made


@pytest.fixture
def files(tensors: dict[str, Tensor], tmp_path: Path, monkeypatch) -> list[Path]:
    """The same tensors as published and as arrays."""
    torch.save({"state_dict": {f"module.{k}": v for k, v in tensors.items()}, "best_prec1": 93.39}, tmp_path / "r.th")
    np.savez(tmp_path / "r.npz", **{name: tensor.numpy() for name, tensor in tensors.items()})
    paths = [tmp_path / "r.th", tmp_path / "r.npz"]
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    monkeypatch.setattr(cifar_resnet, "FILE", replace(cifar_resnet.FILE, digests=digests))
    return paths


def plain(w: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network of the paper: every batch norm by itself."""

    def layer(name: str, x: Tensor, stride: int = 1) -> Tensor:
        norm = [w[f"{name.replace('conv', 'bn')}.{p}"] for p in ("running_mean", "running_var", "weight", "bias")]
        return batch_norm(conv2d(x, w[f"{name}.weight"], stride=stride, padding=1), *norm)

    x = layer("conv1", x).relu()
    for stage in (1, 2, 3):
        for block in range(9):
            stride = 2 if stage > 1 and block == 0 else 1
            y = layer(f"layer{stage}.{block}.conv1", x, stride).relu()
            y = layer(f"layer{stage}.{block}.conv2", y)
            if stride == 2:
                x = pad(x[:, :, ::2, ::2], (0, 0, 0, 0, x.shape[1] // 2, x.shape[1] // 2))
            x = (x + y).relu()
    return x.mean((2, 3))


def test_vectors_and_logits_are_those_of_the_published_network(files: list[Path], tensors: dict[str, Tensor]) -> None:
    images = torch.randint(256, (3, 3, 32, 32), dtype=torch.uint8)
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    expected = plain(tensors, (images / 255 - mean) / deviation)
    for path in files:
        look = features.resnet56(str(path))
        rows = look(images)
        torch.testing.assert_close(rows, expected, rtol=1e-4, atol=1e-4 * expected.std().item())
        assert look.logits is not None
        wanted = linear(expected, tensors["linear.weight"], tensors["linear.bias"])
        torch.testing.assert_close(look.logits(rows), wanted, rtol=1e-3, atol=1e-3)


def test_both_formats_hold_the_same_features(files: list[Path]) -> None:
    one, other = (features.resnet56(str(path)) for path in files)
    assert one == other
    assert (one.name, one.dim) == ("resnet56", 64)


def test_images_of_another_size_are_resized(files: list[Path]) -> None:
    assert features.resnet56(str(files[1]))(torch.zeros(1, 1, 40, 20, dtype=torch.uint8)).shape == (1, 64)


@pytest.mark.skipif(not (REAL.exists() and STRIP.exists()), reason="needs the published weights and CIFAR-10")
def test_the_published_network_knows_nine_of_ten_test_images() -> None:
    look = features.resnet56(str(REAL))
    with Image.open(STRIP) as strip:
        images = torch.from_numpy(np.asarray(strip).reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2).copy())
    assert look.logits is not None
    found = look.logits(look(images)).argmax(1).numpy()
    assert (found == np.load(LABELS)[: len(images)]).mean() > 0.91
