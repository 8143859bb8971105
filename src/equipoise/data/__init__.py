"""Images for training: any folder, zip file, published or toy set becomes an endless stream of batches."""

from . import toys as toys
from .batches import LabelledImages as LabelledImages
from .batches import batches as batches
from .convert import BrokenImage as BrokenImage
from .convert import Format as Format
from .convert import Look as Look
from .dataset import Dataset as Dataset
from .dataset import load as load
from .domains import Domains as Domains
from .domains import DomainSources as DomainSources
from .domains import find_domains as find_domains
from .domains import load_domains as load_domains
from .label_tables import LabelTable as LabelTable
from .label_tables import Meaning as Meaning
from .sources import Source as Source
from .sources import inspect as inspect
from .sources import is_named as is_named
