"""What the queue holds and who works on it: read from the storage, shown as tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from search.errors import InputError
from search.live import Snapshot, duration, snapshot
from search.study.ledger import Ledger
from search.study.queue import Place, QueueState
from search.study.records import TrialRecord
from search.study.roster import Roster, WorkerRecord
from search.study.rows import DamagedError
from search.study.storage import LedgerStorage

RATE_WINDOW_S = 3600.0
"""Rates are those of the last hour."""
LOST_S = 600.0
"""A worker that was silent for longer is no longer shown."""
N_ENDED = 5
"""Of the studies that are over, the last few are shown."""
DAMAGED = "damaged"
"""The state of a study of which what is stored can't be read."""
_FIGURES = (
    "priority", "n_trials", "complete", "running", "paused", "waiting", "pruned", "failed", "best_val_accuracy",
    "best_trial", "n_retries", "trials_per_hour", "epochs_per_hour", "left_s", "peak_host_mb", "peak_device_mb",
)  # fmt: skip
"""What `as_dict` tells of a study, beside its name, its state and the reason for that."""


@dataclass(frozen=True)
class StudyStatus:
    """One study of the queue."""

    name: str
    place: Place
    shot: Snapshot
    n_retries: int
    """Trials taken back from lost workers, over all trials."""
    trials_per_hour: float
    epochs_per_hour: float
    peak_host_mb: float | None
    peak_device_mb: float | None


@dataclass(frozen=True)
class Status:
    """All that `gridless status` shows."""

    studies: tuple[StudyStatus, ...]
    workers: tuple[WorkerRecord, ...]
    trials: dict[tuple[str, int], TrialRecord] = field(default_factory=dict)
    """The trials that run, by study and number."""
    damaged: dict[str, str] = field(default_factory=dict)
    """Studies of which what is stored can't be read, each with what to do about it."""


class StatusReader:
    """Reads the storage again and again; of studies that are over, once. Raises RetryLaterError when it is away."""

    def __init__(self, storage: LedgerStorage, names: Sequence[str] = ()) -> None:
        self._storage, self._wanted = storage, names
        self._ledgers: dict[str, Ledger] = {}
        self._over: dict[str, StudyStatus] = {}

    def read(self, now: datetime) -> Status:
        """The studies asked for (all that are not over and the last few that are, if none was) and all workers.

        `now` is this machine's time, without a time zone. Raises InputError for a study that isn't there.
        """
        workers = tuple(w for w in Roster(self._storage).read() if w.silent_s < LOST_S)
        studies: list[StudyStatus] = []
        running: dict[tuple[str, int], TrialRecord] = {}
        damaged: dict[str, str] = {}
        for name in self._wanted or self._storage.study_names():
            try:
                found, trials = self._study(name, now, n_workers=len(workers))
            except DamagedError as error:  # the others are as they were
                damaged[name] = str(error)
                continue
            if found is not None:
                studies.append(found)
                running |= {(name, t.number): t for t in trials}
        ended = [s for s in studies if s.place.state in {QueueState.DONE, QueueState.CANCELLED}]
        hidden = [] if self._wanted else ended[:-N_ENDED]
        return Status(tuple(s for s in studies if s not in hidden), workers, running, damaged)

    def _study(self, name: str, now: datetime, *, n_workers: int) -> tuple[StudyStatus | None, list[TrialRecord]]:
        if not self._wanted and not self._is_ours(name):
            return None, []
        ledger = self._ledgers.get(name) or self._ledgers.setdefault(name, Ledger(self._storage, name))
        place = ledger.place()
        if name in self._over and self._over[name].place == place:
            return self._over[name], []
        trials = ledger.trials()
        found = study_status(name, place, trials, now, n_trials=ledger.spec.n_trials, n_workers=n_workers)
        if place.state is QueueState.DONE:
            self._over[name] = found
        return found, [t for t in trials if t.state == "RUNNING"]

    def _is_ours(self, name: str) -> bool:
        """Whether this version of Gridless made it: others may keep studies in the same database."""
        if name not in self._ledgers:
            try:
                self._ledgers[name] = Ledger(self._storage, name)
            except DamagedError:
                raise
            except InputError:
                return False
        return True


