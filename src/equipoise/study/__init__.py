"""Studies: rows x columns x seeds of one base recipe, in a folder of run folders.

>>> rows = {"hinge": {"loss": "hinge"}, "wasserstein": {"loss": "wasserstein"}}
>>> study = Study(base={"preset": "sngan", "images": 100_000}, rows=rows, seeds=(0, 1))
>>> [cell.name for cell in study.cells]
['hinge', 'wasserstein']
"""

from .costs import check_data as check_data
from .costs import costs as costs
from .costs import runs_of as runs_of
from .costs import serial_runs as serial_runs
from .files import begin as begin
from .files import begun as begun
from .files import check_folder as check_folder
from .files import read as read
from .files import scales as scales
from .files import shipped as shipped
from .files import threads as threads
from .grid import Cell as Cell
from .grid import Study as Study
from .search import Search as Search
from .work import Event as Event
from .workers import carry_out as carry_out
