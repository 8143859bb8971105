"""Recipes by name: each is a short function that returns one, with its paper's settings for the paper's data.

What depends on the data is left open and chosen when a run starts: the size, the channels and, in conditional presets,
whether there are labels. The second paragraph of each docstring says what was published, with the protocol as far as it
is known. Two things are the same in all, whatever the paper does: the EMA generator is sampled and scored (`equipoise
sample --raw` gives the one that is trained), and each fake has a label taken from the real batch.
"""

import sys
from functools import cache

from ..checks import check_choice
from ..recipe import Recipe
from ..spec import names
from .coarse_to_fine import lapgan as lapgan
from .coarse_to_fine import pggan as pggan
from .convolutional import acgan as acgan
from .convolutional import dcgan as dcgan
from .convolutional import dragan as dragan
from .convolutional import f_gan as f_gan
from .convolutional import gan as gan
from .convolutional import improved_gan as improved_gan
from .convolutional import infogan_study as infogan_study
from .convolutional import lsgan as lsgan
from .convolutional import wn_gan as wn_gan
from .energy_based import began as began
from .energy_based import ebgan as ebgan
from .energy_based import ls_gan as ls_gan
from .relativistic import r3gan as r3gan
from .spectrally_normalised import biggan as biggan
from .spectrally_normalised import biggan_deep as biggan_deep
from .spectrally_normalised import sagan as sagan
from .spectrally_normalised import sn_regularization as sn_regularization
from .spectrally_normalised import sngan as sngan
from .spectrally_normalised import sngan_projection as sngan_projection
from .spectrally_normalised import sngan_resnet as sngan_resnet
from .starting import default as default
from .translations import cyclegan as cyclegan
from .translations import pix2pix as pix2pix
from .wasserstein import ct_gan as ct_gan
from .wasserstein import wgan as wgan
from .wasserstein import wgan_gp as wgan_gp


@cache
def named(preset: str) -> Recipe:
    """The recipe of a preset, "wgan-gp" or "wgan_gp"; raises ValueError for a name that none has."""
    known = [name.replace("_", "-") for name in names(sys.modules[__name__])]
    check_choice(preset.replace("_", "-"), known, f"there is no preset {preset!r}")
    recipe: Recipe = getattr(sys.modules[__name__], preset.replace("-", "_"))()
    return recipe
