"""Leaderboard, page and figures of a study. Reads `search.study.records` and nothing else."""

from pathlib import Path
from typing import NamedTuple

from search.errors import InputError
from search.report.figures import all_plots
from search.report.frame import leaderboard, trial_frame, write_leaderboard
from search.report.page import write_figures, write_page
from search.report.table import leaderboard_table
from search.study.records import StudyRecord

__all__ = [
    "ReportPaths",
    "leaderboard",
    "leaderboard_table",
    "trial_frame",
    "write_leaderboard",
    "write_page",
    "write_report",
]


class ReportPaths(NamedTuple):
    """Where a report was written."""

    leaderboard: Path
    page: Path
    figures: Path
    """The folder of the figures."""


def write_report(study: StudyRecord, folder: Path) -> ReportPaths:
    """Writes `leaderboard.csv`, `report.html` and `figures/*.html` into `folder`, each in one step.

    Older files of these names are replaced. Raises InputError when the folder can't be written.
    """
    paths = ReportPaths(folder / "leaderboard.csv", folder / "report.html", folder / "figures")
    plots = all_plots(study)
    try:
        write_leaderboard(study, paths.leaderboard)
        write_page(study, paths.page, plots)
        write_figures(study, paths.figures, plots)
    except OSError as error:
        reason = f"{error.filename or folder} can't be written: {error.strerror or error}"
        raise InputError(f"{reason}; make room, allow writing, or set GRIDLESS_HOME to another folder") from error
    return paths
