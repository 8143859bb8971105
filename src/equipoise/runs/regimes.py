"""What suits a kind of data on a kind of machine, as one table: each setting with its reason."""

from math import prod, sqrt
from typing import Any, NamedTuple

import torch

from ..recipe import Recipe, known


class Choice(NamedTuple):
    """A value and why it was chosen."""

    value: Any
    reason: str


class Regime(NamedTuple):
    """What is trained, and how."""

    network: Choice
    loss: Choice
    batch: Choice
    penalty: Choice
    """The weight of R1, and with a relativistic loss of R2."""
    penalty_every: int
    """Steps of the discriminator for one with penalties."""
    rate: Choice
    """The learning rate of this network; another one is trained with `FALLING`."""
    images: Choice | None = None
    """Length of a run, where it does not follow the number of images there are."""
    longest: int | None = None
    """Minutes that a run of that length may take, before it is shortened."""
    by_area: bool = False
    """Whether penalties of images that are not small weigh more, in proportion to their area."""
    g_condition: Choice | None = None
    """How this generator is conditioned, where it is not the network's usual way."""


SMALL, MIDDLE, LARGE = 32, 64, 96  # pixels
LONG = 300_000  # images of 32x32, after which wider networks are ahead
A_MINUTE = 60_000  # images of 32x32 that narrow networks are shown by one core, of whatever machine


def strided(width: int, upsampling: str = "transposed") -> str:
    """`dcgan` of this width, for R1 in place of normalisation in D."""
    others = "" if upsampling == "transposed" else f", upsampling={upsampling!r}"
    return f"dcgan(g_width={width}, d_width={width}, d_feature_norm='none', d_gain=0.7{others})"


FALLING = Choice("decay(1e-3, share=0.5)", "falls to 0 over the second half")
POINTS = Regime(  # of two dimensions
    network=Choice("mlp(width=128, z_dim=2)", "points have no space to convolve over"),
    loss=Choice("relativistic", "with R1 and R2 it finds all modes of points"),
    batch=Choice(128, "points are small"),
    penalty=Choice(0.1, "as much as lets the generator settle"),
    penalty_every=1,
    rate=FALLING,
    images=Choice(400_000, "less than a minute on a CPU core"),
)
GPU = Regime(
    network=Choice("r3(g_width=384, d_width=384)", "half of the paper's width, for one GPU"),
    loss=Choice("relativistic", "R3GAN's, for long runs"),
    batch=Choice(64, "keeps one GPU busy"),
    penalty=Choice(3.0, "stronger for larger images"),
    penalty_every=1,
    rate=FALLING,
    by_area=True,
)
_STRIDED = "strided convolutions: of all networks the most steps a second on a few CPU cores"
_WIDER = f"{_STRIDED}, twice as wide for a long run"
CPU = Regime(
    network=Choice(strided(16, "nearest"), f"{_STRIDED}, without grids"),
    loss=Choice("hinge", "with R1 ahead of others after minutes, on photographs and on small images"),
    batch=Choice(16, "small, for many steps on a few CPU cores"),
    penalty=Choice(1.0, "every fourth step costs a CPU half as much; stronger, large images are learnt later"),
    penalty_every=4,
    rate=FALLING,
    images=Choice(140_000, "minutes on a few CPU cores for small images; --images or --minutes for longer"),
    longest=20,
    g_condition=Choice("self_modulation", "classes come apart soonest so, and stay varied"),
)
CPU_LONG = CPU._replace(network=Choice(strided(32, "nearest"), f"{_WIDER}, without grids"))
CPU_LARGE = CPU._replace(batch=Choice(8, "smaller still where images are large: more steps in the same time"))
CPU_SMALL = CPU._replace(rate=Choice("decay(2e-3, share=0.5)", "narrow networks learn small images fastest so"))
CPU_SMALL_GREY = CPU_SMALL._replace(network=Choice(strided(16), _STRIDED))
CPU_SMALL_GREY_LONG = CPU_LONG._replace(network=Choice(strided(32), _WIDER))


def regime(recipe: Recipe, device: torch.device) -> Regime:
    """The one for images of this size and so many channels, for a run of this length, here."""
    side, channels = min(known(recipe.height_width())), known(recipe.channels)
    if side == 1:
        network = POINTS.network._replace(value=f"mlp(width=128, z_dim={max(2, channels)})")
        return POINTS._replace(network=network)
    return GPU if device.type == "cuda" else on_cpu(side, channels > 1, is_long(recipe))


def on_cpu(side: int, in_colour: bool, long: bool) -> Regime:
    """The one for a CPU; wider networks are no better for images above 64 pixels, after minutes."""
    if side > MIDDLE:
        return CPU_LARGE if side > LARGE else CPU
    if long:
        return CPU_LONG if in_colour or side > SMALL else CPU_SMALL_GREY_LONG
    if side > SMALL:
        return CPU
    return CPU_SMALL if in_colour else CPU_SMALL_GREY


def is_long(recipe: Recipe) -> bool:
    """Whether n images of side s, n s / 32 >= 300,000, are shown: as many as are asked for, or as minutes usually have.

    How fast this machine is does not matter, so that the same command trains the same networks everywhere.

    >>> [is_long(Recipe(size="64", minutes=minutes)) for minutes in (5, 10)]
    [False, True]
    """
    scale = sqrt(prod(recipe.height_width() or (SMALL, SMALL))) / SMALL
    if recipe.minutes is not None:
        return recipe.minutes * A_MINUTE / scale >= LONG
    return recipe.images is not None and recipe.images * scale >= LONG
