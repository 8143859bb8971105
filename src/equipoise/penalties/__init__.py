"""Penalties: functions of (critic, real images, fake images), added to a player's objective.

The critic is a function of images alone; labels and augmentation are closed over by whoever makes it. Any callable
from images to one logit a sample will do, a plain module among them. Those with a state are modules, so that a
checkpoint keeps it. All are for the discriminator, but for `pulling_away` and `path_length`, which are for the
generator; those on weights, and `consistency("zcr")`, are for either.
"""

from .generators import path_length as path_length
from .generators import pulling_away as pulling_away
from .gradients import dragan as dragan
from .gradients import gradient as gradient
from .gradients import max_gradient as max_gradient
from .gradients import r1 as r1
from .gradients import r2 as r2
from .gradients import wgan_gp as wgan_gp
from .gradients import zero_centered as zero_centered
from .kinds import Penalty as Penalty
from .logits import consistency as consistency
from .logits import consistency_term as consistency_term
from .logits import drift as drift
from .logits import lecam as lecam
from .weights import historical_averaging as historical_averaging
from .weights import orthogonal_offdiagonal as orthogonal_offdiagonal
from .weights import orthonormal as orthonormal
from .weights import spectral_regularization as spectral_regularization
