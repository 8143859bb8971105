"""The report: one page that shows what is in a run folder."""

from .page import write as write
