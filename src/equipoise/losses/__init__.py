"""Adversarial losses: what each player minimises.

A `Loss` is a pair of functions of logits, of one head or of several. A `CriticLoss` is a pair of functions of (critic,
real images, fake images), for those that need more than logits: distances between images, features, class logits.
"""

from .classes import auxiliary_classifier as auxiliary_classifier
from .classes import multi_hinge as multi_hinge
from .divergences import f_gan as f_gan
from .energies import boundary_equilibrium as boundary_equilibrium
from .energies import energy as energy
from .images import feature_matching as feature_matching
from .images import loss_sensitive as loss_sensitive
from .logits import dual_contrastive as dual_contrastive
from .logits import hinge as hinge
from .logits import least_squares as least_squares
from .logits import minimax as minimax
from .logits import non_saturating as non_saturating
from .logits import relativistic as relativistic
from .logits import relativistic_average as relativistic_average
from .logits import wasserstein as wasserstein
from .objective import CriticLoss as CriticLoss
from .objective import Loss as Loss
from .objective import of_critic as of_critic
from .pretraining import pretrained as pretrained
