"""Recipes by name: each is a short function that returns one, with its paper's settings for the paper's data."""

from .papers import dcgan as dcgan
from .papers import sngan as sngan
from .papers import sngan_projection as sngan_projection
from .papers import sngan_resnet as sngan_resnet
from .papers import wgan_gp as wgan_gp
from .start import default as default
