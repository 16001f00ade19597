"""What the queue holds and who works on it, read from the storage."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from search.cli.views.live import Snapshot, snapshot, with_finals
from search.errors import InputError
from search.records import State, TrialRecord, epochs_of
from search.study.spec import StudySpec
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import Place, QueueState, places
from search.study.storage.read import find_study
from search.study.storage.workers import WorkerRecord, WorkerRoster

RATE_WINDOW_S = 3600.0
"""Rates are those of the last hour."""
LOST_S = 600.0
"""A worker that was silent for longer is no longer shown."""


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

        `now` has a time zone. Raises InputError for a name that no
        study has.
        """
        workers = tuple(w for w in WorkerRoster(self._storage).read() if w.silent_s < LOST_S)
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
    n_epochs = sum(epoch.at > since.timestamp() for epoch in epochs_of(trials))
    workers = sum(t.state == State.RUNNING for t in trials) or n_workers
    shot = snapshot(trials, n_trials=spec.n_trials, workers=workers, objective=spec.first_objective)
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
