"""Optuna's RDBStorage with what it lacks for workers that may die: claims that only their owner can write under.

Every method that changes a trial is one transaction: it locks the row, checks that the caller's claim token is
still the row's, and only then writes. On SQLite every writing transaction begins IMMEDIATE, since two deferred ones
can both believe that they claimed a trial. Optuna's samplers, dashboard and CLI read these studies as any other.
"""

import json
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models as _models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.orm import Session

from search.errors import ClaimLostError, GridlessError, InputError, RetryLaterError
from search.files import locked

CLAIM = "gridless:claim"
models: Any = _models
"""Optuna's tables. They are declared in SQLAlchemy's old style, whose attributes a type checker takes for columns."""

_ADVISORY_KEY = 7_246_353
_SQLITE_WAIT_S = 60


def normalize_url(url: str) -> str:
    """`url` with the driver that this project installs (psycopg 3 for PostgreSQL).

    Raises InputError for anything but SQLite and PostgreSQL.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        rule = f"GRIDLESS_STORAGE: {url!r} is not a database URL"
        raise InputError(f"{rule}; give sqlite:///… or postgresql://…") from error
    backend = parsed.get_backend_name()
    if backend not in {"sqlite", "postgresql"}:
        raise InputError(f"GRIDLESS_STORAGE: {backend!r} is not supported; give sqlite:///… or postgresql://…")
    if backend == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed.render_as_string(hide_password=False)


def shown_url(url: str) -> str:
    """`url` without its password, for people and logs."""
    return sa.make_url(url).render_as_string(hide_password=True)


class LedgerStorage(RDBStorage):
    """RDBStorage on SQLite (WAL) or PostgreSQL, whose trial writes need a claim token.

    Raises InputError when the database can't be opened (unreachable, not a database, read-only, older schema).
    """

    def __init__(self, url: str) -> None:
        url = normalize_url(url)
        self._local = threading.local()
        sqlite = url.startswith("sqlite")
        options: dict[str, Any] = (
            {"connect_args": {"timeout": _SQLITE_WAIT_S}}
            if sqlite
            else {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10, "options": "-c timezone=utc"}}
        )
        try:
            with _schema_lock(url):
                _create_schema(url, options)
                super().__init__(url, engine_kwargs=options, skip_table_creation=True)
                if sqlite:
                    _check_sqlite(self.engine)
        except (sa.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError) as error:
            raise InputError(_cannot_open(url, error)) from error
        except RuntimeError as error:
            raise InputError(f"{shown_url(url)}: {error}") from error
        if sqlite:
            _tune_sqlite(self.engine, self._is_reading)

    @contextmanager
    def reading(self) -> Generator[None, None, None]:
        """Transactions of this thread inside it only read: on SQLite they never wait for a writer."""
        self._local.reading = True
        try:
            yield
        finally:
            self._local.reading = False

    def _is_reading(self) -> bool:
        return getattr(self._local, "reading", False)

    @contextmanager
    def session(self) -> Generator[Session, None, None]:
        """A transaction. Raises RetryLaterError when the database is out of reach, busy for too long or full, and
        InputError when it is damaged.
        """
        session: Session = self.scoped_session()
        try:
            yield session
            session.commit()
        except sa.exc.IntegrityError:
            session.rollback()
            raise
        except sa.exc.SQLAlchemyError as error:
            session.rollback()
            raise self._translated(error) from error
        except BaseException:
            session.rollback()
            raise
        finally:
            session.close()

    def _translated(self, error: BaseException) -> GridlessError:
        """What the caller should do about a database's error."""
        cause = _root_cause(error)
        if _is_damaged(cause):
            return InputError(f"storage {shown_url(self.url)} is damaged: {cause}; bring back a copy, or move it away")
        return RetryLaterError(f"storage {shown_url(self.url)}: {cause}")

    @contextmanager
    def held(self, trial_id: int, token: str) -> Iterator[tuple[Session, Any]]:
        """A transaction that holds the row of a trial claimed with `token`.

        Raises ClaimLostError when the trial has ended, was given back or belongs to another claim.
        """
        with self.session() as session:
            trial = session.get(models.TrialModel, trial_id, with_for_update=True)
            running = trial is not None and trial.state == TrialState.RUNNING
            if not running or self.claim_of(session, trial_id).get("token") != token:
                raise ClaimLostError(f"trial {trial_id} is no longer held by {token}")
            yield session, trial

    def create_study(self, name: str, attrs: Mapping[str, Any]) -> bool:
        """Make a study that maximizes, with its attributes, in one transaction; False if the name is taken."""
        direction = models.StudyDirectionModel(objective=0, direction=StudyDirection.MAXIMIZE)
        try:
            with self.session() as session:
                study = models.StudyModel(study_name=name, directions=[direction])
                session.add(study)
                session.flush()
                self.put_study(session, study.study_id, attrs)
        except sa.exc.IntegrityError:
            return False
        return True

    @staticmethod
    def put_study(session: Session, study_id: int, attrs: Mapping[str, Any]) -> None:
        """Set user attributes of a study inside `session`."""
        rows = {r.key: r for r in models.StudyUserAttributeModel.where_study_id(study_id, session)}
        for key, value in attrs.items():
            if key in rows:
                rows[key].value_json = json.dumps(value)
            else:
                session.add(models.StudyUserAttributeModel(study_id=study_id, key=key, value_json=json.dumps(value)))

    @staticmethod
    def study_attr(session: Session, study_id: int, key: str) -> Any:
        """A user attribute of a study, or None."""
        rows = models.StudyUserAttributeModel.where_study_id(study_id, session)
        return next((json.loads(r.value_json) for r in rows if r.key == key), None)

    def read_trials(self, study_id: int, pending: set[int], newest: int) -> list[FrozenTrial]:
        """Rows of a study whose trial_id is in `pending` or above `newest` (-1 for all rows)."""
        try:
            with self.reading():
                return super()._get_trials(study_id, None, pending, newest)
        except (optuna.exceptions.StorageInternalError, sa.exc.SQLAlchemyError) as error:
            raise self._translated(error) from error

    def read_study(self, name: str) -> tuple[int, dict[str, Any]] | None:
        """The study_id and user attributes of study `name`, None if there is none. Raises as `session` does."""
        with self.reading(), self.session() as session:
            study = models.StudyModel.find_by_name(name, session)
            if study is None:
                return None
            rows = models.StudyUserAttributeModel.where_study_id(study.study_id, session)
            return study.study_id, {r.key: json.loads(r.value_json) for r in rows}

    def study_names(self) -> list[str]:
        """The names of all studies, in the order in which they were made. Raises as `session` does."""
        with self.reading(), self.session() as session:
            rows = session.query(models.StudyModel.study_name).order_by(models.StudyModel.study_id).all()
            return [name for (name,) in rows]

    @staticmethod
    def lock_study(session: Session, study_id: int) -> None:
        """Let one transaction at a time decide which trial is started, taken or closed."""
        session.get(models.StudyModel, study_id, with_for_update=True)

    @staticmethod
    def claim_of(session: Session, trial_id: int) -> dict[str, Any]:
        """The claim stored with a trial, or {}."""
        row = models.TrialSystemAttributeModel.where_trial_id(trial_id, session)
        found = [json.loads(r.value_json) for r in row if r.key == CLAIM]
        return found[0] or {} if found else {}

    def take(self, session: Session, trial: Any, claim: Mapping[str, Any]) -> None:
        """Make `trial` RUNNING under `claim`, with a heartbeat from the first moment on."""
        trial.state = TrialState.RUNNING
        if trial.datetime_start is None:
            trial.datetime_start = datetime.now()
        trial.datetime_complete = None
        session.flush()
        self.put(session, trial.trial_id, system={CLAIM: dict(claim)})
        self.beat(session, trial.trial_id)

    @contextmanager
    def ending(self, trial_id: int, token: str) -> Iterator[tuple[Session, Any]]:
        """As `held`, for a write that ends the trial: yields no trial if this claim has ended it already.

        A connection may die after a commit took effect and before it was confirmed; the same call is then made again.
        """
        with self.session() as session:
            trial = session.get(models.TrialModel, trial_id, with_for_update=True)
            if trial is None or self.claim_of(session, trial_id).get("token") != token:
                raise ClaimLostError(f"trial {trial_id} is no longer held by {token}")
            yield session, None if trial.state.is_finished() else trial

    def release(self, session: Session, trial: Any) -> None:
        """Return `trial` to WAITING with no owner."""
        self.put(session, trial.trial_id, system={CLAIM: None})
        session.query(models.TrialHeartbeatModel).filter_by(trial_id=trial.trial_id).delete()
        trial.state = TrialState.WAITING

    @staticmethod
    def beat(session: Session, trial_id: int) -> None:
        """Record a heartbeat by the database's own clock."""
        row = models.TrialHeartbeatModel.where_trial_id(trial_id, session, for_update=True)
        if row is None:
            session.add(models.TrialHeartbeatModel(trial_id=trial_id))
        else:
            row.heartbeat = session.execute(sa.func.now()).scalar()

    def new_trial(self, session: Session, study_id: int) -> Any:
        """A new RUNNING row with the next number. The caller holds the study's lock."""
        trial = models.TrialModel(study_id=study_id, number=None, state=TrialState.RUNNING)
        session.add(trial)
        session.flush()
        trial.number = trial.count_past_trials(session)
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
        for model, values in (
            (models.TrialUserAttributeModel, user or {}),
            (models.TrialSystemAttributeModel, system or {}),
        ):
            for key, value in values.items():
                self._set_trial_attr_without_commit(session, model, trial_id, key, value)

    def put_params(
        self, session: Session, trial_id: int, params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
    ) -> None:
        """Store a trial's params. Raises ValueError when a value lies outside its distribution."""
        for name, value in params.items():
            kind = distributions[name]
            self._set_trial_param_without_commit(session, trial_id, name, kind.to_internal_repr(value), kind)

    def put_step(self, session: Session, trial_id: int, step: int, value: float) -> None:
        """Store an intermediate value; the same step again overwrites it."""
        self._set_trial_intermediate_value_without_commit(session, trial_id, step, value)

    def put_end(self, session: Session, trial: Any, state: TrialState, value: float | None) -> None:
        """End a trial with its value, if it has one."""
        if value is not None:
            self._set_trial_value_without_commit(session, trial, 0, value)
        trial.state = state
        trial.datetime_complete = datetime.now()

    def silent_for(self, session: Session, study_id: int) -> Sequence[tuple[Any, float | None]]:
        """The RUNNING trials of a study, each with the seconds since its last heartbeat by the database's clock."""
        now = session.execute(sa.select(sa.func.current_timestamp())).scalar_one()
        now = datetime.fromisoformat(now) if isinstance(now, str) else now.replace(tzinfo=None)
        rows = (
            session.query(models.TrialModel, models.TrialHeartbeatModel.heartbeat)
            .outerjoin(models.TrialHeartbeatModel, models.TrialHeartbeatModel.trial_id == models.TrialModel.trial_id)
            .filter(models.TrialModel.study_id == study_id, models.TrialModel.state == TrialState.RUNNING)
            .order_by(models.TrialModel.number)
            .all()
        )
        return [(trial, None if beat is None else (now - beat).total_seconds()) for trial, beat in rows]


