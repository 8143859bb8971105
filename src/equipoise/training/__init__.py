"""Training: a generator of rounds in which players take turns, over networks and batches, without files or recipes."""

from ..processes import World as World
from ..randomness import seeded as seeded
from .compiling import compiled as compiled
from .loop import steps as steps
from .player import Batch as Batch
from .player import Player as Player
from .player import Players as Players
from .player import Terms as Terms
from .player import Turn as Turn
from .precision import FLOAT32 as FLOAT32
from .precision import Precision as Precision
from .recomputing import recompute as recompute
from .state import State as State
from .state import role as role
from .statistics import Stats as Stats
