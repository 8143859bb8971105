"""A run is a folder: everything that happens to it, and everything that is read from it."""

from .choices import choose as choose
from .evaluations import evaluate as evaluate
from .evaluations import evaluate_images as evaluate_images
from .folder import RunFolder as RunFolder
from .own_images import translate_files as translate_files
from .prepared import prepare as prepare
from .sampling import Sampler as Sampler
from .session import Progress as Progress
from .session import Session as Session
from .session import train as train
from .sheets import sheet as sheet
from .statistics_files import write_statistics as write_statistics
