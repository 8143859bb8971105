"""Train generative adversarial networks that stay stable.

Parts for a GAN of your own: `losses`, `penalties`, `norms`, `constraints`, `layers`, `activations`, `augment`,
`networks`, `optimizers`, `schedules`, `metrics`, `instruments`; and for the whole loop `games` and `training.steps`.
Whole runs: the command line `equipoise`, or `for progress in runs.train(presets.default(), "runs/x"): ...` with
`from equipoise import presets, runs`.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import activations as activations
    from . import augment as augment
    from . import constraints as constraints
    from . import games as games
    from . import instruments as instruments
    from . import layers as layers
    from . import losses as losses
    from . import metrics as metrics
    from . import networks as networks
    from . import norms as norms
    from . import optimizers as optimizers
    from . import penalties as penalties
    from . import schedules as schedules
    from . import training as training

__version__ = "0.1.0.dev0"

PARTS = [
    "activations",
    "augment",
    "constraints",
    "games",
    "instruments",
    "layers",
    "losses",
    "metrics",
    "networks",
    "norms",
    "optimizers",
    "penalties",
    "schedules",
    "training",
]


def __getattr__(name: str) -> ModuleType:
    """A part when it is first asked for: all of them take seconds, which `equipoise --version` has no need of."""
    if name not in PARTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f".{name}", __name__)


def __dir__() -> list[str]:
    return [*globals(), *PARTS]
