"""Train generative adversarial networks that stay stable.

Parts for a GAN of your own: `losses`, `penalties`, `norms`, `constraints`, `layers`, `activations`, `augment`,
`networks`, `optimizers`, `schedules`, `metrics`; and for the whole loop `games` and `training.steps`.
Whole runs: the command line `equipoise`, or `for progress in runs.train(presets.default(), "runs/x"): ...` with
`from equipoise import presets, runs`.
"""

__version__ = "0.1.0.dev0"

from . import activations as activations
from . import augment as augment
from . import constraints as constraints
from . import games as games
from . import layers as layers
from . import losses as losses
from . import metrics as metrics
from . import networks as networks
from . import norms as norms
from . import optimizers as optimizers
from . import penalties as penalties
from . import schedules as schedules
from . import training as training
