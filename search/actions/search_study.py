"""A study that is searched by workers of this process's own, from its plan to its report."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from search.actions.plan_study import Plan, changes_nothing
from search.actions.run import End, Shown, run
from search.errors import StudyError
from search.report.study_report import Report, report_study, written_report
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from search.tracking.load import is_brought
from search.worker.engines.protocol import Workers
from search.worker.engines.started_mirror import Mirroring


class View(Protocol):
    """Shows a study while it is searched."""

    def update(self, studies: Shown) -> None:
        """Show its trials, and its finalists'."""

    def warn(self, text: str) -> None:
        """Say what holds workers up."""


class Searched(NamedTuple):
    """How a search ended."""

    end: End | None
    """None where it was interrupted, or broke."""
    trouble: str
    """Why it broke; empty if it did not."""
    report: Report
    trackers: tuple[str, ...]
    mirroring: Mirroring | None
    """What brings it to them, to be finished by whoever asked."""

    @property
    def is_sound(self) -> bool:
        """Whether it has a result, or will go on."""
        return self.end is End.TIMEOUT or any(t.value is not None for t in self.report.study.trials)

    @property
    def n_left(self) -> int:
        """The trials that were not started."""
        study = self.report.study
        return int(study.spec["n_trials"]) - len(study.trials)

    @property
    def why_short(self) -> str:
        """Why it ended before all its trials were over; empty where it did not."""
        study = self.report.study
        if self.end is not End.DONE or not study.ended_by:
            return ""
        n_trials = study.spec["n_trials"]
        rest = f"; {self.n_left} of {n_trials} trials are left" if self.n_left else ""
        return f"the study ended: {study.ended_by}{rest}"


def search_study(
    ledger: Ledger,
    folder: Path,
    workers: Workers,
    view: AbstractContextManager[View],
    stopped: Callable[[], None],
) -> Searched:
    """Search the study of `ledger`, which is on the queue, and write its report into `folder`.

    `stopped` is called when it is interrupted (KeyboardInterrupt): it is paused then.
    """
    trackers = ledger.place().trackers or ()
    mirroring = Mirroring(ledger.storage.url, folder, [ledger.name]) if trackers else None
    end = None
    trouble = ""
    try:
        with view as shown:
            end = run([ledger], workers, show=shown.update, warn=shown.warn)
    except KeyboardInterrupt:
        stopped()
    except StudyError as error:
        trouble = str(error)
    report = report_study(ledger.storage, ledger.name, folder)
    return Searched(end, trouble, report, trackers, mirroring)


def done_already(plan: Plan, storage: LedgerStorage) -> tuple[Report, tuple[str, ...]] | None:
    """The report and trackers of a study that is over; None if the `plan` adds to it, or not
    everything has been told yet.
    """
    name = plan.spec.name
    ledger = Ledger(storage, name)
    trackers = ledger.place().trackers
    if trackers is None or not changes_nothing(plan, ledger, trackers):
        return None
    report = written_report(storage, name, plan.folder)
    if report is None or not is_brought(name, trackers, storage):
        return None
    trials = report.study.trials
    is_whole = len(trials) >= ledger.spec.n_trials and all(t.state.is_final for t in trials)
    if not is_whole or not any(trial.value is not None for trial in trials):
        return None
    return report, trackers
