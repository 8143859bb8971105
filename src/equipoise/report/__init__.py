"""The report: one page that shows what is in the folder of a run, or of a study."""

from pathlib import Path

from ..study.files import STUDY
from .page import write as write_run
from .study_page import write as write_study


def write(folder: str | Path) -> Path:
    """Writes report.html into the folder of a run or of a study, whose table it also writes as CSV and LaTeX."""
    return write_study(folder) if (Path(folder) / STUDY).is_file() else write_run(folder)
