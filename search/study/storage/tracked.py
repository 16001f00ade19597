"""What trackers have of the studies: who brings it to them, how far that came, and under which ids
it lies there.

All of it is kept beside the studies, so that whoever takes over goes on where the last one stopped.
A tracker's `key` names it and its target: one server that all hosts share, or a file of one host.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from pydantic import TypeAdapter
from sqlalchemy.orm import Session, aliased

from search.errors import InputError, RetryLaterError
from search.records import Reported, TrialRecord
from search.study.storage.database import models
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import QUEUE, Place
from search.study.storage.read import find_study, record_of
from search.study.storage.tracker_claim import TrackerClaim
from search.study.storage.trial_rows import DamagedError, decoding

REPORTED = "reported"
"""The study's attribute for what its last report says, and where that is."""
_CURSOR, _FILES, _ID = "tracked:", "tracked_files:", "tracked_id:"
"""What attributes of studies and trials begin with; the tracker's key follows."""
BOOKKEEPING = (_CURSOR, _FILES, _ID)
_TRIAL_ATTRS: Any = models.TrialUserAttributeModel
_LAST = 2**31 - 1
"""The largest trial_id that databases hold."""
_CHUNK = 200
"""Trials that are read at a time, so that memory does not grow with a study."""


@dataclass(frozen=True)
class Cursor:
    """How far a study was brought to a tracker."""

    newest: int = -1
    """The largest trial_id that was."""
    pending: Mapping[int, int] = field(default_factory=dict)
    """The trial_id of each trial that had not ended, and how many of its epochs were brought."""
    ended: str = ""
    """What of the study's end was; see the mirror."""


_CURSOR_TYPE = TypeAdapter(Cursor)


_REPORTED_TYPE = TypeAdapter(Reported)


@dataclass(frozen=True)
class TrackedStudy:
    """A study as its tracker's mirror looks at it."""

    name: str
    study_id: int
    place: Place
    cursor: Cursor
    reported: Reported | None
    files: str
    """Of when the report is whose files were brought."""
    uid: str
    """Tells it from a later study of its row."""


def tracked_studies(storage: LedgerStorage, key: str) -> list[TrackedStudy]:
    """All studies of Gridless, the oldest first; one with damaged bookkeeping is begun anew.

    Raises RetryLaterError when the database is out of reach, as all of these do.
    """
    study, attr = models.StudyModel, models.StudyUserAttributeModel
    keys = {"place": QUEUE, "cursor": _CURSOR + key, "reported": REPORTED, "files": _FILES + key}
    keys["uid"] = "uid"
    columns = {name: aliased(attr) for name in ("spec", *keys)}
    query = sa.select(study.study_name, study.study_id, *(columns[n].value_json for n in keys))
    query = query.join(
        columns["spec"],
        (columns["spec"].study_id == study.study_id) & (columns["spec"].key == "spec"),
    )
    for name, attribute in keys.items():
        column = columns[name]
        query = query.outerjoin(
            column, (column.study_id == study.study_id) & (column.key == attribute)
        )
    with storage.reading(), storage.session() as session:
        rows = session.execute(query.order_by(study.study_id)).all()
    return [
        _tracked(name, study_id, dict(zip(keys, texts, strict=True)))
        for name, study_id, *texts in rows
    ]


def _tracked(name: str, study_id: int, texts: Mapping[str, str | None]) -> TrackedStudy:
    place, cursor, reported = Place.of({}), Cursor(), None
    with suppress(DamagedError), decoding(name):
        place = Place.of({QUEUE: texts["place"]} if texts["place"] else {})
    with suppress(DamagedError), decoding(name):
        cursor = _CURSOR_TYPE.validate_json(texts["cursor"] or "{}")
    with suppress(DamagedError), decoding(name):
        reported = _REPORTED_TYPE.validate_json(texts["reported"]) if texts["reported"] else None
    files = ""
    with suppress(DamagedError), decoding(name):
        files = str(json.loads(texts["files"] or '""'))
    return TrackedStudy(name, study_id, place, cursor, reported, files, texts["uid"] or "")


Marks = dict[int, tuple[TrialState, str | None]]
"""The state of each pending trial, and how often it was claimed, when it was last read."""


def changed_trials(
    storage: LedgerStorage, study: TrackedStudy, marks: Marks
) -> Iterator[list[tuple[int, TrialRecord]]]:
    """Trials that may have changed since the study's cursor, some at a time, with their trial_id,
    whatever the study is for.

    `marks` are kept up to date, for the next call; empty at first. Raises as
    `LedgerStorage.read_trials`.
    """
    pending, now = study.cursor.pending, {}
    if pending:
        now = storage.open_trials(study.study_id)
    # One that waits changes only by being claimed; paused ones may be thousands.
    changed = sorted(
        i
        for i in pending
        if marks.get(i) is None or marks[i] != now.get(i) or marks[i][0] == TrialState.RUNNING
    )
    for start in range(0, len(changed), _CHUNK):
        chosen = changed[start : start + _CHUNK]
        yield _read(storage, study, set(chosen), newest=None)
        for i in chosen:
            marks.pop(i, None)
        marks |= {i: now[i] for i in chosen if i in now}
    newest = study.cursor.newest
    while rows := _read(storage, study, set(), newest=newest):
        yield rows
        newest = rows[-1][0]


