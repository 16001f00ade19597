"""What the queue holds and who works on it: read from the storage, shown as tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from search.cli.views.live import Snapshot, duration, snapshot, with_finals
from search.errors import InputError
from search.records import State, TrialRecord
from search.study.spec import StudySpec
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import Place, QueueState, places
from search.study.storage.read import find_study
from search.study.storage.workers import Roster, WorkerRecord

RATE_WINDOW_S = 3600.0
"""Rates are those of the last hour."""
LOST_S = 600.0
"""A worker that was silent for longer is no longer shown."""
WIDE = 120
"""Columns of a terminal that takes all that is told of studies."""
DAMAGED = "damaged"
"""The state of a study of which what is stored can't be read."""
_FIGURES = (
    "priority",
    "n_trials",
    "complete",
    "running",
    "paused",
    "waiting",
    "pruned",
    "failed",
    "best_val_accuracy",
    "best_trial",
    "n_retries",
    "trials_per_hour",
    "epochs_per_hour",
    "left_s",
    "peak_host_mb",
    "peak_device_mb",
)
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
    n_hidden: int = 0
    """Studies that are over and left out, since there are too many."""


class StatusReader:
    """Reads the storage again and again; of studies that are over, once.

    Raises RetryLaterError when it is away.
    """

    def __init__(
        self,
        storage: LedgerStorage,
        names: Sequence[str] = (),
        *,
        states: Sequence[str] = (),
        limit: int | None = None,
    ) -> None:
        """Of studies whose names match one of `names` (all, if none is given) in one of `states`
        (any, if none is given): those that are not over, and of the others the `limit` that were
        made last (all where that is None).
        """
        self._storage = storage
        self._patterns = names
        self._states = states
        self._limit = limit
        self._ledgers: dict[str, Ledger] = {}
        self._over: dict[str, StudyStatus] = {}

    def read(self, now: datetime) -> Status:
        """The studies that are asked for and all workers.

        `now` is this machine's time, without a time zone. Raises InputError for a name that no
        study has.
        """
        workers = tuple(w for w in Roster(self._storage).read() if w.silent_s < LOST_S)
        studies: list[StudyStatus] = []
        running: dict[tuple[str, int], TrialRecord] = {}
        damaged: dict[str, str] = {}
        chosen, n_hidden = self._choose()
        for name, place in chosen.items():
            try:
                study, trials = self._study(name, place, now, n_workers=len(workers))
            except (
                InputError
            ) as error:  # damaged, or of another version; the others are as they were
                damaged[name] = str(error)
                continue
            studies.append(study)
            running |= {(name, t.number): t for t in trials}
        return Status(tuple(studies), workers, running, damaged, n_hidden)

    def _choose(self) -> tuple[dict[str, Place], int]:
        """The studies to show, and how many are left out for being too many."""
        stored = places(self._storage)
        for pattern in self._patterns:
            if not any(fnmatchcase(name, pattern) for name in stored):
                find_study(self._storage, pattern)  # says what there is
        patterns = self._patterns or ["*"]
        named = {
            n: p for n, p in stored.items() if any(fnmatchcase(n, pattern) for pattern in patterns)
        }
        chosen = {n: p for n, p in named.items() if not self._states or p.state in self._states}
        over = [name for name, place in chosen.items() if place.state.is_over]
        hidden = [] if self._limit is None else over[: max(0, len(over) - self._limit)]
        return {name: place for name, place in chosen.items() if name not in hidden}, len(hidden)

    def _study(
        self, name: str, place: Place, now: datetime, *, n_workers: int
    ) -> tuple[StudyStatus, list[TrialRecord]]:
        if name in self._over and self._over[name].place == place:
            return self._over[name], []
        ledger = self._ledgers.get(name) or self._ledgers.setdefault(
            name, Ledger(self._storage, name)
        )
        place = ledger.place()
        trials = ledger.trials()
        study = study_status(name, place, trials, now, spec=ledger.spec, n_workers=n_workers)
        if place.state is QueueState.DONE:
            self._over[name] = study
        return study, [t for t in trials if t.state == State.RUNNING]


def study_status(
    name: str,
    place: Place,
    trials: Sequence[TrialRecord],
    now: datetime,
    *,
    spec: StudySpec,
    n_workers: int,
) -> StudyStatus:
    """A study's figures at `now`, with the time left to it and its finalists on `n_workers`.

    Of one that is over, rates are those of its last hour.
    """
    if place.state.is_over and not any(t.state == State.RUNNING for t in trials):
        now = max((t.ended for t in trials if t.ended), default=now)
    since = now - timedelta(seconds=RATE_WINDOW_S)
    began = min((t.started for t in trials if t.started), default=now)
    hours = max((now - max(since, began)).total_seconds(), 1.0) / 3600
    n_ended = sum(t.ended is not None and t.ended > since for t in trials)
    n_epochs = sum(e.at > since.timestamp() for t in trials for e in t.curve)
    workers = sum(t.state == State.RUNNING for t in trials) or n_workers
    shot = snapshot(trials, n_trials=spec.n_trials, workers=workers)
    return StudyStatus(
        name=name,
        place=place,
        shot=with_finals(shot, [(spec, trials)], workers),
        n_retries=sum(t.n_retries for t in trials),
        trials_per_hour=n_ended / hours,
        epochs_per_hour=n_epochs / hours,
        peak_host_mb=max(
            (t.peak_host_mb for t in trials if t.peak_host_mb is not None), default=None
        ),
        peak_device_mb=max(
            (t.peak_device_mb for t in trials if t.peak_device_mb is not None), default=None
        ),
    )


