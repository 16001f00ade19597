"""The queue: which studies of the storage workers should serve, kept in an attribute of each Optuna
study.

No table and no broker of its own: a study is on the queue when its attribute says so, and every
worker reads the same.
"""

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from optuna.trial import TrialState
from pydantic import TypeAdapter
from sqlalchemy.orm import Session, aliased

from search.study.storage.database import models
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.trial_rows import DamagedError, decoding

QUEUE = "queue"


class QueueState(StrEnum):
    """Whether workers serve a study."""

    OPEN = "open"
    PAUSED = "paused"
    """By a person or its time limit: running trials were given back, and `resume` goes on."""
    CANCELLED = "cancelled"
    DONE = "done"

    @property
    def is_over(self) -> bool:
        """Whether no trial is started any more, unless somebody opens the study again."""
        return self in {QueueState.CANCELLED, QueueState.DONE}


@dataclass(frozen=True)
class Place:
    """A study's place on the queue, as its attribute `queue` says."""

    state: QueueState
    priority: int = 0
    """Studies of a larger one are served first."""
    opened: str = ""
    """When its first trial since then was claimed, by the database (UTC); empty before."""
    timeout_s: float | None = None
    """How long it may be served since then."""
    reason: str = ""
    """Why it is paused or cancelled, or done before all of its trials were started."""
    n_before: int = 0
    """Trials that had been started when it was opened."""
    due: bool = False
    """It is over, and its report is still to be written (`search.study.storage.due_reports`)."""
    writer: str = ""
    """The worker that writes it now, if one does."""
    report: str = ""
    """Where it was written: host:folder."""
    trackers: tuple[str, ...] | None = None
    """Who is told of it, by name; None in studies of earlier versions, which did not say."""

    @classmethod
    def of(cls, attrs: Mapping[str, str]) -> "Place":
        """The place in a study's attributes; of earlier versions' studies, paused."""
        return _PLACE.validate_python(
            json.loads(attrs[QUEUE]) if QUEUE in attrs else {"state": "paused"}
        )

    def is_overdue(self, now: datetime) -> bool:
        """Whether its time is over at `now`, by the database's clock."""
        left_s = self.left_s(now)
        return self.state is QueueState.OPEN and left_s is not None and left_s < 0

    def left_s(self, now: datetime) -> float | None:
        """Seconds left of its time at `now`, negative once it is over; None without a limit."""
        if self.timeout_s is None or not self.opened:
            return self.timeout_s
        return self.timeout_s - (now - datetime.fromisoformat(self.opened)).total_seconds()


_PLACE = TypeAdapter(Place)


@dataclass(frozen=True)
class OpenStudy:
    """An open study, and how much there is to do in it."""

    name: str
    place: Place
    n_running: int


def opened(
    *,
    priority: int,
    timeout_s: float | None,
    n_before: int,
    trackers: tuple[str, ...] | None = None,
) -> Place:
    """The place of a study put on the queue now; its time begins with its first trial."""
    return Place(
        QueueState.OPEN, priority, timeout_s=timeout_s, n_before=n_before, trackers=trackers
    )


def put_place(storage: LedgerStorage, session: Session, study_id: int, place: Place) -> None:
    """Store a study's place. The caller holds the study's lock."""
    storage.put_study(session, study_id, {QUEUE: asdict(place)})


def open_studies(storage: LedgerStorage) -> list[OpenStudy]:
    """The open studies in the order in which a free worker should serve them.

    Larger priorities come first; among equals the study with the fewest running trials, so that all
    get the same share of the workers; then the oldest. Raises RetryLaterError when the database is
    out of reach.
    """
    with storage.reading(), storage.session() as session:
        places = _places(session)
        names = [name for name, place in places.items() if place.state is QueueState.OPEN]
        running = _running(session, names)
    # Sorting is stable, and studies come in the order in which they were made.
    studies = [OpenStudy(name, places[name], running.get(name, 0)) for name in names]
    return sorted(studies, key=lambda s: (-s.place.priority, s.n_running))


def orphaned_studies(storage: LedgerStorage) -> list[str]:
    """Studies that are not open and have RUNNING trials, perhaps of lost workers."""
    with storage.reading(), storage.session() as session:
        names = [
            name for name, place in _places(session).items() if place.state is not QueueState.OPEN
        ]
        running = _running(session, names)
        return [name for name in names if name in running]


def places(storage: LedgerStorage) -> dict[str, Place]:
    """The place of every study of Gridless by name, in the order in which they were made; a damaged
    one is paused.

    Raises RetryLaterError when the database is out of reach.
    """
    study, spec, queue = (
        models.StudyModel,
        *(aliased(models.StudyUserAttributeModel) for _ in range(2)),
    )
    query = (
        sa.select(study.study_name, queue.value_json)
        .join(spec, (spec.study_id == study.study_id) & (spec.key == "spec"))
        .outerjoin(queue, (queue.study_id == study.study_id) & (queue.key == QUEUE))
        .order_by(study.study_id)
    )
    with storage.reading(), storage.session() as session:
        return {
            name: _legible(name, text) if text else Place.of({})
            for name, text in session.execute(query)
        }


def _places(session: Session) -> dict[str, Place]:
    """The places of the studies that were ever on the queue, the oldest first."""
    study, attr = models.StudyModel, models.StudyUserAttributeModel
    query = (
        sa.select(study.study_name, attr.value_json)
        .join(attr, attr.study_id == study.study_id)
        .where(attr.key == QUEUE)
        .order_by(study.study_id)
    )
    return {name: _legible(name, text) for name, text in session.execute(query)}


def _legible(name: str, text: str) -> Place:
    """A study's stored place; a damaged one is none, and keeps no other from workers."""
    with suppress(DamagedError), decoding(name):
        return Place.of({QUEUE: text})
    return Place(QueueState.PAUSED)


def n_running(storage: LedgerStorage, names: Collection[str]) -> dict[str, int]:
    """How many trials run in those of the studies `names` that have any. Raises as `places`."""
    with storage.reading(), storage.session() as session:
        return _running(session, names)


def _running(session: Session, names: Collection[str]) -> dict[str, int]:
    study, trial = models.StudyModel, models.TrialModel
    query = (
        sa.select(study.study_name, sa.func.count())
        .join(trial, trial.study_id == study.study_id)
        .where(study.study_name.in_(names), trial.state == TrialState.RUNNING)
        .group_by(study.study_name)
    )
    return dict(session.execute(query).all())


def n_started(session: Session, study_id: int) -> int:
    """How many trials of a study have a row; found by an index, however many they are."""
    trial = models.TrialModel
    largest = session.scalar(sa.select(sa.func.max(trial.number)).where(trial.study_id == study_id))
    return 0 if largest is None else int(largest) + 1
