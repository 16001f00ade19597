"""What a storage holds, as records. Reports, views and strategies read it only through here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from pydantic import TypeAdapter

from search.bounds import bound_of
from search.errors import InputError
from search.objectives import objective_of
from search.records import ACCURATE, Goal, State, StudyRecord, TrialRecord, epoch_fields
from search.registry import nearest
from search.secret import masked
from search.study.settings import FINAL, name_problem
from search.study.storage.database import is_sqlite, models, normalize_url
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import QUEUE, QueueState
from search.study.storage.stored_spec import checked_spec
from search.study.storage.trial_rows import StoredTrial, decoding

ENDED_BY = "ended_by"
"""Where an archived study, which has no place on the queue, keeps why it ended early."""
ENVIRONMENT = "environment:"
"""What the names of the study's attributes begin with that hold what its workers ran on."""
_STUDY, _TRIAL = TypeAdapter(StudyRecord), TypeAdapter(TrialRecord)
CLAIM_LOST_REASON = "its worker was lost {n} times in a row"


def read_study(storage: LedgerStorage, name: str, *, with_trials: bool = True) -> StudyRecord:
    """Study `name` with all its trials, or with none.

    Raises InputError when the storage has no such study, DamagedError when what it has of it can't
    be read.
    """
    study_id, attrs = find_study(storage, name)
    rows = storage.read_trials(study_id, set(), -1) if with_trials else ()
    with decoding(name):
        spec = checked_spec(attrs["spec"])
        goal = goal_in(spec)
    trials = tuple(record_of(name, row, goal) for row in rows)
    with decoding(name):
        environments = {
            k.removeprefix(ENVIRONMENT): v for k, v in attrs.items() if k.startswith(ENVIRONMENT)
        }
        space = spec["space"]
        # A figure for other images would be compared with nothing.
        published = space.get("published") if space.get("data") == spec["data"] else None
        return _STUDY.validate_python(
            {
                "name": name,
                "model": spec["model"],
                "data": spec["data"],
                "spec": spec,
                "trials": trials,
                "environment": attrs.get("environment", {}),
                "environments": environments,
                "ended_by": ended_by(attrs),
                "uid": attrs.get("uid", ""),
                "made": attrs.get("made"),
                "published": published,
                **goal._asdict(),
            }
        )


def goal_in(spec: Mapping[str, Any]) -> Goal:
    """What a study is for, by its stored `spec`; those of earlier versions for accuracy.

    Raises LookupError where it can't be read.
    """
    try:
        first, *others = map(objective_of, spec.get("objective") or ("accuracy",))
        return Goal(first, tuple(others), tuple(map(bound_of, spec.get("at_most", ()))))
    except InputError as error:
        raise LookupError(str(error)) from error


def ended_by(attrs: Mapping[str, Any]) -> str:
    """Why a search ended before all trials were started; empty where it did not."""
    queue = attrs.get(QUEUE, {})
    if queue.get("state") == QueueState.DONE:
        return str(queue.get("reason", ""))
    return str(attrs.get(ENDED_BY, ""))


def find_study(storage: LedgerStorage, name: str) -> tuple[int, dict[str, Any]]:
    """The study_id and attributes of study `name`. Raises InputError without one of ours."""
    row = storage.read_study(name)
    if row is None:
        names = ", ".join(storage.study_names()) or "none"
        raise InputError(f"study {name!r} is not in the storage; known: {names}")
    _, attrs = row
    if "spec" not in attrs:
        raise InputError(
            f"study {name!r} in the storage was not made by Gridless; choose another NAME"
        )
    return row


class TrialReader:
    """Reads one study's trials again and again, each time only rows that may have changed."""

    def __init__(self, storage: LedgerStorage, study_id: int, goal: Goal = ACCURATE) -> None:
        self._storage = storage
        self._study_id = study_id
        self._goal = goal
        self._records: dict[int, TrialRecord] = {}
        """By row, in the order of their numbers: one transaction at a time starts trials."""
        self._pending: dict[int, tuple[TrialState, str | None] | None] = {}
        """Rows that may change, with their state and number of claims when they were last read."""
        self._newest = -1

    def read(self) -> list[TrialRecord]:
        """All trials by number. Raises as `LedgerStorage.read_trials` does."""
        marks = self._storage.open_trials(self._study_id) if self._pending else {}
        # A waiting trial changes only by being claimed; under halving there may be thousands.
        changed = {
            i
            for i, m in self._pending.items()
            if m is None or m != marks.get(i) or m[0] == TrialState.RUNNING
        }
        for row in self._storage.read_trials(self._study_id, changed, self._newest):
            self._records[row.trial_id] = record_of(row.study, row, self._goal)
            self._newest = max(self._newest, row.trial_id)
            if row.state.is_finished():
                self._pending.pop(row.trial_id, None)
            else:
                self._pending[row.trial_id] = marks.get(row.trial_id)
        return list(self._records.values())


