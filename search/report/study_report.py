"""Leaderboard, page and figures of a study, from its storage and its evidence."""

import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from search.analysis.finalists import Judgement
from search.analysis.judging import judge
from search.analysis.ranking import best_trial
from search.artifacts import join
from search.errors import InputError
from search.files import locked, unwritable
from search.paths import artifacts
from search.records import Search, StudyRecord, as_trained
from search.report.champion_network import keep_model, kept_already, older
from search.report.charts.answers import answers_chart
from search.report.charts.chart import Chart
from search.report.classes import class_table, write_classes
from search.report.contents import Contents, contents
from search.report.evidence import Evidence, LabelPredictions, Predictions
from search.report.leaderboard.frame import write_leaderboard
from search.report.outcome import outcome
from search.report.page import page, write_figures, write_page
from search.report.read_evidence import read_evidence, read_predictions, read_shares
from search.report.text.constant_answer import cautions
from search.study.finalists import champion
from search.study.storage.due_reports import due_reports, note_report
from search.study.storage.ledger import finals_of
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import places
from search.study.storage.read import TrialReader, find_study, read_study
from search.study.storage.tracked import put_reported

logger = logging.getLogger(__name__)


class ReportPaths(NamedTuple):
    """Where a report was written."""

    leaderboard: Path
    page: Path
    figures: Path
    """The folder of the figures."""
    classes: Path | None = None
    """Precision, recall, F1 and support per class of the best trial; None without predictions."""
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

    search: Search
    judgement: Judgement | None
    cautions: list[str]
    """What must be known before an accuracy is believed: see `report.text.constant_answer`."""
    paths: ReportPaths

    @property
    def study(self) -> StudyRecord:
        """The search's own study."""
        return self.search.study


class _Stored(NamedTuple):
    """A search and the folders of its evidence, paths or a store's URLs."""

    search: Search
    evidence: str
    finalists_evidence: str


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
            stored = _read(storage, name)
            report = write_report(stored.search, folder, stored.evidence, stored.finalists_evidence)
    except OSError as error:
        raise InputError(unwritable(folder, error)) from error
    put_reported(
        storage,
        stored.search.study.name,
        outcome(report.judgement, report.paths.files),
    )
    if is_last:
        note_report(storage, name, _where(folder))
    return report


def written_report(storage: LedgerStorage, name: str, folder: Path) -> Report | None:
    """The report of study `name`, which is over, if it lies in `folder` as it was written since;
    None if it is still to be written.
    """
    place = places(storage)[name]
    paths = ReportPaths(folder / "leaderboard.csv", folder / "report.html", folder / "figures")
    if place.due or place.report != _where(folder) or not all(p.exists() for p in paths.files):
        return None
    search, kept, judgement = _judged(*_read(storage, name))
    classes = folder / "classes.csv"
    model, note = kept_already(folder, search.study.model)
    paths = paths._replace(
        classes=classes if classes.exists() else None, model=model, model_note=note
    )
    return Report(search, judgement, cautions(search.study, kept), paths)


def _where(folder: Path) -> str:
    """What the storage keeps of where a report was written."""
    return f"{socket.gethostname()}:{folder}"


def page_of(storage: LedgerStorage, name: str) -> str:
    """The page of study `name` as it is stored now, one that asks for news.

    Raises InputError without such a study.
    """
    return page(gather(*_read(storage, name)), live=True)


def news_of(storage: LedgerStorage, name: str) -> Callable[[], object]:
    """A function that says what the page of study `name` is made of.

    It reads only what may have changed since. It raises InputError without such a study.
    """
    readers: dict[int, TrialReader] = {}

    def read(study: str) -> object:
        study_id = find_study(storage, study)[0]
        return readers.setdefault(study_id, TrialReader(storage, study_id)).read()

    def news() -> object:
        return [read(study) for study in (name, *finals_of(storage, [name]))]

    return news


