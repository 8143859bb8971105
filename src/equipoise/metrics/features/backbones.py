"""Vision transformers that the library timm knows and downloads, for DINOv2's and CLIP's vectors."""

import hashlib
from importlib import import_module
from typing import Any

from jaxtyping import Float, Real
from torch import Tensor, nn

from ...checks import check_choice
from ...problems import one_line
from ..full_precision import frozen
from . import preprocess

EXTRA = "dinov2 and clip need the library timm: pip install 'equipoise[backbones]'"


class Backbone(nn.Module):
    """Images of 0 to 255 to the vectors of a network of timm's, in its own size and with its own mean and deviation."""

    def __init__(self, net: Any, size: int) -> None:
        super().__init__()
        settings: dict[str, Any] = net.pretrained_cfg
        self.net, self.size, self.mean, self.deviation = net, size, settings["mean"], settings["std"]

    def forward(self, images: Real[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """net((x / 255 - mean) / deviation), x resized by the antialiased bicubic."""
        x = preprocess.clean(preprocess.rgb(images), self.size)
        return self.net(preprocess.standardised(x, self.mean, self.deviation))

    @property
    def dim(self) -> int:
        """The number of values of a vector: CLIP's projection is what timm calls classes."""
        return int(self.net.num_classes or self.net.num_features)

    def digest(self) -> str:
        """SHA-256 of all weights."""
        digest = hashlib.sha256()
        for name, tensor in self.net.state_dict().items():
            digest.update(name.encode() + tensor.float().numpy().tobytes())
        return digest.hexdigest()


def load(model: str, among: str, weights: str | None, size: int | None = None) -> Backbone:
    """The network of that name `among` timm's, in its size or another, with timm's weights or those of a file."""
    try:
        timm = import_module("timm")
    except ImportError:
        raise ValueError(EXTRA) from None
    check_choice(model, timm.list_pretrained(among), f"timm has no {model!r} of this kind")
    side = size or timm.get_pretrained_cfg(model).input_size[-1]
    file = {} if weights is None else {"pretrained_cfg_overlay": {"file": weights}}
    try:
        net = timm.create_model(model, pretrained=True, img_size=side, **file)
    except Exception as error:  # whatever the library's download and its reading of files may raise
        raise ValueError(
            f"no weights of {model}: {one_line(error)}; where there is a network timm downloads them to its own cache, "
            f"else fetch https://huggingface.co/timm/{model} elsewhere and give the path of its model.safetensors as "
            "weights"
        ) from None
    return Backbone(frozen(net), side)
