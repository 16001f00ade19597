"""Opening the studies' database: SQLite (WAL) for one machine, PostgreSQL for many."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from optuna.storages._rdb import models as _models

from search.errors import GridlessError, InputError, RetryLaterError
from search.files import locked
from search.secret import masked, redacted

models: Any = _models
"""Optuna's tables, in SQLAlchemy's old style that a type checker can't read."""

_ADVISORY_KEY = 7_246_353
_SQLITE_WAIT_S = 60
_IDLE, _IDLE_MS = "idle_in_transaction_session_timeout", 15_000
"""A worker that is stopped inside a transaction must not hold its locks for ever."""
_POSTGRES = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""So that a server whose machine is gone is noticed within half a minute."""
# Optuna's own indexes find a study's trials, not its few open ones among many ended.
_INDEXES = (
    sa.Index("gridless_trials_state", models.TrialModel.study_id, models.TrialModel.state),
    sa.Index("gridless_trials_number", models.TrialModel.study_id, models.TrialModel.number),
)
_DAMAGE = ("malformed", "not a database", "file is encrypted")
"""SQLite's words for a file that no waiting will mend."""


def normalize_url(url: str) -> str:
    """`url` with the driver that this project installs (psycopg 3 for PostgreSQL).

    Raises InputError for anything but SQLite and PostgreSQL.
    """
    try:
        parsed = sa.make_url(url)
    except (
        sa.exc.ArgumentError,
        ValueError,
    ) as error:  # ValueError: a port that is no number, a host like [::1
        # Not shown: it may hold a password.
        raise InputError(
            "GRIDLESS_STORAGE is not a database URL; give sqlite:///… or postgresql://…"
        ) from error
    backend = parsed.get_backend_name()
    if backend not in {"sqlite", "postgresql"}:
        raise InputError(
            f"GRIDLESS_STORAGE: {backend!r} is not supported; give sqlite:///… or postgresql://…"
        )
    if backend == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed.render_as_string(hide_password=False)


def engine_options(url: str) -> dict[str, Any]:
    """What SQLAlchemy's create_engine is given for `url`, beside it."""
    if is_sqlite(url):
        return {"connect_args": {"timeout": _SQLITE_WAIT_S}}
    # A worker's threads seldom talk at once, and a server has a hundred connections for all
    # workers.
    pool = {"pool_size": 1, "max_overflow": 4, "pool_pre_ping": True}
    return pool | {
        "connect_args": _POSTGRES | {"options": f"-c timezone=utc -c {_IDLE}={_IDLE_MS}"}
    }


def is_sqlite(url: str) -> bool:
    """Whether `url` is a file that one machine has to itself."""
    return url.startswith("sqlite")


def create_schema(url: str) -> None:
    """Create the tables and indexes that are missing. The caller holds `schema_lock`."""
    engine = sa.create_engine(url, **engine_options(url))
    try:
        models.BaseModel.metadata.create_all(engine)
        for index in _INDEXES:
            index.create(engine, checkfirst=True)
    finally:
        engine.dispose()


@contextmanager
def schema_lock(url: str) -> Iterator[None]:
    """One process at a time: `CREATE TABLE IF NOT EXISTS` alone races on both databases."""
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
        raise InputError(
            "GRIDLESS_STORAGE: an in-memory database can't be shared by workers; name a file"
        )
    path = Path(parsed.database).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(path.name + ".lock"), wait=True):
        yield


def check_sqlite(engine: sa.Engine) -> None:
    """Raise OSError if a page is damaged, before a study meets it. Takes milliseconds."""
    with engine.connect() as connection:
        verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if verdict != "ok":
        raise OSError(f"the database is malformed: {verdict}")


def tune_sqlite(engine: sa.Engine, is_reading: Callable[[], bool]) -> None:
    """Let many processes share the file; transactions begin IMMEDIATE unless `is_reading()`."""

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = (
            None  # SQLAlchemy's "begin" event starts transactions, not the driver
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA busy_timeout={_SQLITE_WAIT_S * 1000}")

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN" if is_reading() else "BEGIN IMMEDIATE")

    engine.dispose()  # connections made before these listeners must not be used again


def translated(url: str, error: BaseException) -> GridlessError:
    """The error for a database's error: InputError for damage, otherwise RetryLaterError."""
    cause = redacted(str(root_cause(error)), url)
    if any(sign in cause for sign in _DAMAGE):
        return InputError(
            f"storage {masked(url)} is damaged: {cause}; bring back a copy, or move it away"
        )
    return RetryLaterError(f"storage {masked(url)}: {cause}")


def root_cause(error: BaseException) -> BaseException:
    """The first error of a chain."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def cannot_open(url: str, error: BaseException) -> str:
    """What to tell a user whose database can't be opened."""
    cause = root_cause(error)
    reason = (
        redacted(str(cause).strip(), url).splitlines()[0]
        if str(cause).strip()
        else type(cause).__name__
    )
    remedy = (
        "check that the folder can be written, the disk has room and the file is a Gridless"
        " database"
        if url.startswith("sqlite")
        else "check that the server runs and that host, port, user, password and database are right"
    )
    return f"storage {masked(url)} can't be used: {reason}; {remedy}"
