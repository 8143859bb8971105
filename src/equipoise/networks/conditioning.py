"""How networks are conditioned on labels: the ways of `--g-condition` and `--d-condition`."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..checks import check_choice
from ..labels import Labels
from ..layers import ConditionalBatchNorm, InstanceNorm, LayerNorm, PixelNorm, SelfModulation
from ..layers.conditional import embedding
from ..layers.whole_batch import AnyBatchNorm
from .chain import Conditional
from .init import glorot
from .shape import ImageShape

FEATURE_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": AnyBatchNorm,
    "layer": LayerNorm,
    "instance": InstanceNorm,
    "pixel": lambda channels: PixelNorm(),
    "none": lambda channels: nn.Identity(),
}


def feature_norm(name: str, channels: int) -> nn.Module:
    """A layer that normalises features: "batch", "layer", "instance", "pixel" or "none"."""
    check_choice(name, [*FEATURE_NORMS], f"there is no normalisation of features {name!r}")
    return FEATURE_NORMS[name](channels)


class Latents(nn.Module):
    """The input of a generator's first layer, and the condition of its normalisations.

    * "batch_norm": labels choose the gain and bias of every batch normalisation (Dumoulin 2017, arXiv:1610.07629;
      Miyato and Koyama 2018, arXiv:1802.05637).
    * "concat": an embedding of the label beside z (Mirza and Osindero 2014, arXiv:1411.1784).
    * "self_modulation": z, with an embedding of the label beside it, makes gains and biases (Chen 2019,
      arXiv:1810.01365); it needs no labels.

    `inputs` is the dimension of the first layer's input. `normalize` is how features are normalised; without batch
    normalisation labels can only be concatenated.
    """

    def __init__(self, shape: ImageShape, z_dim: int, normalize: str = "batch") -> None:
        super().__init__()
        ways = ["batch_norm", "concat", "self_modulation"] if normalize == "batch" else ["concat"]
        who = "generator" if len(ways) > 1 else "generator without batch normalisation"
        self.way = way_of(shape.g_condition, ways, who)
        self.labels, self.z_dim, self.normalize = shape.labels, z_dim, normalize
        embedded = shape.labels and self.way != "batch_norm"
        self.embed = embedding(shape.labels, z_dim) if embedded else None
        beside = 2 * z_dim if embedded else z_dim  # the dimension of z with the label beside it
        self.inputs, self.modulating = (z_dim, beside) if self.way == "self_modulation" else (beside, 0)

    def norm(self, channels: int) -> nn.Module:
        """A normalisation of features in the generator."""
        if self.way == "self_modulation":
            return SelfModulation(channels, self.modulating)
        if self.way == "batch_norm" and self.labels:
            return ConditionalBatchNorm(channels, self.labels)
        return feature_norm(self.normalize, channels)

    def forward(self, z: Float[Tensor, "b z"], labels: Labels | None) -> tuple[Tensor, Tensor | None]:
        """The input of the first layer, and the condition of the others."""
        beside = z if self.embed is None else torch.cat([z, self.embed(labels)], dim=1)
        if self.way == "self_modulation":
            return z, beside
        return beside, labels if self.way == "batch_norm" else None


class LabelMaps(Conditional):
    """[x, e(y)]: an embedding of the label at every pixel, of half as many channels (Miyato and Koyama 2018, Fig. 1b).

    The paper has 128 beside the 256 behind its third block; here they come behind the first layer or block. `channels`
    is how many there are then. Only where the discriminator is conditioned by "concat"; elsewhere nothing is appended.
    """

    def __init__(self, shape: ImageShape, channels: int, usual: str = "projection") -> None:
        super().__init__()
        used = shape.labels and (shape.d_condition or usual) == "concat"
        self.embed = embedding(shape.labels, max(1, channels // 2)) if used else None
        self.channels = channels + max(1, channels // 2) * bool(used)

    def forward(self, x: Float[Tensor, "b c *space"], condition: Labels | None = None) -> Float[Tensor, "b c2 *space"]:
        """The features, and the label beside them."""
        if self.embed is None:
            return x
        vector = self.embed(condition).to(x.dtype)
        return torch.cat([x, vector.reshape(*vector.shape, *[1] * (x.dim() - 2)).expand(-1, -1, *x.shape[2:])], dim=1)


class Head(Conditional):
    """w' h + b of features h, and how the discriminator is conditioned on labels there.

    * "projection": + e(y)' h (Miyato and Koyama 2018, arXiv:1802.05637, Eq. 3).
    * "auxiliary": besides, `class_logits` A h + c, for losses that ask for them (Odena 2017, arXiv:1610.09585).
    * "concat": labels came in before, with `LabelMaps`.

    `logit` takes the place of w' h + b.
    """

    def __init__(self, shape: ImageShape, features: int, bias: bool = True, logit: nn.Module | None = None) -> None:
        super().__init__()
        way = way_of(shape.d_condition, ["projection", "auxiliary", "concat"], "discriminator")
        self.logit = logit or glorot(nn.Linear(features, 1, bias))
        self.embed = glorot(embedding(shape.labels, features)) if shape.labels and way == "projection" else None
        self.class_logits = glorot(nn.Linear(features, shape.labels.size)) if way == "auxiliary" else None

    def forward(self, h: Float[Tensor, "b f"], condition: Labels | None = None) -> Float[Tensor, "b"]:
        """One logit per image."""
        if self.class_logits is not None:
            self.class_logits(h)  # for the critic, which has a hook on it
        logits = self.logit(h).squeeze(1)
        return logits if self.embed is None else logits + (self.embed(condition).to(h.dtype) * h).sum(1)


def way_of(asked: str | None, ways: list[str], network: str) -> str:
    """The way that was asked for, or the usual one: the first."""
    check_choice(asked or ways[0], ways, f"this {network} cannot be conditioned by {asked!r}")
    return asked or ways[0]


def check_labels(expected: object, labels: Labels | None) -> None:
    """Raises ValueError where labels are missing, and where an unconditional network is given some."""
    if bool(expected) != (labels is not None):
        raise ValueError(
            "the network was built for labels and got none" if expected else "the network was built without labels"
        )