def _root_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _is_damaged(cause: BaseException) -> bool:
    """SQLite's words for a file that no waiting will mend."""
    return any(sign in str(cause) for sign in ("malformed", "not a database", "file is encrypted"))


def _cannot_open(url: str, error: BaseException) -> str:
    cause = _root_cause(error)
    reason = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    remedy = (
        "check that the folder can be written, the disk has room and the file is a Gridless database"
        if url.startswith("sqlite")
        else "check that the server runs and that host, port, user, password and database are right"
    )
    return f"storage {shown_url(url)} can't be used: {reason}; {remedy}"


def _check_sqlite(engine: sa.Engine) -> None:
    """A damaged page would otherwise be met in mid-study. Takes milliseconds for thousands of trials."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if found != "ok":
        raise OSError(f"the database is malformed: {found}")


def _tune_sqlite(engine: sa.Engine, is_reading: Any) -> None:
    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's "begin" event starts transactions, not the driver
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA busy_timeout={_SQLITE_WAIT_S * 1000}")

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN" if is_reading() else "BEGIN IMMEDIATE")

    engine.dispose()  # connections made before these listeners must not be used again


def _create_schema(url: str, options: Mapping[str, Any]) -> None:
    engine = sa.create_engine(url, **options)
    try:
        models.BaseModel.metadata.create_all(engine)
    finally:
        engine.dispose()


@contextmanager
def _schema_lock(url: str) -> Iterator[None]:
    """One process at a time creates tables: `CREATE TABLE IF NOT EXISTS` alone races on both databases."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        engine = sa.create_engine(url, connect_args={"connect_timeout": 10})
        try:
            with engine.connect() as connection:
                connection.execute(sa.select(sa.func.pg_advisory_lock(_ADVISORY_KEY)))
                yield
        finally:
            engine.dispose()
        return
    if parsed.database is None or parsed.database == ":memory:":
        raise InputError("GRIDLESS_STORAGE: an in-memory database can't be shared by workers; name a file")
    path = Path(parsed.database).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(path.name + ".lock"), wait=True):
        yield