def record_of(study: str, row: StoredTrial, goal: Goal = ACCURATE) -> TrialRecord:
    """A row of `study` as a record. Raises DamagedError when it can't be read."""
    with decoding(study, row.number):
        return as_record(row, goal)


_MEASURED = {"loss", "lr"}
"""What every epoch has: a regression's has no accuracy, and what begins with val_ is missing where
nothing validates.
"""


def as_record(row: StoredTrial, goal: Goal = ACCURATE) -> TrialRecord:
    """A storage row as a record of a study for `goal`."""
    attrs = row.attrs
    untrainable = bool(attrs.get("untrainable", False))
    state = State(row.state.name)
    if untrainable and row.state == TrialState.PRUNED:
        state = State.FAIL
    steps = sorted(int(k.removeprefix("epoch:")) for k in attrs if k.startswith("epoch:"))
    record = _TRIAL.validate_python(
        {
            "number": row.number,
            "state": state,
            "params": row.params,
            "curve": [epoch_fields(attrs[f"epoch:{s}"]) for s in steps],
            "total_epochs": attrs.get("total_epochs"),
            "n_params": attrs.get("n_params"),
            "seed": attrs.get("seed"),
            "device": attrs.get("device"),
            "worker": attrs.get("worker"),
            "environments": attrs.get("environments", ()),
            "paused": bool(attrs.get("paused", False)),
            "n_segments": attrs.get("n_segments", 0),
            "n_retries": attrs.get("n_retries", 0),
            "untrainable": untrainable,
            "reason": attrs.get("reason"),
            "log_tail": attrs.get("log_tail"),
            "evaluation": attrs.get("evaluation"),
            "peak_host_mb": attrs.get("peak_host_mb"),
            "peak_device_mb": attrs.get("peak_device_mb"),
            "started": _time(attrs.get("started"), row.started),
            "ended": _time(attrs.get("ended"), row.ended),
            **goal._asdict(),
            "latency_ms": attrs.get("latency_ms"),
            "batch_latency_ms": attrs.get("batch_latency_ms"),
        }
    )
    for epoch in record.curve:
        if missing := _MEASURED - epoch.values.keys():
            raise LookupError(f"epoch {epoch.step} has no {', '.join(sorted(missing))}")
    return record


def _time(at: float | None, local: datetime | None) -> datetime | None:
    """`at`, Unix seconds, as UTC; of earlier versions' trials the row's time, in local time."""
    if at is not None:
        return datetime.fromtimestamp(at, UTC)
    return local.astimezone(UTC) if local else None


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
        search = name.removesuffix(FINAL)
        raise InputError(
            f"STUDY: {name!r} holds the finalists of {search!r} and goes with it; give {search}"
        )
    if problem := name_problem(name):
        raise InputError(f"STUDY: {name!r}: {problem}")


def stored_studies(storage: LedgerStorage, name: str) -> tuple[StoredStudy, ...]:
    """Study `name` and the study of its finalists, of these two all that are there.

    Raises InputError for a bad name, when neither is there, and when one was not made by Gridless.
    """
    check_name(name)
    all_names = storage.study_names()
    names = [n for n in (name, name + FINAL) if n in all_names]
    if not names:
        searches = {n.removesuffix(FINAL) for n in all_names}
        rule = f"study {name!r} is not in the storage {masked(storage.url)}"
        raise InputError(
            f"{rule}; check GRIDLESS_HOME and GRIDLESS_STORAGE; {nearest(name, searches)}"
        )
    return tuple(_stored(storage, n) for n in names)


def _stored(storage: LedgerStorage, name: str) -> StoredStudy:
    study_id, attrs = find_study(storage, name)
    return StoredStudy(name, study_id, str(attrs.get("uid", "")), attrs)
