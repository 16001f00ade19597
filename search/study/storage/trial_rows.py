"""Trials as the database holds them, read by as few and as narrow queries as do: what Optuna's own
reading builds of each row besides costs more than all the rest of a claim. And what to say where it
holds what can't be read.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from pydantic import ValidationError
from sqlalchemy.orm import Session

from search.errors import InputError
from search.study.storage.database import models, root_cause

_MAX_NAMED = 10_000
"""Rows that one statement names; databases allow some more."""
_REASON_CHARS = 200
_NO_TEXT = "Could not decode to UTF-8"
"""SQLite's words for text that is none."""


class DamagedError(InputError):
    """What is stored of a study can't be read: bring back a copy. Others are as they were."""


@contextmanager
def decoding(study: str, trial: int | None = None) -> Iterator[None]:
    """Around the decoding of what is stored of `study`, and of nothing else: a fault in it becomes
    a DamagedError.

    `trial` is the number of the trial that it belongs to, where that is known.
    """
    try:
        yield
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        raise DamagedError(_damage(study, trial, error)) from error
    except (sa.exc.DBAPIError, StorageInternalError) as error:
        if _NO_TEXT not in str(root_cause(error)):
            raise
        raise DamagedError(_damage(study, trial, root_cause(error))) from error


def _damage(study: str, trial: int | None, error: BaseException) -> str:
    where = "" if trial is None else f"trial {trial}: "
    text = str(error)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        text = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    reason = f"{where}{type(error).__name__}: {' '.join(text.split())[:_REASON_CHARS]}"
    rule = f"study {study!r}: its stored record is damaged ({reason})"
    return f"{rule}; bring back a copy of the database, or `gridless delete` the study"


class StoredTrial(NamedTuple):
    """A trial's row, with what Gridless keeps of it. Times are local, without a zone."""

    trial_id: int
    number: int
    state: TrialState
    params: dict[str, Any]
    attrs: dict[str, Any]
    """Its user attributes."""
    started: datetime | None
    ended: datetime | None
    study: str = ""
    """The name of its study."""


def select_trials(
    session: Session, study: Any, named: Iterable[int], newest: int, limit: int | None = None
) -> list[StoredTrial]:
    """Rows of a study (a StudyModel) whose trial_id is in `named` or above `newest` (-1 for all
    rows), by trial_id, at most `limit`.

    Raises DamagedError when one of them can't be read.
    """
    trial, param, attr = models.TrialModel, models.TrialParamModel, models.TrialUserAttributeModel
    among = set(named)
    if len(among) > _MAX_NAMED:
        among, newest = set(), -1
    chosen = (trial.study_id == study.study_id) & (
        (trial.trial_id > newest) | trial.trial_id.in_(among)
    )
    columns = (param.trial_id, param.param_name, param.param_value, param.distribution_json)
    with decoding(study.study_name):  # states, times and text, by the driver
        query = sa.select(trial).where(chosen).order_by(trial.trial_id).limit(limit)
        rows = session.scalars(query).all()
        if limit is not None and rows:
            chosen &= trial.trial_id <= rows[-1].trial_id
        params = _by_trial(session, _of(chosen, param, columns).order_by(param.param_id))
        attrs = _by_trial(session, _of(chosen, attr, (attr.trial_id, attr.key, attr.value_json)))
    trials = []
    for t in rows:
        with decoding(study.study_name, t.number):
            values = {
                name: _distribution(kind).to_external_repr(value)
                for name, value, kind in params[t.trial_id]
            }
            user_attrs = {key: json.loads(text) for key, text in attrs[t.trial_id]}
        times = t.datetime_start, t.datetime_complete
        trials.append(
            StoredTrial(t.trial_id, t.number, t.state, values, user_attrs, *times, study.study_name)
        )
    return trials


def _by_trial(session: Session, query: Any) -> dict[int, list[Any]]:
    """The rows of `query` by their first column, a trial_id; some of trials made since."""
    by_trial: dict[int, list[Any]] = defaultdict(list)
    for trial_id, *columns in session.execute(query):
        by_trial[trial_id].append(columns)
    return by_trial


def _of(chosen: Any, table: Any, columns: tuple[Any, ...]) -> Any:
    return (
        sa.select(*columns)
        .join(models.TrialModel, models.TrialModel.trial_id == table.trial_id)
        .where(chosen)
    )


@lru_cache(maxsize=1024)
def _distribution(kind: str) -> BaseDistribution:
    return json_to_distribution(kind)
