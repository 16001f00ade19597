"""The queue: which studies of the storage workers should serve, kept in an attribute of each Optuna study.

No table and no broker of its own: a study is on the queue when its attribute says so, and every worker reads the same.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.orm import Session

from search.study.database import models
from search.study.storage import LedgerStorage, database_time

QUEUE = "queue"


class QueueState(StrEnum):
    """Whether workers serve a study."""

    OPEN = "open"
    PAUSED = "paused"
    """By a person or its time limit: running trials were given back, and `resume` goes on."""
    CANCELLED = "cancelled"
    DONE = "done"


@dataclass(frozen=True)
class Place:
    """A study's place on the queue, as its attribute `queue` says."""

    state: QueueState
    priority: int = 0
    """Studies of a larger one are served first."""
    opened: str = ""
    """When it was opened, by the database's clock (UTC)."""
    timeout_s: float | None = None
    """How long it may be served since then."""
    reason: str = ""
    """Why it is paused or cancelled."""

    @classmethod
    def of(cls, attrs: Mapping[str, str]) -> "Place":
        """The place among a study's stored attributes; studies of earlier versions have none and read paused."""
        raw: dict[str, Any] = json.loads(attrs[QUEUE]) if QUEUE in attrs else {"state": "paused"}
        return cls(**raw | {"state": QueueState(raw["state"])})

    def is_overdue(self, now: datetime) -> bool:
        """Whether its time is over at `now`, by the database's clock."""
        if self.state is not QueueState.OPEN or self.timeout_s is None:
            return False
        return (now - datetime.fromisoformat(self.opened)).total_seconds() > self.timeout_s


@dataclass(frozen=True)
class Served:
    """An open study, and how much there is to do in it."""

    name: str
    place: Place
    n_started: int
    n_running: int
    n_waiting: int
    """Trials that wait: for a worker, or paused at a rung."""


def opened(session: Session, *, priority: int, timeout_s: float | None) -> Place:
    """The place of a study that is put on the queue now."""
    return Place(QueueState.OPEN, priority, database_time(session).isoformat(), timeout_s)


def put_place(storage: LedgerStorage, session: Session, study_id: int, place: Place) -> None:
    """Store a study's place. The caller holds the study's lock."""
    storage.put_study(session, study_id, {QUEUE: asdict(place)})


def open_studies(storage: LedgerStorage) -> list[Served]:
    """The open studies in the order in which a free worker should serve them.

    Larger priorities come first; among equals the study with the fewest running trials, so that all get the same
    share of the workers; then the oldest. Raises RetryLaterError when the database is out of reach.
    """
    with storage.reading(), storage.session() as session:
        places = _places(session)
        ids = [study_id for study_id, (_, place) in places.items() if place.state is QueueState.OPEN]
        counts = _counts(session, ids)
        started = _started(session, ids)
    found = [
        (
            study_id,
            Served(
                *places[study_id],
                n_started=started.get(study_id, 0),
                n_running=counts.get((study_id, TrialState.RUNNING), 0),
                n_waiting=counts.get((study_id, TrialState.WAITING), 0),
            ),
        )
        for study_id in ids
    ]
    return [s for _, s in sorted(found, key=lambda f: (-f[1].place.priority, f[1].n_running, f[0]))]


def orphaned_studies(storage: LedgerStorage) -> list[str]:
    """Studies that are not open and still have RUNNING trials, perhaps of workers that were lost."""
    with storage.reading(), storage.session() as session:
        places = _places(session)
        ids = [study_id for study_id, (_, place) in places.items() if place.state is not QueueState.OPEN]
        running = {study_id for study_id, state in _counts(session, ids) if state == TrialState.RUNNING}
        return [places[study_id][0] for study_id in ids if study_id in running]


def _places(session: Session) -> dict[int, tuple[str, Place]]:
    study, attr = models.StudyModel, models.StudyUserAttributeModel
    query = (
        sa.select(study.study_id, study.study_name, attr.value_json)
        .join(attr, attr.study_id == study.study_id)
        .where(attr.key == QUEUE)
        .order_by(study.study_id)
    )
    return {i: (name, Place.of({QUEUE: text})) for i, name, text in session.execute(query)}


def _counts(session: Session, ids: list[int]) -> dict[tuple[int, TrialState], int]:
    trial = models.TrialModel
    open_states = (TrialState.RUNNING, TrialState.WAITING)
    query = (
        sa.select(trial.study_id, trial.state, sa.func.count())
        .where(trial.study_id.in_(ids), trial.state.in_(open_states))
        .group_by(trial.study_id, trial.state)
    )
    return {(study_id, state): n for study_id, state, n in session.execute(query)}


def _started(session: Session, ids: list[int]) -> dict[int, int]:
    return {study_id: n_started(session, study_id) for study_id in ids}


def n_started(session: Session, study_id: int) -> int:
    """How many trials of a study have a row; found by an index, however many they are."""
    trial = models.TrialModel
    largest = session.scalar(sa.select(sa.func.max(trial.number)).where(trial.study_id == study_id))
    return 0 if largest is None else int(largest) + 1
