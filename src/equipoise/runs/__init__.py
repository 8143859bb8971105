"""A run is a folder: everything that happens to it, and everything that is read from it."""

from .choices import choose as choose
from .folder import RunFolder as RunFolder
from .sampling import Sampler as Sampler
from .scoring import evaluate as evaluate
from .session import Progress as Progress
from .session import Session as Session
from .session import train as train
from .sheets import sheet as sheet
