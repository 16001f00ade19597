"""Who brings the studies to a tracker: one process at a time, taken over from when it dies."""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from search.retry_limits import grace_s
from search.study.storage.claim import WorkerIdentity, is_lost
from search.study.storage.database import models
from search.study.storage.optuna_storage import LedgerStorage, database_time

_STUDY = ".trackers"
"""No user's study can have this name."""


class TrackerClaim:
    """The right of the process `owner` to bring studies to the tracker of `key`.

    Methods raise RetryLaterError when the database is out of reach.
    """

    def __init__(self, storage: LedgerStorage, key: str, owner: WorkerIdentity) -> None:
        self._storage = storage
        self.key = key
        self._owner = owner
        self._is_there = False

    def take(self) -> str | None:
        """Take or renew it; None if it is ours now, else who has it, for people."""
        if not self._is_there:
            self._storage.create_study(_STUDY, {})
            self._is_there = True
        with self._storage.session() as session:
            study_id = _study_id(session)
            self._storage.lock_study(session, study_id)
            claim = self._stored(session, study_id)
            now = database_time(session)
            if claim and not self._owner.holds(claim):
                silent_s = (now - datetime.fromisoformat(claim["beat"])).total_seconds()
                if not is_lost(claim, silent_s, grace_s()):
                    return str(claim.get("worker"))
            beat = asdict(self._owner) | {"beat": now.isoformat()}
            self._storage.put_study(session, study_id, {self.key: beat})
        return None

    def is_ours(self, session: Session) -> bool:
        """Whether it is, inside `session`."""
        return self._owner.holds(self._stored(session, _study_id(session)))

    def release(self) -> None:
        """Let another process take it, if it is ours."""
        with self._storage.session() as session:
            study_id = _study_id(session)
            self._storage.lock_study(session, study_id)
            if self._owner.holds(self._stored(session, study_id)):
                self._storage.put_study(session, study_id, {self.key: {}})

    def _stored(self, session: Session, study_id: int) -> dict[str, Any]:
        text = self._storage.study_attrs(session, study_id).get(self.key, "{}")
        claim: dict[str, Any] = json.loads(text)
        return claim


def _study_id(session: Session) -> int:
    query = sa.select(models.StudyModel.study_id).filter_by(study_name=_STUDY)
    return int(session.execute(query).scalar_one())
