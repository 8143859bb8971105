"""A run is a folder: everything that happens to it, and everything that is read from it."""

from .choices import choose as choose
from .folder import RunFolder as RunFolder
from .sampling import Sampler as Sampler
from .scoring import evaluate as evaluate
from .sheets import sheet as sheet
from .train import Progress as Progress
from .train import Session as Session
from .train import train as train
