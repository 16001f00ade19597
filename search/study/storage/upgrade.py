"""Carry a database of older versions of Optuna and Gridless over to the installed ones."""

import json
import logging
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import optuna
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from optuna.storages import RDBStorage
from pydantic import ValidationError

from search.errors import InputError
from search.files import whole_file
from search.secret import masked
from search.study.spec import StudySpec
from search.study.storage.database import (
    create_schema,
    engine_options,
    is_sqlite,
    models,
    normalize_url,
    root_cause,
    schema_lock,
    tune_sqlite,
)

_FAULTS = (sa.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, sqlite3.Error, OSError)
# What Optuna's migrations say of rows that they do not know how to carry over, and Alembic of its
# own.
_REFUSALS = (CommandError, ValueError, KeyError, AssertionError)


def upgrade(url: str) -> list[str]:
    """Bring the database at `url` to the installed Optuna's schema and its studies to this
    version's spec.

    Says what was done, one line each; nothing is changed where nothing is old, and a study that
    can't be carried over is named and left as it is. An SQLite file is copied first, beside it. On
    PostgreSQL the schema is changed in one transaction, and no copy is made. Several may call this
    at once, but workers should be stopped before.

    Raises InputError when there is no such database, a newer version wrote it, or it can't be read
    or written.
    """
    url = normalize_url(url)
    if is_sqlite(url) and not Path(sa.make_url(url).database or "").is_file():
        raise InputError(
            f"storage {masked(url)} does not exist; check GRIDLESS_STORAGE and GRIDLESS_HOME"
        )
    done: list[str] = []
    try:
        with schema_lock(url), _engine(url) as engine:
            _upgrade(url, engine, done)
    except _FAULTS as error:
        raise InputError(_failed(url, root_cause(error), done)) from error
    except _REFUSALS as error:
        raise InputError(_failed(url, error, done)) from error
    return done


def _failed(url: str, error: BaseException, done: list[str]) -> str:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return "; ".join(
        [f"storage {masked(url)} could not be upgraded: {reason}", *done, "mend that and try again"]
    )


@contextmanager
def _engine(url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(url, **engine_options(url))
    if is_sqlite(url):
        tune_sqlite(engine, lambda: False)
    try:
        yield engine
    finally:
        engine.dispose()


def _upgrade(url: str, engine: sa.Engine, done: list[str]) -> None:
    revision, head = _revisions(engine)
    if revision is None:
        done.append("the database holds no studies: nothing to upgrade")
        return
    carried = _carried(engine)
    if revision == head and not any(changes for _, changes, _ in carried):
        done.append(
            f"the schema is up to date ({head}), and so is every study that is not named below"
        )
    else:
        done.append(_copy(url))
    if revision != head:
        _upgrade_schema(url)
        done.append(f"schema: upgraded from {revision} to {head} (Optuna {optuna.__version__})")
    create_schema(url)
    done += [
        _carry(engine, name) if changes else problem
        for name, changes, problem in carried
        if changes or problem
    ]


def _revisions(engine: sa.Engine) -> tuple[str | None, str]:
    """The schema's revision (None: no tables of Optuna's) and the one of the installed Optuna."""
    folder = Path(optuna.storages.__file__).parent / "_rdb" / "alembic"
    scripts = ScriptDirectory(str(folder))
    head = str(scripts.get_current_head())
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(models.VersionInfoModel.__tablename__):
            return None, head
        revision = MigrationContext.configure(connection).get_current_revision() or str(
            scripts.get_base()
        )
    if revision not in {r.revision for r in scripts.walk_revisions()}:
        rule = (
            f"storage {engine.url} was written by a newer version (schema {revision}, here {head})"
        )
        raise InputError(f"{rule}; install that version")
    return revision, head


def _copy(url: str) -> str:
    """Copy an SQLite file beside it, whoever writes to it meanwhile; what to tell of it."""
    if not is_sqlite(url):
        return "no copy was made: on PostgreSQL that is for pg_dump to do, before an upgrade"
    path = Path(str(sa.make_url(url).database)).absolute()
    copy = path.with_name(
        f"{path.stem}.{datetime.now():%Y%m%d-%H%M%S}-{uuid4().hex[:4]}{path.suffix}"
    )
    with (
        whole_file(copy) as part,
        closing(sqlite3.connect(path)) as old,
        closing(sqlite3.connect(part.name)) as new,
    ):
        old.backup(new)
    return f"the database as it was is kept as {copy}"


def _upgrade_schema(url: str) -> None:
    with _quiet():
        storage = RDBStorage(url, engine_kwargs=engine_options(url), skip_compatibility_check=True)
        try:
            storage.upgrade()
        finally:
            storage.remove_session()
            storage.engine.dispose()


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna's migration sets up logging for the whole program, and warns of its own rows."""
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            yield
    finally:
        logging.getLogger().removeHandler(handler)


def _carried(engine: sa.Engine) -> list[tuple[str, dict[str, Any], str]]:
    """Each study by name, with the attributes to change, or why it can't be carried over."""
    study, attr = models.StudyModel.__table__.c, models.StudyUserAttributeModel.__table__.c
    # By columns that every version has had: the schema may still be an old one.
    query = (
        sa.select(study.study_name)
        .join_from(study.study_id.table, attr.study_id.table)
        .where(attr.key == "spec")
    )
    with engine.connect() as connection:
        names = connection.scalars(query.order_by(study.study_id)).all()
        carried = []
        for name in names:
            try:
                carried.append((name, changed(_attrs(connection, name)), ""))
            except InputError as error:
                carried.append(
                    (name, {}, f"study {name!r} can't be carried over and is untouched: {error}")
                )
    return carried


def _carry(engine: sa.Engine, name: str) -> str:
    study, attr = models.StudyModel.__table__.c, models.StudyUserAttributeModel.__table__
    with engine.begin() as connection:
        query = sa.select(study.study_id).where(study.study_name == name).with_for_update()
        study_id = connection.scalar(query)
        changes = changed(_attrs(connection, name))  # read again: a worker may have raised n_trials
        for key, value in changes.items():
            connection.execute(
                sa.delete(attr).where(attr.c.study_id == study_id, attr.c.key == key)
            )
            connection.execute(
                sa.insert(attr).values(study_id=study_id, key=key, value_json=json.dumps(value))
            )
    return f"study {name!r}: carried over ({', '.join(changes)})"


def _attrs(connection: sa.Connection, name: str) -> dict[str, Any]:
    study, attr = models.StudyModel.__table__.c, models.StudyUserAttributeModel.__table__.c
    query = sa.select(attr.key, attr.value_json).where(
        attr.study_id == study.study_id, study.study_name == name
    )
    return {key: json.loads(value) for key, value in connection.execute(query)}


def changed(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a study that must be written anew so that this version can go on with it.

    Keys that its spec lacks get their defaults, which do what older versions did. Raises InputError
    with the reason when the spec means nothing to this version.
    """
    try:
        spec = StudySpec(**attrs["spec"])
        _ = spec.search_space
    except ValidationError as error:
        raise InputError(
            [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        ) from error
    except (TypeError, KeyError) as error:
        raise InputError(f"its spec is not a mapping of settings ({error})") from error
    changes: dict[str, Any] = {}
    if (dumped := spec.model_dump(mode="json")) != attrs["spec"]:
        changes["spec"] = dumped
    if "uid" not in attrs:  # which tells it from others of its name
        changes["uid"] = uuid4().hex
    return changes