def _read(
    storage: LedgerStorage, study: TrackedStudy, chosen: set[int], *, newest: int | None
) -> list[tuple[int, TrialRecord]]:
    after = _LAST if newest is None else newest
    rows = storage.read_trials(study.study_id, chosen, after, limit=_CHUNK)
    return [(row.trial_id, record_of(study.name, row)) for row in rows]


def put_cursor(
    storage: LedgerStorage, study: TrackedStudy, claim: TrackerClaim, cursor: Cursor
) -> None:
    """Keep how far a study was brought, if that is still for the process of `claim` to say.

    Raises InputError when the study was deleted, RetryLaterError when another process took over.
    """
    with _locked(storage, study) as session:
        if not claim.is_ours(session):
            raise RetryLaterError("another process has taken over")
        storage.put_study(session, study.study_id, {_CURSOR + claim.key: asdict(cursor)})


def put_files(storage: LedgerStorage, study: TrackedStudy, key: str, at: float) -> None:
    """Keep that the files of the report of `at` were brought. Raises InputError as `put_cursor`."""
    with _locked(storage, study) as session:
        storage.put_study(session, study.study_id, {_FILES + key: f"{at}"})


@contextmanager
def _locked(storage: LedgerStorage, study: TrackedStudy) -> Iterator[Session]:
    """A transaction that holds the study's row, which may be another study's by now."""
    with storage.session() as session:
        storage.lock_study(session, study.study_id)
        if (storage.study_attrs(session, study.study_id).get("uid") or "") != study.uid:
            raise InputError(f"study {study.name!r} was deleted")
        yield session


def put_reported(storage: LedgerStorage, name: str, reported: Reported) -> None:
    """Keep what the last report of study `name` says. Raises InputError without such a study."""
    study_id, _ = find_study(storage, name)
    with storage.session() as session:
        storage.put_study(session, study_id, {REPORTED: asdict(reported)})


class Ids:
    """Under which ids a tracker keeps studies and trials: the first that is reserved stays, whoever
    else made another meanwhile.
    """

    def __init__(self, storage: LedgerStorage) -> None:
        self._storage = storage
        self._key = ""

    def bind(self, key: str) -> None:
        """Keep them for the tracker of `key` from now on, which is only known once it is made."""
        self._key = _ID + key

    def get(self, study: str, trial: int | None = None) -> str | None:
        """The id of `trial` of `study` (None: of the study itself), if one was reserved."""
        with self._storage.reading(), self._storage.session() as session:
            row = self._row(session, study, trial)
            return None if row is None else self._stored(session, row, trial)

    def reserve(self, study: str, trial: int | None, new: str) -> str:
        """Keep the id `new` unless there is one already; the one that holds.

        Raises InputError when the study was deleted meanwhile.
        """
        with self._storage.session() as session:
            # The study's lock: two rows can't be inserted at once where none could be locked.
            if (study_id := self._row(session, study, None)) is not None:
                self._storage.lock_study(session, study_id)
            row = self._row(session, study, trial)
            if row is None:
                raise InputError(f"study {study!r} was deleted")
            if stored := self._stored(session, row, trial):
                return stored
            if trial is None:
                self._storage.put_study(session, row, {self._key: new})
            else:
                self._storage.put(session, row, user={self._key: new})
        return new

    def _stored(self, session: Session, row: int, trial: int | None) -> str | None:
        table: Any = models.StudyUserAttributeModel if trial is None else _TRIAL_ATTRS
        owner = table.study_id if trial is None else table.trial_id
        query = sa.select(table.value_json).where(owner == row, table.key == self._key)
        text = session.scalar(query)
        return None if text is None else str(json.loads(text))

    @staticmethod
    def _row(session: Session, study: str, trial: int | None) -> int | None:
        studies, trials = models.StudyModel, models.TrialModel
        query = sa.select(studies.study_id).where(studies.study_name == study)
        if trial is not None:
            query = query.join(trials, trials.study_id == studies.study_id)
            query = query.where(trials.number == trial).with_only_columns(trials.trial_id)
        row: int | None = session.scalar(query)
        return row


def forget(storage: LedgerStorage, study_id: int, key: str) -> None:
    """Drop all that is kept of a study's way to a tracker, which lost what it had been brought."""
    studies, trials = models.StudyUserAttributeModel, models.TrialModel
    with storage.session() as session:
        storage.lock_study(session, study_id)
        names = [prefix + key for prefix in BOOKKEEPING]
        session.execute(
            sa.delete(studies).where(studies.study_id == study_id, studies.key.in_(names))
        )
        among = sa.select(trials.trial_id).where(trials.study_id == study_id)
        session.execute(
            sa.delete(_TRIAL_ATTRS).where(
                _TRIAL_ATTRS.key == _ID + key, _TRIAL_ATTRS.trial_id.in_(among)
            )
        )
