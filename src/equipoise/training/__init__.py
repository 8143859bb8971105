"""The training loop: a generator of steps over networks, logits and images, without files, flags or recipes."""

from .loop import Batch as Batch
from .loop import Rate as Rate
from .loop import Stats as Stats
from .loop import steps as steps
from .precision import FLOAT32 as FLOAT32
from .precision import Precision as Precision
from .state import State as State
