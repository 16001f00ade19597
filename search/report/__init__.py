"""Leaderboard, page and figures of a study. Reads `search.study.records` and the study's evidence folder."""

from pathlib import Path
from typing import NamedTuple

from search.errors import InputError
from search.files import unwritable
from search.report.classes import class_table, confusion_plot, write_classes
from search.report.evidence import read_evidence
from search.report.figures import all_plots
from search.report.frame import best_trial, leaderboard, trial_frame, write_leaderboard
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
    classes: Path | None = None
    """Precision, recall, F1 and support per class of the best trial; None where its predictions were not kept."""


def write_report(study: StudyRecord, folder: Path, evidence: str | Path | None = None) -> ReportPaths:
    """Writes `leaderboard.csv`, `report.html`, `figures/*.html` and `classes.csv` into `folder`, each in one step.

    What workers kept of the best trial is read from the folder `evidence`, a path or a store's URL, by default
    `folder`/evidence; without its predictions there is no classes.csv. Older files of these names are replaced or
    removed. Raises InputError when `folder` can't be written.
    """
    best = best_trial(study)
    kept = read_evidence(evidence or folder / "evidence", best.number if best else None)
    classes = folder / "classes.csv"
    paths = ReportPaths(
        folder / "leaderboard.csv",
        folder / "report.html",
        folder / "figures",
        classes if kept.predictions else None,
    )
    plots = all_plots(study)
    try:
        write_leaderboard(study, paths.leaderboard)
        write_page(study, paths.page, plots, kept)
        write_figures(study, paths.figures, (*plots, confusion_plot(kept)))
        if kept.predictions:
            write_classes(class_table(kept.predictions, kept.class_names), classes)
        else:
            classes.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(unwritable(folder, error)) from error
    return paths