def _read(storage: LedgerStorage, name: str) -> _Stored:
    search = Search(read_study(storage, name))
    evidence = join(artifacts(name), "evidence")
    for finalists in finals_of(storage, [name]):
        search = replace(search, finalists=read_study(storage, finalists))
        return _Stored(search, evidence, join(artifacts(finalists), "evidence"))
    return _Stored(search, evidence, "")


def gather(search: Search, evidence: str | Path, finalists_evidence: str | Path = "") -> Contents:
    """All that the page of `search` shows, with what its workers kept in these two folders."""
    return contents(*_judged(search, evidence, finalists_evidence))


def _judged(
    search: Search, evidence: str | Path, finalists_evidence: str | Path
) -> tuple[Search, Evidence, Judgement | None]:
    search = replace(search, study=as_trained(search.study))
    best = best_trial(search.study)
    kept = read_evidence(evidence, best.number if best else None)
    kept = _with_exported(kept, champion(search), finalists_evidence)
    judgement = judge(search, read_shares(finalists_evidence, search.finalists), kept.noun)
    return search, kept, judgement


def _with_exported(kept: Evidence, replicate: int | None, folder: str | Path) -> Evidence:
    """`kept` with what the champion's network, that of a `replicate`, said of the test set."""
    try:
        predictions = None if replicate is None else read_predictions(folder, replicate)
    except OSError:  # `read_shares` asks there, too, and says so
        return replace(kept, is_out_of_reach=True)
    if predictions and predictions.split == "test":
        return replace(kept, exported=predictions)
    return kept


def write_report(
    search: Search,
    folder: Path,
    evidence: str | Path | None = None,
    finalists_evidence: str | Path = "",
) -> Report:
    """Write leaderboard.csv, report.html, figures/*.html, classes.csv and the network.

    What workers kept of the best trial is read from the folder `evidence`, a path or a store's URL,
    by default `folder`/evidence; without its predictions there is no classes.csv. What they kept of
    the replicates is read from `finalists_evidence`. Each file is written in one step; older files
    of these names are replaced or removed, but kept, with a warning, while what they are made from
    is out of reach. Raises InputError when `folder` can't be written.
    """
    parts = gather(search, evidence or folder / "evidence", finalists_evidence)
    study = parts.study
    kept = parts.evidence
    try:
        write_leaderboard(study, folder / "leaderboard.csv", parts.judgement)
        write_page(parts, folder / "report.html")
        write_figures(study, folder / "figures", (*parts.charts, *_matrices(kept, folder)))
        classes = _write_classes(kept, folder / "classes.csv")
        model = keep_model(parts.search, finalists_evidence, folder)
    except OSError as error:
        raise InputError(unwritable(folder, error)) from error
    paths = ReportPaths(
        folder / "leaderboard.csv", folder / "report.html", folder / "figures", classes, *model
    )
    return Report(parts.search, parts.judgement, cautions(study, kept), paths)


def _matrices(kept: Evidence, folder: Path) -> list[Chart]:
    """The confusion matrices or residuals to write; none over an older file whose source is out of
    reach.
    """
    sources = {"": kept.predictions, "_test": kept.exported}
    charts = []
    for suffix, answers in sources.items():
        is_stale = (
            kept.is_out_of_reach and (folder / "figures" / f"confusion{suffix}.html").exists()
        )
        if answers or not is_stale:
            charts.append(answers_chart(answers, kept.class_names, suffix, kept.noun))
    return [chart for chart in charts if chart]


def _write_classes(kept: Evidence, path: Path) -> Path | None:
    """Write the figures per class of the best trial to `path`; where they are."""
    if isinstance(kept.predictions, Predictions | LabelPredictions):
        write_classes(class_table(kept.predictions, kept.class_names), path)
        return path
    if kept.is_out_of_reach:
        return older(path) if path.exists() else None
    path.unlink(missing_ok=True)
    return None
