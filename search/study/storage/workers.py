"""The roster of workers, idle ones too: an attribute each of an Optuna study for that."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from search.study.storage.claim import WorkerIdentity
from search.study.storage.database import models
from search.study.storage.optuna_storage import LedgerStorage, database_time
from search.study.storage.trial_rows import DamagedError, decoding

_STUDY = ".workers"
"""No user's study can have this name."""
_FORGOTTEN_S = 3600.0


@dataclass(frozen=True)
class WorkerRecord:
    """What a worker last said of itself."""

    worker: str
    """Its machine and process number."""
    device: str
    study: str | None = None
    """What it is busy with; None when idle."""
    trial: int | None = None
    note: str = ""
    """Why it serves less than it could."""
    beat: str = ""
    """When it said so, by the database's clock (UTC)."""
    silent_s: float = 0.0
    """Seconds since then, when read."""


class WorkerRoster:
    """Where workers sign in and out. Raises RetryLaterError when the database is out of reach."""

    def __init__(self, storage: LedgerStorage) -> None:
        self._storage = storage
        self._study_id: int | None = None

    def beat(self, owner: WorkerIdentity, record: WorkerRecord) -> None:
        """Say that the worker `owner` lives, and what it does."""
        study_id = self._id()
        with self._storage.session() as session:
            now = database_time(session)
            row = asdict(replace(record, beat=now.isoformat()))
            self._storage.put_study(session, study_id, {_key(owner): row})
            self._forget(session, study_id, now)

    def leave(self, owner: WorkerIdentity) -> None:
        """Sign out."""
        study_id = self._id()
        with self._storage.session() as session:
            table = models.StudyUserAttributeModel
            session.execute(
                sa.delete(table).where(table.study_id == study_id, table.key == _key(owner))
            )

    def read(self) -> list[WorkerRecord]:
        """The workers that have not signed out, by name, with seconds since they beat."""
        with self._storage.reading(), self._storage.session() as session:
            now, study_id = database_time(session), _stored_id(session)
            rows = {} if study_id is None else self._storage.study_attrs(session, study_id)
        return sorted(
            (r for text in rows.values() if (r := _legible(text, now))), key=lambda r: r.worker
        )

    def _id(self) -> int:
        if self._study_id is None:
            self._storage.create_study(_STUDY, {})
            with self._storage.reading(), self._storage.session() as session:
                self._study_id = _stored_id(session)
        return self._study_id or 0

    def _forget(self, session: Session, study_id: int, now: datetime) -> None:
        """Drop workers that died long ago without signing out, and what can't be read."""
        rows = self._storage.study_attrs(session, study_id)
        records = {key: _legible(text, now) for key, text in rows.items()}
        old = [
            key
            for key, record in records.items()
            if record is None or record.silent_s > _FORGOTTEN_S
        ]
        if old:
            table = models.StudyUserAttributeModel
            session.execute(sa.delete(table).where(table.study_id == study_id, table.key.in_(old)))


def _stored_id(session: Session) -> int | None:
    study_id: int | None = session.scalar(
        sa.select(models.StudyModel.study_id).filter_by(study_name=_STUDY)
    )
    return study_id


def _legible(text: str, now: datetime) -> WorkerRecord | None:
    """A worker at `now`, without what later versions add; None for a damaged entry."""
    with suppress(DamagedError), decoding(_STUDY):
        raw: dict[str, Any] = json.loads(text)
        record = WorkerRecord(
            **{f.name: raw[f.name] for f in fields(WorkerRecord) if f.name in raw}
        )
        return replace(record, silent_s=(now - datetime.fromisoformat(record.beat)).total_seconds())
    return None


def _key(owner: WorkerIdentity) -> str:
    return f"{owner.host}/{owner.pid}/{owner.born:.0f}"
