"""DINOv2 and CLIP of timm: what is said without the library or the weights, and the vectors of weights in a file."""

import sys
from inspect import signature

import pytest
import torch
from torch import Tensor

from equipoise.metrics import features
from equipoise.metrics.features import preprocess

each = pytest.mark.parametrize("name", ["dinov2", "clip"])
SMALL = "vit_small_patch14_dinov2.lvd142m"


def images(c: int = 3) -> Tensor:
    return torch.randint(256, (2, c, 20, 24), dtype=torch.uint8)


@pytest.fixture
def timm():
    return pytest.importorskip("timm", reason="needs timm")


@pytest.fixture
def weights(timm, tmp_path) -> str:
    """A file of random weights, in the published size."""
    torch.save(timm.create_model(SMALL).state_dict(), tmp_path / "small.pth")
    return str(tmp_path / "small.pth")


@each
def test_without_timm_one_line_says_what_to_install(name: str, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"need the library timm: pip install 'equipoise\[backbones\]'$"):
        getattr(features, name)()


@each
def test_another_model_is_refused_with_the_choices(name: str, timm) -> None:
    with pytest.raises(ValueError, match=r"timm has no 'vit_tiny' of this kind.*; choices: vit_base_patch1"):
        getattr(features, name)(model="vit_tiny")


@each
def test_without_weights_one_line_says_where_to_get_them(name: str, timm, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"no weights of vit_.*huggingface\.co/timm/vit_") as caught:
        getattr(features, name)(weights=str(tmp_path / "missing.safetensors"))
    assert "\n" not in str(caught.value)


def test_vectors_are_the_class_token_of_the_standardised_image_at_224(timm, weights: str) -> None:
    look, batch = features.dinov2(SMALL, weights), images()
    assert (look.name, look.dim) == (f"dinov2(model={SMALL!r})", 384)
    assert look.logits is None
    net = timm.create_model(SMALL, img_size=224, pretrained=True, pretrained_cfg_overlay={"file": weights}).eval()
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.no_grad():
        expected = net.forward_features((preprocess.clean(batch.float(), 224) / 255 - mean) / deviation)[:, 0]
    torch.testing.assert_close(look(batch), expected, rtol=1e-4, atol=1e-4)
    grey = images(1)
    torch.testing.assert_close(look(grey), look(grey.expand(-1, 3, -1, -1).contiguous()), rtol=1e-4, atol=1e-4)


def test_the_hash_is_that_of_the_weights(timm, weights: str, tmp_path) -> None:
    again = str(tmp_path / "again.pth")
    torch.save(dict(reversed(torch.load(weights).items())), again)
    other = str(tmp_path / "other.pth")
    torch.save(timm.create_model(SMALL).state_dict(), other)
    hashes = [features.dinov2(SMALL, path).hash for path in (weights, again, other)]
    assert hashes[0] == hashes[1] != hashes[2]


@each
def test_the_default_is_a_model_that_timm_has(name: str, timm) -> None:
    default = signature(getattr(features, name)).parameters["model"].default
    assert timm.is_model_pretrained(default)
