"""Trials as the database holds them, read by as few and as narrow queries as do: what Optuna's own reading builds of
each row besides costs more than all the rest of a claim.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import TrialState
from sqlalchemy.orm import Session

from search.study.database import models

_MAX_NAMED = 10_000
"""Rows that one statement names; databases allow some more."""


class StoredTrial(NamedTuple):
    """A trial's row, with what Gridless keeps of it. Times are local, without a zone, as Optuna has them."""

    trial_id: int
    number: int
    state: TrialState
    params: dict[str, Any]
    attrs: dict[str, Any]
    """Its user attributes."""
    started: datetime | None
    ended: datetime | None


def select_trials(session: Session, study_id: int, named: Iterable[int], newest: int) -> list[StoredTrial]:
    """Rows of a study whose trial_id is in `named` or above `newest` (-1 for all rows), by trial_id."""
    trial, param, attr = models.TrialModel, models.TrialParamModel, models.TrialUserAttributeModel
    among = set(named)
    if len(among) > _MAX_NAMED:
        among, newest = set(), -1
    chosen = (trial.study_id == study_id) & ((trial.trial_id > newest) | trial.trial_id.in_(among))
    rows = session.scalars(sa.select(trial).where(chosen).order_by(trial.trial_id)).all()
    params: dict[int, dict[str, Any]] = {row.trial_id: {} for row in rows}
    attrs: dict[int, dict[str, Any]] = {row.trial_id: {} for row in rows}
    own = (param.trial_id, param.param_name, param.param_value, param.distribution_json)
    for trial_id, name, value, kind in session.execute(_of(chosen, param, own).order_by(param.param_id)):
        if trial_id in params:  # not one that was made since
            params[trial_id][name] = _distribution(kind).to_external_repr(value)
    for trial_id, key, text in session.execute(_of(chosen, attr, (attr.trial_id, attr.key, attr.value_json))):
        if trial_id in attrs:
            attrs[trial_id][key] = json.loads(text)
    return [
        StoredTrial(
            t.trial_id, t.number, t.state, params[t.trial_id], attrs[t.trial_id], t.datetime_start, t.datetime_complete
        )
        for t in rows
    ]  # fmt: skip


def _of(chosen: Any, table: Any, columns: tuple[Any, ...]) -> Any:
    return sa.select(*columns).join(models.TrialModel, models.TrialModel.trial_id == table.trial_id).where(chosen)


@lru_cache(maxsize=1024)
def _distribution(kind: str) -> BaseDistribution:
    return json_to_distribution(kind)
