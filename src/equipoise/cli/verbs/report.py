"""The verb `report`: the page of a run or of a study."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from ... import report
from ...report import study_page
from ...study.files import STUDY
from ..command import Command, flag


@dataclass(kw_only=True)
class Report(Command):
    """Write report.html into the folder of a run or of a study: samples, curves, scores, every choice.

    equipoise report runs/x
    equipoise report runs/study     # results.csv, table.csv and table.tex too
    """

    folder: Annotated[Positional[Path], flag(metavar="RUN|STUDY", help="folder of a run or of a study")]

    def run(self) -> int:
        """Prints where the page is, and the tables of a study."""
        page = report.write(self.folder)
        print(page)
        for table in study_page.FILES[1:] if (self.folder / STUDY).is_file() else ():
            print(page.with_name(table))
        return 0
