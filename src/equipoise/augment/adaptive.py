"""Adaptive discriminator augmentation (Karras, Aittala, Hellsten, Laine, Lehtinen and Aila 2020)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..checks import check_range, check_words
from ..numerics import wide, without_autocast
from .colour import recolour
from .draws import Images
from .geometry import blits, deformations, through, warp

GROUPS = ("blit", "geometry", "color")


class Ada(nn.Module):
    """Augments each sample, by each transform with probability `p`; `observe_reals` moves `p`. See `ada`."""

    p: Tensor
    signs: Tensor
    seen: Tensor
    calls: Tensor

    def __init__(self, target: float, every: int, images: int, groups: list[str]) -> None:
        super().__init__()
        self.target, self.every, self.images, self.groups = target, every, images, groups
        self.register_buffer("p", torch.zeros(()))
        for name in ("signs", "seen", "calls"):
            self.register_buffer(name, torch.zeros((), dtype=torch.int64))

    def forward(self, images: Images) -> Images:
        """The images as the discriminator is to see them."""
        with without_autocast(images):
            return self._augment(wide(images)).to(images.dtype)

    def _augment(self, images: Images) -> Images:
        geometry = {"blit": blits, "geometry": deformations}
        maps = [draw(images, self.p) for name, draw in geometry.items() if name in self.groups]
        if maps:
            images = warp(images, through(*maps))
        return recolour(images, self.p) if "color" in self.groups else images

    @torch.no_grad()
    def observe_reals(self, real_logits: Float[Tensor, "b"]) -> None:
        """Counts the signs of the logits of augmented reals; every so many calls in training mode, moves p."""
        if not self.training:
            return
        self.signs += real_logits.sign().long().sum()
        self.seen += len(real_logits)
        self.calls += 1
        due = self.calls >= self.every
        step = torch.sign(self.signs / self.seen - self.target) * self.seen / self.images
        self.p.copy_(torch.where(due, self.p + step, self.p).clamp(0, 1))
        for count in (self.signs, self.seen, self.calls):
            count.masked_fill_(due, 0)


def ada(target: float = 0.6, every: int = 4, images: int = 500_000, pipe: str = "blit,geometry,color") -> Ada:
    """p <- p + sign(E sign D(x) - target) n / images, 0 <= p <= 1 (Karras 2020, arXiv:2006.06676, Sec. 3).

    A module: hand `observe_reals` the logits of each batch of augmented reals, those of all processes where there are
    several. Every `every` calls it moves p by their number n, so that p goes from 0 to 1 in `images` images. Each
    transform is applied to each sample with probability p:

    * `blit`: mirror image, quarter turns, whole-pixel shifts;
    * `geometry`: scale, rotation, stretch, shift. All of one sample's are one bilinear warp that mirrors the image at
      its borders; the authors' low-pass filters around the warp are left out, so that shrinking can alias;
    * `color`: brightness and contrast, and of three channels luma flip, hue and saturation (the authors flip the
      luma of one channel too).

    While p stays below about 0.8 the generator does not learn to make augmented images; above, they leak.

    >>> augment, images = ada(), torch.rand(4, 3, 8, 8)
    >>> torch.equal(augment(images), images)  # p starts at 0
    True
    """
    check_range(at_least=-1, at_most=1, target=target)
    check_range(at_least=1, every=every, images=images)
    return Ada(target, every, images, check_words(pipe, GROUPS, "pipe"))
