"""The extractors, and what they have in common."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from math import sqrt
from typing import Literal

import torch
from jaxtyping import Float, Real
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, conv2d, interpolate, leaky_relu

from ...checks import check_choice, check_range
from ...spec import call_of
from ..full_precision import rows
from . import backbones, cifar_resnet, classifier, inception_v3, mobilenet_v2, preprocess

WIDTHS = (32, 48, 48)


@dataclass(frozen=True)
class Features:
    """Vectors of images, in float32 on the images' device, a few images at a time; `hash` says exactly which vectors.

    `extract` is the map alone, without these cares: it takes float images of 0 to 255 too, for differences smaller than
    a grey level, and gradients flow through it. `of_floats` is the map of floats of any range, where there is one.
    `logits` makes class logits of the vectors, where the network knows classes: one pass serves every metric.
    """

    name: str
    dim: int | None  # None: it depends on the number of channels
    hash: str
    resizer: str
    extract: Callable[[Tensor], Tensor] = field(repr=False, compare=False)
    logits: Callable[[Tensor], Tensor] | None = field(default=None, repr=False, compare=False)
    dtype: str = "float32"
    of_floats: Callable[[Tensor], Tensor] | None = field(default=None, repr=False, compare=False)

    def __call__(self, images: Real[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """One vector per image."""
        look = self.of_floats if images.is_floating_point() else self.extract if images.dtype == torch.uint8 else None
        if look is None or images.ndim != 4:
            hint = "; floats are seen by pixels" if images.is_floating_point() and images.ndim == 4 else ""
            got = f"{images.dtype} {list(images.shape)}{hint}"
            raise ValueError(f"{self.name} features need uint8 images [n, c, h, w], got {got}")
        return rows(look, images)


def builtin() -> Features:
    """The last 64 pooled activations of the built-in Fashion-MNIST classifier: small, fast, no download."""
    look = f"{classifier.RESIZER}, x / 127.5 - 1"
    key = _hash(look, classifier.digest())
    return Features("builtin", classifier.DIM, key, classifier.RESIZER, classifier.embed, classifier.logits)


def random(seed: int = 0) -> Features:
    """Mean and standard deviation over space of three stages of random convolutions: for any image, no download."""
    drawn = b"".join(weight.numpy().tobytes() for weight in _filters(seed, 3))
    look = "x / 127.5 - 1, stride 2, leaky 0.2, mean and deviation"
    return Features(f"random(seed={seed})", 2 * sum(WIDTHS), _hash(look, drawn.hex()), "none", _responses(seed))


def pixels(size: int = 8) -> Features:
    """x / 255 of the image's mean over a grid of size x size, flattened: colours and coarse shapes.

    Floats are seen as they are, on a grid of at most their own size: a point, an image of one pixel, is itself.
    """
    check_range(at_least=1, size=size)
    cells = lambda images: (min(images.shape[2], size), min(images.shape[3], size))
    in_unit = lambda images: adaptive_avg_pool2d(images.float() / 255, size).flatten(1)
    as_is = lambda images: adaptive_avg_pool2d(images.float(), cells(images)).flatten(1)
    key = _hash(f"pixels(size={size})")
    return Features(call_of(pixels, size=size), None, key, f"area to {size}x{size}", in_unit, of_floats=as_is)


def mobilenet(size: int = 128) -> Features:
    """1280 pooled activations of ImageNet's MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381): no download.

    `size` is the side that images are resized to, a multiple of 32. The published network's is 224; 128 is three times
    as fast and nearly as good (a linear probe of CIFAR-10 finds 79 per cent, at 96 it finds 75, at 160 and 224 80).
    """
    check_range(at_least=32, size=size)
    if size % mobilenet_v2.STRIDE:
        raise ValueError(f"size must be a multiple of {mobilenet_v2.STRIDE}, not {size}")
    resizer = preprocess.described("bilinear", size)
    key = _hash(f"{resizer}, x / 127.5 - 1", mobilenet_v2.digest())
    look = partial(mobilenet_v2.embed, size=size)
    name = call_of(mobilenet, size=size)
    return Features(name, mobilenet_v2.DIM, key, resizer, look, mobilenet_v2.logits)


def inception(
    weights: str | None = None,
    resizer: str = "tensorflow",
    precision: Literal["float32", "bfloat16"] = "float32",
) -> Features:
    """2048 pooled activations of TensorFlow's Inception of 2015-12-05 (Heusel et al. 2017, arXiv:1706.08500).

    The weights come from `weights`, else the file that EQUIPOISE_INCEPTION names, else the user's cache, where they are
    downloaded to once. The resizer "clean" is that of Parmar et al. 2022 (arXiv:2104.11222), "bilinear" PyTorch's.
    With the precision "bfloat16" convolutions are faster where the hardware has units for it, and scores move: what is
    computed so is called FD, with the precision in its name and card, never FID.
    """
    check_choice(precision, ["float32", "bfloat16"], f"there are no Inception features in {precision!r}")
    net = inception_v3.load(weights, resizer, getattr(torch, precision))
    (published,) = inception_v3.FILE.digests.values()
    described = preprocess.described(resizer, inception_v3.SIZE)
    name = call_of(inception, resizer=resizer, precision=precision)
    key = published[:16] if name == "inception" else _hash(described, published, *{precision} - {"float32"})
    return Features(name, inception_v3.DIM, key, described, _follows(net), partial(inception_v3.logits, net), precision)


def resnet56(weights: str | None = None) -> Features:
    """64 pooled activations of a ResNet-56 trained on CIFAR-10 (He et al. 2015, arXiv:1512.03385), ten classes.

    The weights come from `weights`, else the file that EQUIPOISE_RESNET56 names, else the user's cache, where they are
    downloaded to once.
    """
    net = cifar_resnet.load(weights)
    resizer = preprocess.described("bilinear", cifar_resnet.SIZE)
    logits, key = partial(cifar_resnet.logits, net), _hash(resizer, cifar_resnet.FILE.name)
    return Features("resnet56", cifar_resnet.DIM, key, resizer, _follows(net), logits)


def dinov2(model: str = "vit_large_patch14_dinov2.lvd142m", weights: str | None = None) -> Features:
    """DINOv2's class token, 1024 values of ViT-L/14 at 224x224 (Stein et al. 2023, arXiv:2306.04675); needs timm.

    `model` is a name of timm's, which downloads the weights on first use; `weights` is the path of their file instead.
    """
    net = backbones.load(model, "vit_*_patch14_dinov2.lvd142m", weights, size=224)
    return _backbone(call_of(dinov2, model=model), net)


def clip(model: str = "vit_large_patch14_clip_quickgelu_336.openai", weights: str | None = None) -> Features:
    """CLIP's image embedding, 768 values of OpenAI's ViT-L/14 at 336 (Jayasumana et al. 2024, 2401.09603); needs timm.

    `model` is a name of timm's, which downloads the weights on first use; `weights` is the path of their file instead.
    The vectors are not normalised.
    """
    return _backbone(call_of(clip, model=model), backbones.load(model, "vit_*_clip_quickgelu_*.openai", weights))


def _backbone(name: str, net: backbones.Backbone) -> Features:
    resizer = preprocess.described("clean", net.size)
    return Features(name, net.dim, _hash(resizer, net.digest()), resizer, _follows(net))


def _follows(net: nn.Module) -> Callable[[Tensor], Tensor]:
    """The network, on the device of the images."""
    return lambda images: net.to(images.device)(images)


def _responses(seed: int) -> Callable[[Tensor], Tensor]:
    def responses(images: Tensor) -> Tensor:
        x, pooled = _at_least(images.float() / 127.5 - 1, 8), []
        for weight in _filters(seed, images.shape[1]):
            x = leaky_relu(conv2d(x, weight.to(x.device), stride=2, padding=1), 0.2)
            pooled += [x.mean((2, 3)), x.std((2, 3), unbiased=False)]
        return torch.cat(pooled, 1)

    return responses


@cache
def _filters(seed: int, channels: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(width, fan, 3, 3) for fan, width in zip((channels, *WIDTHS), WIDTHS, strict=False)]
    return [(torch.rand(s, generator=generator) * 2 - 1) * sqrt(6 / (9 * s[1])) for s in shapes]


def _at_least(images: Tensor, size: int) -> Tensor:
    height, width = (max(side, size) for side in images.shape[-2:])
    return images if images.shape[-2:] == (height, width) else interpolate(images, (height, width), mode="bilinear")


def _hash(*parts: str) -> str:
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]