def study_status(
    name: str, place: Place, trials: Sequence[TrialRecord], now: datetime, *, n_trials: int, n_workers: int
) -> StudyStatus:
    """One study's figures at `now`, with the time left if `n_workers` go on with it."""
    since = now - timedelta(seconds=RATE_WINDOW_S)
    began = min((t.started for t in trials if t.started), default=now)
    hours = max((now - max(since, began)).total_seconds(), 1.0) / 3600
    n_ended = sum(t.ended is not None and t.ended > since for t in trials)
    n_epochs = sum(e.at > since.timestamp() for t in trials for e in t.curve)
    busy = sum(t.state == "RUNNING" for t in trials)
    return StudyStatus(
        name=name,
        place=place,
        shot=snapshot(trials, n_trials=n_trials, workers=busy or n_workers),
        n_retries=sum(t.n_retries for t in trials),
        trials_per_hour=n_ended / hours,
        epochs_per_hour=n_epochs / hours,
        peak_host_mb=max((t.peak_host_mb for t in trials if t.peak_host_mb is not None), default=None),
        peak_device_mb=max((t.peak_device_mb for t in trials if t.peak_device_mb is not None), default=None),
    )


def as_dict(status: Status) -> dict[str, object]:
    """The status as `gridless status --json` prints it. Of a damaged study all figures are null."""
    studies = [
        {"study": s.name, "state": str(s.place.state), "reason": s.place.reason} | _figures(s) for s in status.studies
    ]
    unknown = dict.fromkeys(_FIGURES)
    studies += [{"study": name, "state": DAMAGED, "reason": why} | unknown for name, why in status.damaged.items()]
    workers = [
        {
            "worker": w.worker,
            "device": w.device,
            "study": w.study,
            "trial": w.trial,
            "epoch": t.epochs if (t := _trial(status, w)) else None,
            "total_epochs": t.total_epochs if t else None,
            "silent_s": round(w.silent_s, 1),
            "note": w.note,
        }
        for w in status.workers
    ]
    return {"studies": studies, "workers": workers}


def _figures(s: StudyStatus) -> dict[str, object]:
    shot, best = s.shot, s.shot.best
    values = (
        s.place.priority, shot.n_trials, shot.done, shot.running, shot.paused, shot.waiting, shot.pruned, shot.failed,
        best.val_accuracy if best else None, best.number if best else None, s.n_retries,
        round(s.trials_per_hour, 2), round(s.epochs_per_hour, 2),
        shot.left_s if s.place.state is QueueState.OPEN else None, s.peak_host_mb, s.peak_device_mb,
    )  # fmt: skip
    return dict(zip(_FIGURES, values, strict=True))


def _trial(status: Status, worker: WorkerRecord) -> TrialRecord | None:
    return status.trials.get((worker.study or "", -1 if worker.trial is None else worker.trial))


def render_status(status: Status, *, grace_s: float) -> RenderableType:
    """Two tables; workers silent for more than `grace_s` seconds are marked as lost."""
    if not status.studies and not status.workers and not status.damaged:
        return Text("no study and no worker; `gridless submit MODEL DATA` puts one on the queue")
    damaged = [Text(why, style="red") for why in status.damaged.values()]
    return Group(_studies_table(status), *damaged, Text(), _workers_table(status, grace_s))


def _table(left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right")
    return table


def _studies_table(status: Status) -> Table:
    numbers = (
        "prio",
        "ended",
        "running",
        "paused",
        "failed",
        "retries",
        "best %",
        "trials/h",
        "epochs/h",
        "MB",
        "left",
    )
    table = _table(("study", "state"), numbers)
    for s in status.studies:
        shot, best = s.shot, s.shot.best.val_accuracy if s.shot.best else None
        ended = shot.done + shot.pruned + shot.failed
        table.add_row(
            s.name,
            f"{s.place.state} ({s.place.reason})" if s.place.reason else str(s.place.state),
            str(s.place.priority),
            f"{ended} of {shot.n_trials}",
            str(shot.running),
            str(shot.paused),
            str(shot.failed),
            str(s.n_retries),
            "–" if best is None else f"{100 * best:.2f}",
            f"{s.trials_per_hour:.0f}",
            f"{s.epochs_per_hour:.0f}",
            "–" if s.peak_host_mb is None else f"{max(s.peak_host_mb, s.peak_device_mb or 0):.0f}",
            duration(shot.left_s) if shot.left_s is not None and s.place.state is QueueState.OPEN else "–",
        )
    for name in status.damaged:
        table.add_row(name, DAMAGED, *["–"] * len(numbers))
    return table


def _workers_table(status: Status, grace_s: float) -> RenderableType:
    if not status.workers:
        return Text("no worker; `gridless worker` starts some", style="dim")
    table = _table(("worker", "device", "study"), ("trial", "epoch", "heard of"))
    for w in status.workers:
        trial = _trial(status, w)
        lost = " (lost?)" if w.silent_s > grace_s else ""
        table.add_row(
            w.worker,
            w.device,
            w.study or w.note or "idle",
            "" if w.trial is None else str(w.trial),
            f"{trial.epochs}/{trial.total_epochs or '?'}" if trial else "",
            f"{w.silent_s:.0f} s ago{lost}",
        )
    return table
