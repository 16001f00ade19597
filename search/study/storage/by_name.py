"""What a storage holds, as people ask for it: a study by its name, with the study of its
finalists.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from search.errors import InputError
from search.registry import nearest
from search.secret import masked
from search.study.replicates import FINAL
from search.study.settings import name_problem
from search.study.storage.database import is_sqlite, models, normalize_url
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.read import find_study


@dataclass(frozen=True)
class StoredStudy:
    """One study in the storage."""

    name: str
    study_id: int
    uid: str
    """Tells it from others of its name, in other storages or times."""
    attrs: dict[str, Any]
    """All that is stored of it beside its trials."""


def open_library(url: str) -> LedgerStorage:
    """The storage at `url`, for whoever asks what is in it: unlike a search, this makes no new one.

    Raises InputError when there is none, or it can't be opened.
    """
    url = normalize_url(url)
    file = sa.make_url(url).database
    if is_sqlite(url) and file and file != ":memory:" and not Path(file).is_file():
        rule = f"there are no studies yet: {masked(url)} does not exist"
        raise InputError(
            f"{rule}; check GRIDLESS_HOME and GRIDLESS_STORAGE, or begin with `gridless study`"
        )
    return LedgerStorage(url)


def search_names(storage: LedgerStorage) -> list[str]:
    """The names of all studies of Gridless that search, in the order in which they were made: not
    of replicates.

    Raises RetryLaterError when the database is out of reach.
    """
    study, attr = models.StudyModel, models.StudyUserAttributeModel
    query = (
        sa.select(study.study_name)
        .join(attr, attr.study_id == study.study_id)
        .where(attr.key == "spec")
    )
    with storage.reading(), storage.session() as session:
        names: Sequence[str] = session.scalars(query.order_by(study.study_id)).all()
    return [name for name in names if not name.endswith(FINAL)]


def check_name(name: str) -> None:
    """Raise InputError when `name` can't be a study's, or is that of the finalists of one."""
    if name.endswith(FINAL):
        own = name.removesuffix(FINAL)
        raise InputError(
            f"STUDY: {name!r} holds the finalists of {own!r} and goes with it; give {own}"
        )
    if problem := name_problem(name):
        raise InputError(f"STUDY: {name!r}: {problem}")


def stored_studies(storage: LedgerStorage, name: str) -> tuple[StoredStudy, ...]:
    """Study `name` and the study of its finalists, of these two all that are there.

    Raises InputError for a bad name, when neither is there, and when one was not made by Gridless.
    """
    check_name(name)
    known = storage.study_names()
    found = [n for n in (name, name + FINAL) if n in known]
    if not found:
        searches = {n.removesuffix(FINAL) for n in known}
        rule = f"study {name!r} is not in the storage {masked(storage.url)}"
        raise InputError(
            f"{rule}; check GRIDLESS_HOME and GRIDLESS_STORAGE; {nearest(name, searches)}"
        )
    return tuple(_stored(storage, n) for n in found)


def _stored(storage: LedgerStorage, name: str) -> StoredStudy:
    study_id, attrs = find_study(storage, name)
    return StoredStudy(name, study_id, str(attrs.get("uid", "")), attrs)
