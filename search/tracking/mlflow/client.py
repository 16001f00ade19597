"""Opening MLflow's store: quietly, quickly where it is out of reach, and whole where it is new."""

import logging
import os
from pathlib import Path
from typing import Any

from search.files import locked

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
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
            draft.replace(path)


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