def as_dict(status: Status) -> dict[str, object]:
    """The status as `gridless status --json` prints it. Of a damaged study all figures are null."""
    studies = [
        {"study": s.name, "state": str(s.place.state), "reason": s.place.reason} | _figures(s)
        for s in status.studies
    ]
    unknown = dict.fromkeys(_FIGURES)
    studies += [
        {"study": name, "state": DAMAGED, "reason": why} | unknown
        for name, why in status.damaged.items()
    ]
    return {"studies": studies, "workers": [_worker_dict(status, w) for w in status.workers]}


def _worker_dict(status: Status, worker: WorkerRecord) -> dict[str, object]:
    trial = _trial(status, worker)
    return {
        "worker": worker.worker,
        "device": worker.device,
        "study": worker.study,
        "trial": worker.trial,
        "epoch": trial.epochs if trial else None,
        "total_epochs": trial.total_epochs if trial else None,
        "silent_s": round(worker.silent_s, 1),
        "note": worker.note,
    }


def _figures(s: StudyStatus) -> dict[str, object]:
    shot = s.shot
    best = s.shot.best
    values = (
        s.place.priority,
        shot.n_trials,
        shot.done,
        shot.running,
        shot.paused,
        shot.waiting,
        shot.pruned,
        shot.failed,
        best.val_accuracy if best else None,
        best.number if best else None,
        s.n_retries,
        round(s.trials_per_hour, 2),
        round(s.epochs_per_hour, 2),
        shot.left_s if s.place.state is QueueState.OPEN else None,
        s.peak_host_mb,
        s.peak_device_mb,
    )
    return dict(zip(_FIGURES, values, strict=True))


def _trial(status: Status, worker: WorkerRecord) -> TrialRecord | None:
    return status.trials.get((worker.study or "", -1 if worker.trial is None else worker.trial))


def render_status(status: Status, *, grace_s: float, width: int = WIDE) -> RenderableType:
    """Two tables; workers silent for more than `grace_s` seconds are marked as lost.

    On a terminal of less than WIDE columns studies are told of in less detail.
    """
    if not status.studies and not status.workers and not status.damaged:
        return Text("no study and no worker; `gridless submit MODEL DATA` puts one on the queue")
    notes = [Text(why, style="red") for why in status.damaged.values()]
    if status.n_hidden:
        notes.append(
            Text(
                f"{status.n_hidden:,} older ones that are over are left out; --limit 0 shows all",
                style="dim",
            )
        )
    return Group(
        _studies_table(status, is_wide=width >= WIDE),
        *notes,
        Text(),
        _workers_table(status, grace_s),
    )


def _table(left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", vertical="bottom")
    return table


_SHORT = ("trials\nended", "running", "failed", "best\nval %", "time\nleft")
_LONG = (
    "priority",
    "trials\nended",
    "running",
    "paused",
    "failed",
    "retries",
    "best\nval %",
    "trials\nper hour",
    "epochs\nper hour",
    "most\nMB",
    "time\nleft",
)


def _studies_table(status: Status, *, is_wide: bool) -> Table:
    numbers = _LONG if is_wide else _SHORT
    table = _table(("study", "state"), numbers)
    for s in status.studies:
        state = f"{s.place.state} ({s.place.reason})" if s.place.reason else str(s.place.state)
        cells = _cells(s)
        table.add_row(s.name, state, *(cells[name] for name in numbers))
    for name in status.damaged:
        table.add_row(name, DAMAGED, *["–"] * len(numbers))
    return table


def _cells(s: StudyStatus) -> dict[str, str]:
    """What is told of a study, as text, by `_LONG`."""
    shot = s.shot
    best = s.shot.best.val_accuracy if s.shot.best else None
    values = (
        str(s.place.priority),
        f"{shot.done + shot.pruned + shot.failed} of {shot.n_trials}",
        str(shot.running),
        str(shot.paused),
        str(shot.failed),
        str(s.n_retries),
        "–" if best is None else f"{100 * best:.2f}",
        f"{s.trials_per_hour:.0f}",
        f"{s.epochs_per_hour:.0f}",
        "–" if s.peak_host_mb is None else f"{max(s.peak_host_mb, s.peak_device_mb or 0):.0f}",
        (
            duration(shot.left_s)
            if shot.left_s is not None and s.place.state is QueueState.OPEN
            else "–"
        ),
    )
    return dict(zip(_LONG, values, strict=True))


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
            ": ".join(filter(None, (w.study, w.note))) or "idle",
            "" if w.trial is None else str(w.trial),
            f"{trial.epochs}/{trial.total_epochs or '?'}" if trial else "",
            f"{w.silent_s:.0f} s ago{lost}",
        )
    return table
