"""The two kinds of networks: what every architecture fills with its layers."""

from abc import ABC, abstractmethod
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..labels import Labels
from .chain import Chain, Conditional
from .conditioning import Latents, check_labels
from .shape import ImageShape


class Generator(nn.Module):
    """(z, labels) -> images: a chain of layers from normal latent vectors of dimension `z_dim`."""

    def __init__(self, latents: Latents, layers: Chain) -> None:
        super().__init__()
        self.z_dim, self.latents, self.layers = latents.z_dim, latents, layers

    def forward(self, z: Float[Tensor, "b z"], labels: Labels | None = None) -> Float[Tensor, "b c h w"]:
        """Images in [-1, 1]."""
        check_labels(self.latents.labels, labels)
        return cast(Tensor, self.layers(*self.latents(z, labels)))


class Discriminator(nn.Module):
    """(images, labels) -> logits: a chain of layers to features, and a head."""

    def __init__(self, shape: ImageShape, features: Chain, last: Conditional) -> None:
        super().__init__()
        self.labels, self.features, self.last = shape.labels, features, last

    def forward(self, images: Float[Tensor, "b c h w"], labels: Labels | None = None) -> Float[Tensor, "b"]:
        """One logit per image."""
        check_labels(self.labels, labels)
        return cast(Tensor, self.last(self.features(images, labels), labels))


class AutoEncoder(nn.Module, ABC):
    """(images, labels) -> minus their energies: how badly the discriminator, an auto-encoder, reconstructs them.

    `features` is the encoder, whose output is the code.
    """

    is_autoencoder = True

    def __init__(self, shape: ImageShape, encoder: Chain, decoder: Chain) -> None:
        super().__init__()
        self.labels, self.features, self.decoder = shape.labels, encoder, decoder

    def forward(self, images: Float[Tensor, "b c h w"], labels: Labels | None = None) -> Float[Tensor, "b"]:
        """Minus the energy, one per image."""
        check_labels(self.labels, labels)
        return -self.energy(self.decoder(self.features(images, labels)) - images)

    @abstractmethod
    def energy(self, error: Float[Tensor, "b c h w"]) -> Float[Tensor, "b"]:
        """The size of a reconstruction error."""


class EuclideanAutoEncoder(AutoEncoder):
    """Energy |Dec(Enc(x)) - x|_2 over all values of an image (Zhao 2017, arXiv:1609.03126, Sec. 2.3)."""

    def energy(self, error: Float[Tensor, "b c h w"]) -> Float[Tensor, "b"]:
        """Its norm; 1e-12 under the root keeps the gradient finite."""
        return (error.float().square().flatten(1).sum(1) + 1e-12).sqrt()


class AbsoluteAutoEncoder(AutoEncoder):
    """Energy mean |x - D(x)| over all values of an image (Berthelot 2017, arXiv:1703.10717, Sec. 3.1)."""

    def energy(self, error: Float[Tensor, "b c h w"]) -> Float[Tensor, "b"]:
        """Its mean absolute value."""
        return error.float().abs().flatten(1).mean(1)


class Uniform(nn.Module):
    """2 Phi(z) - 1 = erf(z / sqrt(2)): uniform in [-1, 1] where z is normal, as in papers that draw z so."""

    def forward(self, z: Float[Tensor, "b z"]) -> Float[Tensor, "b z"]:
        """Values of the same shape."""
        return torch.erf(z * 0.5**0.5)


class FromUnit(nn.Module):
    """2 x - 1: from values in [0, 1] to images."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """In [-1, 1]."""
        return 2 * x - 1


class ToUnit(nn.Module):
    """(x + 1) / 2: from images to values in [0, 1]."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """In [0, 1]."""
        return (x + 1) / 2
