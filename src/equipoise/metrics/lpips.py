"""Learned perceptual image patch similarity (Zhang et al. 2018, arXiv:1801.03924): how far apart two images look."""

from functools import cache, partial
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float, Real
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..checks import check_choice, check_range
from .features import preprocess
from .features.weight_files import WeightFile
from .full_precision import frozen
from .metric import SetMetric
from .pairs import PairValues, mean, mean_interval

SMALLEST = 64  # pixels; smaller images are enlarged
MEAN, DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of images in [-1, 1]
TORCHVISION = "https://download.pytorch.org/models"
HEADS = "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1"


class Backbone(NamedTuple):
    """A classifier of torchvision's: its layers ("M" is a maximum), which of them are looked at, and its files."""

    layers: tuple[Any, ...]  # width, kernel, stride, padding
    looked_at: tuple[int, ...]
    pool: tuple[int, int]  # kernel, stride
    weights: WeightFile
    heads: WeightFile


def _three(*widths: int) -> tuple[tuple[int, int, int, int], ...]:
    return tuple((width, 3, 1, 1) for width in widths)


BACKBONES = {
    "alex": Backbone(
        ((64, 11, 4, 2), "M", (192, 5, 1, 2), "M", *_three(384, 256, 256)),
        (1, 4, 7, 9, 11),
        (3, 2),
        WeightFile({"alexnet-owt-7be5be79.pth": "7be5be79"}, TORCHVISION, "EQUIPOISE_ALEXNET"),
        WeightFile({"alex.pth": "df73285e35b22355a2df87cdb6b70b34"}, HEADS, "EQUIPOISE_LPIPS_ALEX"),
    ),
    "vgg": Backbone(
        (
            *(*_three(64, 64), "M", *_three(128, 128), "M", *_three(256, 256, 256), "M"),
            *(*_three(512, 512, 512), "M", *_three(512, 512, 512)),
        ),
        (3, 8, 15, 22, 29),
        (2, 2),
        WeightFile({"vgg16-397923af.pth": "397923af"}, TORCHVISION, "EQUIPOISE_VGG16"),
        WeightFile({"vgg.pth": "a78928a0af1e5f0fcb1f3b9e8f8c3a2a"}, HEADS, "EQUIPOISE_LPIPS_VGG"),
    ),
}


def lpips_diversity(net: str = "alex", pairs: int = 10_000) -> SetMetric:
    """mean over pairs of generated images of LPIPS (Zhang et al. 2018, arXiv:1801.03924); more is more diverse.

    Pairs are consecutive images in the order in which they come, at most so many. The network is "alex" or "vgg"; its
    weights are torchvision's and those of Zhang et al. It has no bias. Noise is diverse too: compare with the value of
    real images. The interval is Student's.
    """
    check_choice(net, [*BACKBONES], f"LPIPS has no network {net!r}")
    check_range(at_least=2, pairs=pairs)
    compare = lambda x, y: load(net).to(x.device)(x, y)
    value, interval = partial(mean, "lpips_diversity"), partial(mean_interval, "lpips_diversity")
    statistic = lambda real: PairValues(pairs, compare)
    return SetMetric("lpips_diversity", statistic, value, interval, sees="images", higher=True, needs_real=False)


class LPIPS(nn.Module):
    """sum_l mean_hw w_l . (f_l(x) - f_l(y))^2, f_l the activations of layer l, of norm 1 over channels."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.looked_at, layers, channels = backbone.looked_at, list[nn.Module](), 3
        for layer in backbone.layers:
            if layer == "M":
                layers.append(nn.MaxPool2d(*backbone.pool))
            else:
                layers += [nn.Conv2d(channels, *layer), nn.ReLU()]
                channels = layer[0]
        self.features = nn.Sequential(*layers)
        widths = (cast(nn.Conv2d, layers[at - 1]).out_channels for at in backbone.looked_at)
        self.heads = nn.ParameterList(nn.Parameter(torch.ones(width)) for width in widths)

    def forward(self, x: Real[Tensor, "n c h w"], y: Real[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """The distance of each pair of images in 0 to 255."""
        pairs = zip(self.heads, self._activations(x), self._activations(y), strict=True)
        distances = [((a - b).square().mean((2, 3)) * head).sum(1) for head, a, b in pairs]
        return torch.stack(distances).sum(0)

    def _activations(self, images: Tensor) -> list[Tensor]:
        x, found = self._scaled(images), []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.looked_at:
                found.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return found

    def _scaled(self, images: Tensor) -> Tensor:
        x = preprocess.rgb(images)
        sides = [max(side, SMALLEST) for side in x.shape[-2:]]
        x = interpolate(x, sides, mode="bilinear") if list(x.shape[-2:]) != sides else x
        mean, deviation = (x.new_tensor(v).view(1, 3, 1, 1) for v in (MEAN, DEVIATION))
        return (x / 127.5 - 1 - mean) / deviation


@cache
def load(net: str) -> LPIPS:
    """The network with its published weights; where they are sought: `WeightFile.find`."""
    backbone = BACKBONES[net]
    made = LPIPS(backbone)
    kept, heads = (
        torch.load(file.find(), weights_only=True, map_location="cpu") for file in (backbone.weights, backbone.heads)
    )
    state = {name: tensor for name, tensor in kept.items() if name.startswith("features.")}
    state |= {f"heads.{at}": heads[f"lin{at}.model.1.weight"].flatten() for at in range(len(made.heads))}
    made.load_state_dict(state)
    return frozen(made)
