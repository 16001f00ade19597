"""Optuna's RDBStorage with what it lacks for workers that may die: claims that only their owner can
write under.

Every method that changes a trial is one transaction: it locks the row, checks that the caller's
claim token is still the row's, and only then writes, a statement per table however many rows it
has. On SQLite every writing transaction begins IMMEDIATE, since two deferred ones can both believe
that they claimed a trial. Optuna's samplers, dashboard and CLI read these studies as any other.
"""

import json
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from search.errors import ClaimLostError, InputError
from search.secret import masked
from search.study.storage.database import (
    cannot_open,
    check_sqlite,
    create_schema,
    engine_options,
    is_sqlite,
    models,
    normalize_url,
    schema_lock,
    translated,
    tune_sqlite,
)
from search.study.storage.trial_rows import StoredTrial, decoding, select_trials

CLAIM = "gridless:claim"
N_SEGMENTS = "n_segments"
"""The user attribute that every claim of a trial raises by one."""
NOW = sa.func.current_timestamp()
"""By the database's own clock, which all workers share."""

_HELD = (
    sa.select(models.TrialModel, models.TrialSystemAttributeModel.value_json)
    .join(
        models.TrialSystemAttributeModel,
        (models.TrialSystemAttributeModel.trial_id == models.TrialModel.trial_id)
        & (models.TrialSystemAttributeModel.key == CLAIM),
    )
    .where(models.TrialModel.trial_id == sa.bindparam("trial"))
    .with_for_update()
)
"""A trial's row with its claim. Both are locked: of a row that it need not lock, PostgreSQL would
show what stood there before it waited for the other.
"""


