"""Adaptive discriminator augmentation (Karras, Aittala, Hellsten, Laine, Lehtinen and Aila 2020)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..checks import check_choices, check_range
from ..critic import Logits, heads
from ..numerics import wide, without_autocast
from ..schedules import Rate, at
from .colour import recolour
from .draws import Chance, Images
from .geometry import blits, deformations, through, warp

GROUPS = ("blit", "geometry", "color")


def transformed(images: Images, p: Chance, groups: list[str]) -> Images:
    """Each transform of these groups with probability p, of each sample."""
    with without_autocast(images):
        result = wide(images)
        geometry = {"blit": blits, "geometry": deformations}
        maps = [draw(result, p) for name, draw in geometry.items() if name in groups]
        if maps:
            result = warp(result, through(*maps))
        return (recolour(result, p) if "color" in groups else result).to(images.dtype)


class Transforms(nn.Module):
    """Augments each sample, by each transform with probability `p`, which `follow_images` sets. See `transforms`."""

    p: Tensor

    def __init__(self, p: Rate, groups: list[str]) -> None:
        super().__init__()
        self.rate, self.groups = p, groups
        self.register_buffer("p", torch.tensor(float(at(p, 0))))

    def follow_images(self, seen: int) -> None:
        """Sets the probability to what it is after so many images."""
        self.p.fill_(at(self.rate, seen))

    def forward(self, images: Images) -> Images:
        """The images as the discriminator is to see them."""
        return transformed(images, self.p, self.groups)


def transforms(p: Rate = 0.5, pipe: str | Sequence[str] = GROUPS) -> Transforms:
    """Each transform of `ada` with probability p, which does not adapt (Karras 2020, arXiv:2006.06676, Sec. 2).

    `p` may be a schedule, as R3GAN's (Huang 2024, arXiv:2501.05441), of which `follow_images` sets the value.
    """
    check_range(at_least=0, at_most=1, p=p)
    return Transforms(p, check_choices(pipe, GROUPS, "pipe"))


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
        self.register_buffer("signs", torch.zeros((), dtype=torch.float64))
        for name in ("seen", "calls"):
            self.register_buffer(name, torch.zeros((), dtype=torch.int64))

    def forward(self, images: Images) -> Images:
        """The images as the discriminator is to see them."""
        return transformed(images, self.p, self.groups)

    @torch.no_grad()
    def observe_reals(self, logits: Logits) -> None:
        """Counts the signs of the logits of augmented reals; every so many calls in training mode, moves p."""
        if not self.training:
            return
        signs = [head.sign().double().flatten(1).mean(1) if head.ndim > 1 else head.sign() for head in heads(logits)]
        samples = len(signs[0])
        self.signs += torch.stack([sign.double().sum() for sign in signs]).mean()
        self.seen += samples
        self.calls += 1
        due = self.calls >= self.every
        step = torch.sign(self.signs / self.seen - self.target) * self.seen / self.images
        self.p.copy_(torch.where(due, self.p + step, self.p).clamp(0, 1))
        for count in (self.signs, self.seen, self.calls):
            count.masked_fill_(due, 0)


def ada(target: float = 0.6, every: int = 4, images: int = 500_000, pipe: str | Sequence[str] = GROUPS) -> Ada:
    """p <- p + sign(E sign D(x) - target) n / images, 0 <= p <= 1 (Karras 2020, arXiv:2006.06676, Sec. 3).

    A module: hand `observe_reals` the logits of each batch of augmented reals, those of all processes where there are
    several; of maps and several heads, E sign is the mean over a head's values and over heads. Where a loss looks at
    differences of logits alone (relativistic and Wasserstein losses) their sign says nothing: hand it
    `critic.centred(real_logits, fake_logits)` there, as `games.adversarial` does. Every `every` calls it moves p
    by their number n, so that p goes from 0 to 1 in `images` images. Each transform is applied to each sample with
    probability p:

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
    return Ada(target, every, images, check_choices(pipe, GROUPS, "pipe"))
