"""The report: one page that shows what is in the folder of a run, or of a study."""

from pathlib import Path

from ..study.files import STUDY


def write(folder: str | Path) -> Path:
    """Writes report.html into the folder of a run or of a study, whose table it also writes as CSV and LaTeX."""
    from . import page, study_page  # here, so that training begins before what draws plots is imported

    return study_page.write(folder) if (Path(folder) / STUDY).is_file() else page.write(folder)
