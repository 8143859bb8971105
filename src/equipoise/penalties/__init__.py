"""Penalties: functions of (critic, real images, fake images), added to a player's objective.

The critic is a function of images alone; labels and augmentation are closed over by whoever makes it. Any callable
from images to logits will do, a plain module among them. A weight may be a schedule. Those with a state are modules, so
that a checkpoint keeps it. All are for the discriminator, but for `pulling_away` and `path_length`, which are for the
generator; those on weights, and `consistency("zcr")`, are for either.
"""

from .for_generators import path_length as path_length
from .for_generators import pulling_away as pulling_away
from .lazy import Penalty as Penalty
from .on_gradients import dragan as dragan
from .on_gradients import gradient as gradient
from .on_gradients import max_gradient as max_gradient
from .on_gradients import r1 as r1
from .on_gradients import r2 as r2
from .on_gradients import wgan_gp as wgan_gp
from .on_gradients import zero_centered as zero_centered
from .on_logits import approximate_r1 as approximate_r1
from .on_logits import approximate_r2 as approximate_r2
from .on_logits import consistency as consistency
from .on_logits import consistency_term as consistency_term
from .on_logits import drift as drift
from .on_logits import lecam as lecam
from .on_weights import historical_averaging as historical_averaging
from .on_weights import orthogonal_offdiagonal as orthogonal_offdiagonal
from .on_weights import orthonormal as orthonormal
from .on_weights import spectral_regularization as spectral_regularization
