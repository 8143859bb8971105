"""Layers that take the label or the latent vector besides the features."""

from jaxtyping import Float
from torch import Tensor, nn

from ..checks import check_range
from ..labels import Labels, LabelSpace
from .whole_batch import AnyBatchNorm


class ClassEmbedding(nn.Embedding):
    """One embedding per class; for weights of all classes the mixture of their embeddings."""

    def forward(self, labels: Labels) -> Float[Tensor, "b width"]:
        """A row of the weight, or a sum of rows."""
        return labels @ self.weight if labels.is_floating_point() else super().forward(labels)


class VectorEmbedding(nn.Linear):
    """The sum of the embeddings of all true attributes; of a vector, a linear map."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__(size, width, bias=False)
        nn.init.normal_(self.weight, 0.0, size**-0.5)

    def forward(self, labels: Labels) -> Float[Tensor, "b width"]:
        """W y."""
        return super().forward(labels.to(self.weight.dtype))


def embedding(labels: LabelSpace, width: int) -> nn.Embedding | nn.Linear:
    """The module that embeds labels of this kind in `width` dimensions."""
    make = ClassEmbedding if labels.kind == "classes" else VectorEmbedding
    return make(labels.size, width)


class ConditionalBatchNorm(nn.Module):
    """gain(y) BN(x) + bias(y) (Dumoulin 2017, arXiv:1610.07629; Miyato and Koyama 2018, arXiv:1802.05637).

    For labels `LabelSpace("classes", n)`, or n for short, one gain and one bias per class and channel; for attributes
    and vectors gain - 1 and bias are linear in them, W y. Gains are initialised to 1 and biases to 0. `eps` and
    `momentum` are those of `torch.nn.BatchNorm2d`.
    """

    def __init__(self, channels: int, labels: LabelSpace | int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        space = labels if isinstance(labels, LabelSpace) else LabelSpace("classes", labels)
        self.norm = AnyBatchNorm(channels, eps=eps, momentum=momentum, affine=False)
        self.gain, self.bias = embedding(space, channels), embedding(space, channels)
        self.start = 0.0 if space.kind == "classes" else 1.0  # what is added to the embedded gain
        nn.init.constant_(self.gain.weight, 1.0 - self.start)
        nn.init.zeros_(self.bias.weight)

    def forward(self, x: Float[Tensor, "b c *space"], labels: Labels) -> Float[Tensor, "b c *space"]:
        """Normalises over the batch, then scales and shifts each sample by its label."""
        return modulated(self.norm(x), self.start + self.gain(labels), self.bias(labels))


class SelfModulation(nn.Module):
    """gain(z) BN(x) + bias(z) (Chen 2019, arXiv:1810.01365, Eq. 1-2): batch normalisation conditioned on z.

    gain and bias are linear in ReLU(U z + u), `hidden` units which they share as in the authors' code. It starts as
    plain batch normalisation: gain 1, bias 0 for every z. As the last layers' weights are 0 at first, leave them out
    of a spectral normalisation, which divides by their norm: `skip=["*.gain", "*.bias"]`.
    """

    def __init__(self, channels: int, z_dim: int, hidden: int = 32, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        check_range(at_least=1, channels=channels, z_dim=z_dim, hidden=hidden)
        self.norm = AnyBatchNorm(channels, eps=eps, momentum=momentum, affine=False)
        self.hidden = nn.Sequential(nn.Linear(z_dim, hidden), nn.ReLU())
        self.gain, self.bias = nn.Linear(hidden, channels), nn.Linear(hidden, channels)
        for head, start in ((self.gain, 1.0), (self.bias, 0.0)):
            nn.init.zeros_(head.weight)
            nn.init.constant_(head.bias, start)

    def forward(self, x: Float[Tensor, "b c *space"], z: Float[Tensor, "b z"]) -> Float[Tensor, "b c *space"]:
        """Normalises over the batch, then scales and shifts each sample by its latent vector."""
        hidden = self.hidden(z)
        return modulated(self.norm(x), self.gain(hidden), self.bias(hidden))


def modulated(x: Tensor, gain: Float[Tensor, "b c"], bias: Float[Tensor, "b c"]) -> Tensor:
    """gain x + bias, one of each per sample and channel, in the dtype of x."""
    places = x.shape[:2] + (1,) * (x.dim() - 2)
    return x * gain.to(x.dtype).reshape(places) + bias.to(x.dtype).reshape(places)