class LedgerStorage(RDBStorage):
    """RDBStorage on SQLite (WAL) or PostgreSQL, whose trial writes need a claim token.

    Raises InputError when the database can't be opened (unreachable, not a database, read-only,
    older schema).
    """

    def __init__(self, url: str) -> None:
        url = normalize_url(url)
        self._local = threading.local()
        try:
            with schema_lock(url):
                create_schema(url)
                super().__init__(url, engine_kwargs=engine_options(url), skip_table_creation=True)
                if is_sqlite(url):
                    check_sqlite(self.engine)
        except (sa.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError) as error:
            raise InputError(cannot_open(url, error)) from error
        except RuntimeError as error:
            self.engine.dispose()
            remedy = "`gridless storage upgrade` carries it over, after a copy was made"
            raise InputError(
                f"{masked(url)} was made by another version of Optuna; {remedy}"
            ) from error
        if is_sqlite(url):
            tune_sqlite(self.engine, self._is_reading)
        self._insert: Any = sqlite.insert if is_sqlite(url) else postgresql.insert
        self._statement = cache(self._upserting)
        beats = self._insert(models.TrialHeartbeatModel.__table__).values(heartbeat=NOW)
        self._beat = beats.on_conflict_do_update(
            index_elements=["trial_id"], set_={"heartbeat": NOW}
        )

    @contextmanager
    def reading(self) -> Generator[None, None, None]:
        """Transactions of this thread inside only read: on SQLite they wait for no writer."""
        self._local.reading = True
        try:
            yield
        finally:
            self._local.reading = False

    def _is_reading(self) -> bool:
        return getattr(self._local, "reading", False)

    @contextmanager
    def session(self) -> Generator[Session, None, None]:
        """A transaction. Raises RetryLaterError when the database is out of reach, busy for too
        long or full, and InputError when it is damaged.
        """
        session: Session = self.scoped_session()
        try:
            yield session
            session.commit()
        except sa.exc.IntegrityError:
            _roll_back(session)
            raise
        except sa.exc.SQLAlchemyError as error:
            _roll_back(session)
            raise translated(self.url, error) from error
        except BaseException:
            _roll_back(session)
            raise
        finally:
            session.close()

    @contextmanager
    def held(
        self, trial_id: int, token: str, *, study_id: int | None = None
    ) -> Iterator[tuple[Session, Any]]:
        """A transaction that holds the row of a trial claimed with `token`, and before it the
        study's, if it is named.

        Raises ClaimLostError when the trial has ended, was given back or belongs to another claim.
        """
        with self.ending(trial_id, token, study_id=study_id) as (session, trial):
            if trial is None or trial.state != TrialState.RUNNING:
                raise ClaimLostError(f"trial {trial_id} is no longer held by {token}")
            yield session, trial

    @contextmanager
    def ending(
        self, trial_id: int, token: str, *, study_id: int | None = None
    ) -> Iterator[tuple[Session, Any]]:
        """As `held`, for a write that ends the trial: yields no trial if this claim has ended it
        already.

        A connection may die after a commit took effect and before it was confirmed; the same call
        is then made again.
        """
        with self.session() as session:
            if study_id is not None:
                self.lock_study(session, study_id)
            row = session.execute(_HELD, {"trial": trial_id}).one_or_none()
            if row is None or (json.loads(row[1] or "null") or {}).get("token") != token:
                raise ClaimLostError(f"trial {trial_id} is no longer held by {token}")
            yield session, None if row[0].state.is_finished() else row[0]

    def create_study(
        self, name: str, attrs: Mapping[str, Any], *, is_maximized: bool = True
    ) -> bool:
        """Make a study with its attributes, in one transaction; False if the name is taken."""
        way = StudyDirection.MAXIMIZE if is_maximized else StudyDirection.MINIMIZE
        direction = models.StudyDirectionModel(objective=0, direction=way)
        try:
            with self.session() as session:
                study = models.StudyModel(study_name=name, directions=[direction])
                session.add(study)
                session.flush()
                self.put_study(session, study.study_id, attrs)
        except sa.exc.IntegrityError:
            return False
        return True

    def put_study(self, session: Session, study_id: int, attrs: Mapping[str, Any]) -> None:
        """Set user attributes of a study inside `session`."""
        self._put_attrs(session, models.StudyUserAttributeModel, {"study_id": study_id}, attrs)

    def put_large(self, session: Session, study_id: int, attrs: Mapping[str, Any]) -> None:
        """Set attributes of a study inside `session` that are not read with the others."""
        self._put_attrs(session, models.StudySystemAttributeModel, {"study_id": study_id}, attrs)

    @staticmethod
    def large_attr(session: Session, study_id: int, key: str) -> Any:
        """One of these; None where there is none."""
        table = models.StudySystemAttributeModel
        text = session.scalar(
            sa.select(table.value_json).where(table.study_id == study_id, table.key == key)
        )
        return None if text is None else json.loads(text)

    @staticmethod
    def study_attrs(session: Session, study_id: int) -> dict[str, str]:
        """The user attributes of a study, as the JSON that is stored."""
        table = models.StudyUserAttributeModel
        rows = session.execute(
            sa.select(table.key, table.value_json).where(table.study_id == study_id)
        )
        return dict(rows.all())

    def read_trials(
        self, study_id: int, pending: set[int], newest: int, *, limit: int | None = None
    ) -> list[StoredTrial]:
        """Rows of a study whose trial_id is in `pending` or above `newest` (-1 for all rows), at
        most `limit`.

        Raises RetryLaterError when the database is out of reach, InputError when the study is no
        longer there, and DamagedError when what is stored of one of them can't be read.
        """
        with self.reading(), self.session() as session:
            study = _study_row(session, study_id)
            return select_trials(session, study, pending, newest, limit)

    def whole_trials(self, study_id: int) -> list[FrozenTrial]:
        """All trials of a study, as Optuna keeps them. Raises as `read_trials` does."""
        try:
            with (
                self.reading(),
                self.session() as session,
                decoding(_study_row(session, study_id).study_name),
            ):
                return super()._get_trials(study_id, None, set(), -1)
        except (optuna.exceptions.StorageInternalError, sa.exc.SQLAlchemyError) as error:
            raise translated(self.url, error) from error

    def open_trials(self, study_id: int) -> dict[int, tuple[TrialState, str | None]]:
        """The trial_id of each trial of a study that is RUNNING or WAITING: its state, and how
        often it was claimed.

        It costs little, however much these trials hold. Raises as `session` does.
        """
        trial, attr = models.TrialModel, models.TrialUserAttributeModel
        query = (
            sa.select(trial.trial_id, trial.state, attr.value_json)
            .outerjoin(attr, (attr.trial_id == trial.trial_id) & (attr.key == N_SEGMENTS))
            .where(
                trial.study_id == study_id,
                trial.state.in_((TrialState.RUNNING, TrialState.WAITING)),
            )
        )
        with self.reading(), self.session() as session:
            return {trial_id: (state, n) for trial_id, state, n in session.execute(query)}

    def read_study(self, name: str) -> tuple[int, dict[str, Any]] | None:
        """The study_id and user attributes of study `name`, None if there is none.

        Raises as `session` does, and DamagedError when one of the attributes can't be read.
        """
        with self.reading(), self.session() as session:
            study = models.StudyModel.find_by_name(name, session)
            if study is None:
                return None
            with decoding(name):
                attrs = self.study_attrs(session, study.study_id)
                return study.study_id, {key: json.loads(text) for key, text in attrs.items()}

    def study_names(self) -> list[str]:
        """The names of all studies, the oldest first. Raises as `session` does."""
        with self.reading(), self.session() as session:
            rows = (
                session.query(models.StudyModel.study_name)
                .order_by(models.StudyModel.study_id)
                .all()
            )
            return [name for (name,) in rows if not name.startswith(".")]

    @staticmethod
    def lock_study(session: Session, study_id: int) -> None:
        """Let one transaction at a time decide which trial is started, taken or closed."""
        session.get(models.StudyModel, study_id, with_for_update=True)

    @staticmethod
    def claim_of(session: Session, trial_id: int) -> dict[str, Any]:
        """The claim stored with a trial, or {}."""
        table = models.TrialSystemAttributeModel
        text = session.scalar(
            sa.select(table.value_json).where(table.trial_id == trial_id, table.key == CLAIM)
        )
        return (json.loads(text) or {}) if text else {}

    @staticmethod
    def n_segments(session: Session, trial_id: int) -> int:
        """How often a trial was claimed."""
        table = models.TrialUserAttributeModel
        text = session.scalar(
            sa.select(table.value_json).where(table.trial_id == trial_id, table.key == N_SEGMENTS)
        )
        return int(text or 0)

    def take(self, session: Session, trial: Any, claim: Mapping[str, Any]) -> None:
        """Make `trial` RUNNING under `claim`, with a heartbeat from the first moment on."""
        trial.state = TrialState.RUNNING
        if trial.datetime_start is None:
            trial.datetime_start = datetime.now()
        trial.datetime_complete = None
        self.put(session, trial.trial_id, system={CLAIM: dict(claim)})
        self.beat(session, trial.trial_id)

    def release(self, session: Session, trial: Any) -> None:
        """Return `trial` to WAITING with no owner."""
        self.put(session, trial.trial_id, system={CLAIM: None})
        session.query(models.TrialHeartbeatModel).filter_by(trial_id=trial.trial_id).delete()
        trial.state = TrialState.WAITING

    def beat(self, session: Session, trial_id: int) -> None:
        """Record a heartbeat by the database's own clock."""
        session.execute(self._beat, {"trial_id": trial_id})

    def new_trial(self, session: Session, study_id: int, number: int) -> Any:
        """A new RUNNING row. The caller holds the study's lock."""
        trial = models.TrialModel(study_id=study_id, number=number, state=TrialState.RUNNING)
        trial.datetime_start = datetime.now()
        session.add(trial)
        session.flush()
        return trial

    def put(
        self,
        session: Session,
        trial_id: int,
        *,
        user: Mapping[str, Any] | None = None,
        system: Mapping[str, Any] | None = None,
    ) -> None:
        """Set attributes of a trial inside `session`."""
        self._put_attrs(session, models.TrialUserAttributeModel, {"trial_id": trial_id}, user or {})
        self._put_attrs(
            session, models.TrialSystemAttributeModel, {"trial_id": trial_id}, system or {}
        )

    def _put_attrs(
        self, session: Session, table: Any, owner: Mapping[str, int], attrs: Mapping[str, Any]
    ) -> None:
        rows = [
            dict(owner) | {"key": key, "value_json": json.dumps(value)}
            for key, value in attrs.items()
        ]
        self._upsert(session, table, (*owner, "key"), rows)

    def put_params(
        self,
        session: Session,
        trial_id: int,
        params: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
    ) -> None:
        """Store a trial's params. Raises ValueError when a value lies outside its distribution."""
        rows = [
            {
                "trial_id": trial_id,
                "param_name": name,
                "param_value": distributions[name].to_internal_repr(value),
                "distribution_json": distribution_to_json(distributions[name]),
            }
            for name, value in params.items()
        ]
        self._upsert(session, models.TrialParamModel, ("trial_id", "param_name"), rows)

    def put_steps(self, session: Session, trial_id: int, values: Mapping[int, float]) -> None:
        """Store intermediate values by step; the same step again overwrites it."""
        table = models.TrialIntermediateValueModel
        names = ("intermediate_value", "intermediate_value_type")
        rows = [
            {"trial_id": trial_id, "step": step}
            | dict(zip(names, table.intermediate_value_to_stored_repr(value), strict=True))
            for step, value in values.items()
        ]
        self._upsert(session, table, ("trial_id", "step"), rows)

    def put_end(self, session: Session, trial: Any, state: TrialState, value: float | None) -> None:
        """End a trial with its value, if it has one."""
        if value is not None:
            names = ("value", "value_type")
            stored = dict(
                zip(names, models.TrialValueModel.value_to_stored_repr(value), strict=True)
            )
            row = {"trial_id": trial.trial_id, "objective": 0} | stored
            self._upsert(session, models.TrialValueModel, ("trial_id", "objective"), [row])
        self.put(session, trial.trial_id, user={"ended": time.time()})  # Optuna's has no zone
        trial.state = state
        trial.datetime_complete = datetime.now()

    def _upsert(
        self, session: Session, table: Any, unique: Sequence[str], rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Insert `rows`, or overwrite those that are there, in one round trip."""
        if rows:
            session.flush()
            session.execute(self._statement(table, tuple(unique), tuple(rows[0])), list(rows))

    def _upserting(self, table: Any, unique: tuple[str, ...], names: tuple[str, ...]) -> Any:
        insert = self._insert(table.__table__)
        new = {name: insert.excluded[name] for name in names if name not in unique}
        return insert.on_conflict_do_update(index_elements=list(unique), set_=new)

    @staticmethod
    def silent_for(session: Session, study_id: int) -> Sequence[tuple[Any, float | None]]:
        """The RUNNING trials of a study (trial_id and number), each with the seconds since its last
        heartbeat by the database's clock.
        """
        now, trial, beat = database_time(session), models.TrialModel, models.TrialHeartbeatModel
        query = (
            sa.select(trial.trial_id, trial.number, beat.heartbeat)
            .outerjoin(beat, beat.trial_id == trial.trial_id)
            .where(trial.study_id == study_id, trial.state == TrialState.RUNNING)
            .order_by(trial.number)
        )
        rows = session.execute(query).all()
        return [
            (row, None if row.heartbeat is None else (now - row.heartbeat).total_seconds())
            for row in rows
        ]


def _study_row(session: Session, study_id: int) -> Any:
    study = session.get(models.StudyModel, study_id)
    if study is None:
        raise InputError("the study was deleted")
    return study


def _roll_back(session: Session) -> None:
    """A connection that is gone has rolled back already."""
    with suppress(sa.exc.SQLAlchemyError):
        session.rollback()


def database_time(session: Session) -> datetime:
    """The database's clock: UTC, without a time zone."""
    now = session.execute(sa.select(NOW)).scalar_one()
    if isinstance(now, str):
        return datetime.fromisoformat(now)
    return datetime.fromtimestamp(now.timestamp(), UTC).replace(tzinfo=None)
