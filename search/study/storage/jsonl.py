"""A study as JSON lines and back: its attributes, then a line per trial, as Optuna has them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, TrialState

from search.errors import InputError
from search.records import StudyRecord
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import QUEUE
from search.study.storage.read import ENDED_BY, StoredStudy, ended_by, read_study
from search.study.storage.tracked import BOOKKEEPING, REPORTED
from search.study.storage.trial_rows import DamagedError, StoredTrial
from search.untrusted import parse_json

_LOCAL = (QUEUE, REPORTED, *BOOKKEEPING)
"""What attributes begin with that are of no use outside their storage."""
SCHEMA = "gridless.study/1"
"""The first line's `schema`. A reader of version 1 can read whatever says 1."""


def study_lines(storage: LedgerStorage, study: StoredStudy) -> Iterator[bytes]:
    """Everything that the storage holds of `study`, of its place on the queue only why it ended
    early.

    The same bytes for the same content. Raises RetryLaterError when the storage is out of reach.
    """
    attrs = {k: v for k, v in study.attrs.items() if not k.startswith(_LOCAL)}
    attrs |= {ENDED_BY: why} if (why := ended_by(study.attrs)) else {}
    yield _line({"schema": SCHEMA, "study": study.name, "attrs": _ordered(attrs)})
    for trial in storage.whole_trials(study.study_id):
        yield _line(_as_dict(trial))


def read_lines(lines: Iterable[bytes]) -> StudyRecord:
    """The study that `study_lines` wrote. Raises InputError if cut short or of another version."""
    try:
        head, *rows = (parse_json(line) for line in lines)
        schema = head["schema"]
        if not isinstance(head["study"], str):
            raise TypeError(f"the study's name is {head['study']!r}")
        if schema == SCHEMA:
            return read_study(cast(LedgerStorage, _Lines(head, rows)), head["study"])
    except DamagedError as error:  # of a file another copy is the remedy
        cause = error.__cause__
        raise InputError(
            f"the stored record is damaged ({type(cause).__name__}: {cause}); take another copy"
        ) from cause
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"the stored record is damaged ({type(error).__name__}: {error}); take another copy"
        ) from error
    raise InputError(
        f"the stored record has the schema {schema!r}, here {SCHEMA!r} is read; install a newer"
        " version"
    )


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def _ordered(content: Mapping[Any, Any]) -> dict[Any, Any]:
    """By key: databases return rows in any order. Inside values order may mean something."""
    return dict(sorted(content.items()))


class _Lines:
    """Answers `read_study` as a storage does."""

    def __init__(self, head: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> None:
        self._name, self._attrs = head["study"], head["attrs"]
        self._trials = [_as_trial(row) for row in rows]

    def read_study(self, name: str) -> tuple[int, dict[str, Any]] | None:
        return (0, self._attrs) if name == self._name else None

    def read_trials(self, _study_id: int, _pending: set[int], _newest: int) -> list[StoredTrial]:
        return self._trials

    def study_names(self) -> list[str]:
        return [self._name]


def _as_dict(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.name,
        "values": trial.values,
        "params": _ordered(trial.params),
        "distributions": {
            name: json.loads(distribution_to_json(d))
            for name, d in _ordered(trial.distributions).items()
        },
        "intermediate_values": _ordered(trial.intermediate_values),
        "user_attrs": _ordered(
            {k: v for k, v in trial.user_attrs.items() if not k.startswith(_LOCAL)}
        ),
        "system_attrs": _ordered(trial.system_attrs),
        "started": _as_text(trial.datetime_start),
        "ended": _as_text(trial.datetime_complete),
    }


def _as_trial(row: Mapping[str, Any]) -> StoredTrial:
    times = _as_time(row["started"]), _as_time(row["ended"])
    return StoredTrial(
        row["number"],
        row["number"],
        TrialState[row["state"]],
        row["params"],
        row["user_attrs"],
        *times,
    )


def _as_text(local: datetime | None) -> str | None:
    """Optuna's times are local and say no zone."""
    return local.astimezone(UTC).isoformat() if local else None


def _as_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone().replace(tzinfo=None) if text else None
