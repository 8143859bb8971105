"""Images for training: any folder, zip file or published set becomes an endless stream of batches."""

from .batches import Batch, batches
from .convert import BrokenImage, Format, Look
from .dataset import Dataset, load
from .sources import Source, inspect

__all__ = ["Batch", "BrokenImage", "Dataset", "Format", "Look", "Source", "batches", "inspect", "load"]
