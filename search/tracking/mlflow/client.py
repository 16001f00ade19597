"""Opening MLflow's store: quietly, quickly where it is out of reach, and whole where it is new."""

import logging
import os
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from search.files import locked
from search.tracking.uri import ARTIFACTS

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "PGCONNECT_TIMEOUT": "10",
}
"""For MLflow, unless the user has said otherwise: we try again ourselves, so it should give up
soon.
"""


def open_client(uri: str) -> Any:
    """Return an MlflowClient of the store at `uri`, which is made if it is an SQLite file that
    isn't there.

    A server's password is that in the file named by MLFLOW_TRACKING_PASSWORD_FILE, if that is set,
    else MLFLOW_TRACKING_PASSWORD. Raises whatever MLflow, SQLAlchemy or the file system does when
    the store is out of reach.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _read_password()
    from mlflow.tracking import MlflowClient  # noqa: PLC0415 (takes seconds)

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme == "sqlite":
        _make_sqlite(uri)
        _follow_artifacts(uri)
        _spare_disk(uri)
    elif scheme in ("postgresql", "mysql", "mssql"):
        _try_connection(uri)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _read_password() -> None:
    name = "MLFLOW_TRACKING_PASSWORD_FILE"
    path = os.environ.get(name)
    if not path:
        return
    try:
        # Read anew each time, since it may have been replaced.
        os.environ["MLFLOW_TRACKING_PASSWORD"] = (
            Path(path).read_text(encoding="utf-8").strip("\r\n")
        )
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise RuntimeError(
            f"the password's file {path} can't be read ({reason}); correct {name}"
        ) from error


def _try_connection(uri: str) -> None:
    # MLflow itself would try for 100 s before it says that a database doesn't answer.
    import sqlalchemy  # noqa: PLC0415

    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    engine.connect().close()


def _make_sqlite(uri: str) -> None:
    """Make the SQLite file of `uri` beside its place and move it there when it is whole.

    MLflow's 67 migrations take seconds: a kill between two of them, or two processes that both
    begin, would leave a file that MLflow refuses.
    """
    import sqlalchemy  # noqa: PLC0415

    database = sqlalchemy.make_url(uri).database
    if not database or database == ":memory:":
        return
    path = Path(database).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    if _has_content(path):
        path.open("rb").close()
        return
    with locked(path.with_name(f".{path.name}.lock"), wait=True):
        if not _has_content(path):
            draft = path.with_name(f".{path.name}.new")
            draft.unlink(missing_ok=True)
            _migrate(draft)
            for rest in ("-wal", "-shm"):  # of a file that was removed without them
                path.with_name(path.name + rest).unlink(missing_ok=True)
            draft.replace(path)


@cache
def _spare_disk(uri: str) -> None:
    """Let this process's connections to the SQLite file of `uri` wait for the disk now and then,
    not at each write, of which a trial takes several.

    What a power cut takes from its end is in the studies' storage. The file stays whole (WAL).
    """
    import sqlalchemy as sa  # noqa: PLC0415

    path = str(Path(sa.make_url(uri).database or "").absolute())

    @sa.event.listens_for(sa.Engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        if connection.__class__.__module__ != "sqlite3":
            return
        if connection.execute("PRAGMA database_list").fetchone()[2] == path:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")


def _follow_artifacts(uri: str) -> None:
    """Where a home folder was moved, let the store find its artifacts in the new place.

    MLflow keeps absolute addresses. Those are changed whose folder is gone and has a like beside
    the store.
    """
    import sqlalchemy as sa  # noqa: PLC0415

    database = sa.make_url(uri).database
    if not database or database == ":memory:":
        return
    here = Path(database).absolute().parent / ARTIFACTS
    engine = sa.create_engine(uri, poolclass=sa.NullPool)
    with engine.begin() as connection:
        query = "SELECT DISTINCT artifact_location FROM experiments"
        for (location,) in connection.exec_driver_sql(query).all():
            root, found, _ = str(location).rpartition(f"/{ARTIFACTS}/")
            then = Path(unquote(urlsplit(root).path)) / ARTIFACTS
            if not found or then == here or then.exists() or not here.exists():
                continue
            old = f"{root}/{ARTIFACTS}"
            for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
                connection.exec_driver_sql(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?)"  # noqa: S608
                    f" WHERE substr({column}, 1, ?) = ?",
                    (here.as_uri(), len(old) + 1, len(old) + 1, f"{old}/"),
                )


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _migrate(draft: Path) -> None:
    import sqlalchemy  # noqa: PLC0415
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415

    def hurry(connection: Any, _record: object) -> None:
        # Nobody reads the draft and a kill discards it: there is no reason to wait for the disk
        # each time.
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA journal_mode=MEMORY")

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", hurry)
    try:
        store = SqlAlchemyStore(f"sqlite:///{draft}", str(draft.parent / "mlflow-artifacts"))
        store.engine.dispose()
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "connect", hurry)
    with draft.open("rb") as file:
        os.fsync(file.fileno())
