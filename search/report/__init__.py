"""Leaderboard, page and figures of a study. Reads `search.records` and the studies' evidence
folders.
"""

import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from search.analysis.finalists import Finals
from search.analysis.judging import judge
from search.analysis.ranking import best_trial
from search.artifacts import join
from search.errors import InputError
from search.files import locked, unwritable
from search.paths import artifacts
from search.records import StudyRecord, as_trained
from search.report.charts.confusion import class_table, confusion_plot, write_classes
from search.report.contents import Contents, contents
from search.report.evidence import Evidence, read_correct, read_evidence, read_predictions
from search.report.leaderboard.frame import leaderboard, trial_frame, write_leaderboard
from search.report.model import keep_model, older
from search.report.page import page, write_figures, write_page
from search.report.text.majority import cautions
from search.study.finalists import champion
from search.study.storage.due_reports import due_reports, note_report
from search.study.storage.ledger import finals_of
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.read import TrialReader, find_study, read_study

__all__ = [
    "Report",
    "ReportPaths",
    "gather",
    "leaderboard",
    "page_of",
    "report_study",
    "trial_frame",
    "write_leaderboard",
    "write_page",
    "write_report",
]
logger = logging.getLogger(__name__)


class ReportPaths(NamedTuple):
    """Where a report was written."""

    leaderboard: Path
    page: Path
    figures: Path
    """The folder of the figures."""
    classes: Path | None = None
    """Precision, recall, F1 and support per class of the best trial; None where its predictions
    were not kept.
    """
    model: Path | None = None
    """The network of the setting that validation ranks first; None before it was trained again."""
    model_note: str | None = None
    """What is needed to use it, or why there is none."""

    @property
    def files(self) -> list[Path]:
        """What is worth keeping with the study elsewhere."""
        return [path for path in (self.leaderboard, self.page, self.classes, self.figures) if path]


class Report(NamedTuple):
    """What a report was made of, and where it is."""

    study: StudyRecord
    final: StudyRecord | None
    """The study of its finalists."""
    finals: Finals | None
    cautions: list[str]
    """What must be known before an accuracy is believed: see `search.report.text.majority`."""
    paths: ReportPaths


def report_study(storage: LedgerStorage, name: str, folder: Path) -> Report:
    """Write the report of study `name` as it is stored now into `folder`, one process at a time.

    If the study and its finalists are over, it is noted that this is done.

    Raises InputError when there is no such study, or `folder` can't be written.
    """
    find_study(storage, name)
    is_last = name in due_reports(storage)  # before it is read: it may come to its end meanwhile
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".report.lock", wait=True):
            written = write_report(read_study(storage, name), folder, *_material(storage, name))
    except OSError as error:
        raise InputError(unwritable(folder, error)) from error
    if is_last:
        note_report(storage, name, f"{socket.gethostname()}:{folder}")
    return written


def page_of(storage: LedgerStorage, name: str) -> str:
    """The page of study `name` as it is stored now, one that asks for news. Raises InputError
    without such a study.
    """
    return page(gather(read_study(storage, name), *_material(storage, name)), live=True)


def news_of(storage: LedgerStorage, name: str) -> Callable[[], object]:
    """A function that says what the page of study `name` is made of, reading only what may have
    changed since.

    It raises InputError without such a study.
    """
    readers: dict[int, TrialReader] = {}

    def news() -> object:
        found = [find_study(storage, one)[0] for one in (name, *finals_of(storage, [name]))]
        return [
            readers.setdefault(study_id, TrialReader(storage, study_id)).read()
            for study_id in found
        ]

    return news


def _material(storage: LedgerStorage, name: str) -> tuple[str, StudyRecord | None, str]:
    """The evidence of study `name`, the study of its finalists, and the evidence of that."""
    final = next((read_study(storage, found) for found in finals_of(storage, [name])), None)
    return (
        join(artifacts(name), "evidence"),
        final,
        join(artifacts(final.name), "evidence") if final else "",
    )


def gather(
    study: StudyRecord,
    evidence: str | Path,
    final: StudyRecord | None = None,
    final_evidence: str | Path = "",
) -> Contents:
    """All that the page of `study` shows, with what workers kept in the folders `evidence` and
    `final_evidence`.
    """
    study = as_trained(study)
    best = best_trial(study)
    kept = _with_exported(
        read_evidence(evidence, best.number if best else None),
        champion(study, final),
        final_evidence,
    )
    return contents(study, kept, final, judge(study, final, read_correct(final_evidence, final)))


def _with_exported(kept: Evidence, replicate: int | None, folder: str | Path) -> Evidence:
    """`kept` with what the network of the search's first finalist, a `replicate`, said of the test
    set.
    """
    try:
        predictions = None if replicate is None else read_predictions(folder, replicate)
    except OSError:  # `read_correct` asks there, too, and says so
        return replace(kept, is_out_of_reach=True)
    return (
        replace(kept, exported=predictions) if predictions and predictions.split == "test" else kept
    )


def write_report(
    study: StudyRecord,
    folder: Path,
    evidence: str | Path | None = None,
    final: StudyRecord | None = None,
    final_evidence: str | Path = "",
) -> Report:
    """Write `leaderboard.csv`, `report.html`, `figures/*.html`, `classes.csv` and the network into
    `folder`.

    What workers kept of the best trial is read from the folder `evidence`, a path or a store's URL,
    by default `folder`/evidence; without its predictions there is no classes.csv. What they kept of
    the replicates in `final` is read from `final_evidence`. Each file is written in one step; older
    files of these names are replaced or removed, but kept, with a warning, while what they are made
    from is out of reach. Raises InputError when `folder` can't be written.
    """
    found = gather(study, evidence or folder / "evidence", final, final_evidence)
    study = found.study
    kept = found.evidence
    matrices = [
        confusion_plot(predictions, kept.class_names, key)
        for predictions, key in ((kept.predictions, "confusion"), (kept.exported, "confusion_test"))
        if predictions
        or not (kept.is_out_of_reach and (folder / "figures" / f"{key}.html").exists())
    ]
    try:
        write_leaderboard(study, folder / "leaderboard.csv", found.finals)
        write_page(found, folder / "report.html")
        write_figures(study, folder / "figures", (*found.plots, *matrices))
        classes = _write_classes(kept, folder / "classes.csv")
        model = keep_model(study, final, final_evidence, folder)
    except OSError as error:
        raise InputError(unwritable(folder, error)) from error
    paths = ReportPaths(
        folder / "leaderboard.csv", folder / "report.html", folder / "figures", classes, *model
    )
    return Report(study, final, found.finals, cautions(study, kept), paths)


def _write_classes(kept: Evidence, path: Path) -> Path | None:
    """Write the figures per class of the best trial to `path`; where they are."""
    if kept.predictions:
        write_classes(class_table(kept.predictions, kept.class_names), path)
        return path
    if kept.is_out_of_reach:
        return older(path) if path.exists() else None
    path.unlink(missing_ok=True)
    return None
