"""The packed MobileNetV2: the published graph, interpreted by itself, and what people see in images."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, pad

from equipoise import data
from equipoise.metrics import features
from equipoise.metrics.features import mobilenet_v2, preprocess
from equipoise.metrics.frechet import distance
from equipoise.metrics.kept import Moments

PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "networks"
GRAPH, ARRAYS = (PUBLISHED / f"mobilenet_v2_imagenet.{end}" for end in ("graph.json", "npz"))
published = pytest.mark.skipif(not ARRAYS.exists(), reason=f"needs the published network, {ARRAYS.name}")


def images(n: int, c: int = 3, h: int = 24, w: int = 32) -> Tensor:
    """Random images with structures of several sizes."""
    draw = torch.Generator().manual_seed(0)
    parts = [torch.rand(n, c, h // s, w // s, generator=draw) for s in (8, 4, 1)]
    whole = [part.repeat_interleave(h // part.shape[2], 2).repeat_interleave(w // part.shape[3], 3) for part in parts]
    return (sum(whole) / 3 * 255).byte()


def photographs() -> Tensor:
    """The first of the held-out built-in images, as if in colour."""
    clothes = data.load("builtin", data.Format(3, 28, 28)).held_out
    assert clothes.images is not None
    return clothes.images[:240]


@cache
def arrays() -> dict[str, np.ndarray]:
    with np.load(ARRAYS) as file:
        return {name: file[name] for name in file.files}


def same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """TensorFlow's SAME: ceil(n / stride) windows, the odd zero of the padding at the end."""
    sides = []
    for n in (x.shape[3], x.shape[2]):
        zeros = max((-(-n // stride) - 1) * stride + kernel - n, 0)
        sides += [zeros // 2, zeros - zeros // 2]
    return pad(x, sides)


def convolved(op: dict[str, Any], x: Tensor) -> Tensor:
    weight, bias = (torch.from_numpy(arrays()[op[part]]) for part in ("weight", "bias"))
    depthwise = op["op"] == "depthwise_conv2d"
    weight = weight.permute((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
    x = same(x, weight.shape[2], op["stride"])
    return conv2d(x, weight, bias, op["stride"], groups=x.shape[1] if depthwise else 1)


def interpreted(x: Tensor) -> dict[str, Tensor]:
    """The outputs of the graph by the kind of operation, the last of each: the pooled vector, the chances."""
    graph = json.loads(GRAPH.read_text())
    values, last = {graph["input"]: x}, {}
    for op in graph["ops"]:
        inputs = [values[number] for number in op["inputs"]]
        match op["op"]:
            case "conv2d" | "depthwise_conv2d":
                y = convolved(op, *inputs)
            case "add":
                y = inputs[0] + inputs[1]
            case "avgpool_global":
                y = inputs[0].mean((2, 3), keepdim=True)
            case "reshape":
                y = inputs[0].flatten(1)
            case "softmax":
                y = inputs[0].softmax(1)
        values[op["output"]] = last[op["op"]] = y.clamp(0, 6) if op.get("act") == "relu6" else y
    return last


@published
@pytest.mark.parametrize("size", [224, 96])
def test_vectors_and_chances_are_those_of_the_published_graph(size: int) -> None:
    look, batch = features.mobilenet(size), images(12)
    expected = interpreted(preprocess.bilinear(batch.float(), size) / 127.5 - 1)
    vectors = expected["avgpool_global"].flatten(1)
    rows = look(batch)
    assert ((rows - vectors).abs() <= 1e-2 * vectors.std(0) + 1e-6).all()
    assert look.logits is not None
    torch.testing.assert_close(look.logits(rows).softmax(1), expected["softmax"], atol=1e-4, rtol=1e-3)


@published
def test_the_packed_weights_are_the_published_ones_to_the_last_bit() -> None:
    kept = [
        layer.weight for layer in mobilenet_v2.pretrained(torch.device("cpu")).modules() if hasattr(layer, "weight")
    ]
    names = sorted(name for name in arrays() if name.startswith("w"))
    for weight, name in zip(kept, names, strict=True):
        assert sorted(weight.flatten().tolist()) == sorted(arrays()[name].ravel().tolist())


def test_the_file_is_small_and_its_licence_is_beside_it() -> None:
    assert mobilenet_v2.WEIGHTS.stat().st_size < 4_000_000
    licence, notice = (mobilenet_v2.WEIGHTS.with_name(f"{name}.mobilenet_v2") for name in ("LICENSE", "NOTICE"))
    assert "Apache License" in licence.read_text()
    assert mobilenet_v2.WEIGHTS.name in notice.read_text()


def test_the_default_size_has_the_plain_name_and_others_name_their_size() -> None:
    looks = [features.mobilenet(), features.mobilenet(128), features.mobilenet(size=96)]
    assert [look.name for look in looks] == ["mobilenet", "mobilenet", "mobilenet(size=96)"]
    assert looks[0] == looks[1]
    assert looks[0].hash != looks[2].hash
    assert "96x96" in looks[2].resizer


@pytest.mark.parametrize(("size", "problem"), [(0, "size must be at least 32"), (100, "a multiple of 32, not 100")])
def test_sizes_that_the_network_cannot_halve_are_refused(size: int, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        features.mobilenet(size)


def checkered(x: Tensor, strength: int) -> Tensor:
    """With a pattern of single pixels, as transposed convolutions leave it."""
    rows, columns = (torch.arange(side) for side in x.shape[2:])
    return x + 6 * strength * ((rows[:, None] + columns) % 2 * 2 - 1)


def fringed(x: Tensor, strength: int) -> Tensor:
    """With red and blue shifted apart."""
    return torch.stack([x[:, 0].roll(strength, -1), x[:, 1], x[:, 2].roll(-strength, -1)], 1)


def noisy(x: Tensor, strength: int) -> Tensor:
    return x + torch.randn(x.shape, generator=torch.Generator().manual_seed(0)) * 10 * strength


def blurred(x: Tensor, strength: int) -> Tensor:
    return avg_pool2d(x, 2 * strength + 1, 1, strength, count_include_pad=False)


@pytest.mark.parametrize("damage", [checkered, fringed, noisy, blurred])
def test_distances_grow_with_damage(damage) -> None:
    look, (real, rest) = features.mobilenet(96), photographs().float().chunk(2)
    seen = lambda x: Moments.of(look.extract(x.clamp(0, 255)))
    clean, *values = (distance(seen(real), seen(x)) for x in (rest, *(damage(rest, s) for s in (1, 2, 3))))
    assert sorted(values) == values
    assert values[0] > 1.1 * clean
    assert values[2] > 1.3 * clean


def test_the_numbers_behind_the_features_never_change() -> None:
    assert features.mobilenet().hash == "6aa7ca94e8437a0b"
