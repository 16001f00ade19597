"""Finds a stored trial that can be compared with, and all that its training depended on."""

from collections.abc import Mapping
from dataclasses import dataclass

from search.errors import InputError
from search.records import State, StudyRecord, TrialRecord
from search.study.settings import FINAL
from search.study.spec import StudySpec, stored_spec_of
from search.study.storage.ledger import stored_spec
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.read import read_study


@dataclass(frozen=True)
class Recorded:
    """A trial as it is stored, and what it belongs to."""

    spec: StudySpec
    trial: TrialRecord
    environment: Mapping[str, str]
    """What it ran on, last if on several."""
    n_environments: int = 1
    """On how many different ones its segments ran."""


def find_recorded(
    storage: LedgerStorage, study: str, number: int, replicate: int | None = None
) -> Recorded:
    """Trial `number` of `study`, or the `replicate`-th, from 0, of those that repeat it in
    `<study>.final`.

    Raises InputError when it is not in the storage, or its record is not one that can be compared
    with.
    """
    record = read_study(storage, study)
    if replicate is not None:
        number = _replicate(storage, record, number, replicate)
        record = read_study(storage, study + FINAL)
    trial = _trial(record, number)
    if problem := _unfit(trial):
        raise InputError(f"trial {number} of {record.name} {problem}")
    spec = stored_spec_of(record.name, {"spec": record.spec})
    device = {"device": trial.device} if trial.device else {}
    ran_on = record.environment
    if trial.environments:
        ran_on = record.environments.get(trial.environments[-1], {})
    facts = {"threads": str(spec.threads)} | dict(ran_on) | device
    return Recorded(spec, trial, facts, max(1, len(trial.environments)))


def _trial(record: StudyRecord, number: int) -> TrialRecord:
    trial = next((t for t in record.trials if t.number == number), None)
    if trial is None:
        numbers = f"it has 0 to {record.trials[-1].number}" if record.trials else "it has none yet"
        raise InputError(f"study {record.name!r} has no trial {number}; {numbers}")
    return trial


def _replicate(storage: LedgerStorage, record: StudyRecord, number: int, k: int) -> int:
    """The number that the `k`-th replicate of trial `number` has in the study of finalists."""
    if record.name.endswith(FINAL):
        raise InputError(
            f"--replicate {k}: the trials of {record.name} are replicates; give the number of one"
            " alone"
        )
    _trial(record, number)
    spec = stored_spec(storage, record.name + FINAL)
    if spec is None:
        raise InputError(
            f"study {record.name!r} has no replicates: there is no study {record.name + FINAL!r}"
        )
    replicates = [
        i
        for i, replicate in enumerate(spec.replicates)
        if replicate.source == number and not replicate.is_pilot
    ]
    if not replicates:
        finalists = sorted({r.source for r in spec.replicates if r.source is not None})
        raise InputError(
            f"trial {number} has no replicates; trials {', '.join(map(str, finalists))} have"
        )
    if not 0 <= k < len(replicates):
        raise InputError(f"trial {number} has no replicate {k}; it has 0 to {len(replicates) - 1}")
    return replicates[k]


def _unfit(trial: TrialRecord) -> str | None:
    """Why there is nothing to compare with, or None."""
    if trial.state == State.RUNNING:
        return "is running, or its worker was lost; let the study go on to its end, then ask again"
    if trial.state == State.WAITING and not trial.paused:
        return "waits for a worker to go on with it; let the study go on to its end, then ask again"
    if trial.seed is None:
        return (
            f"has no seed: it ended before it began ({trial.reason or 'for no recorded reason'});"
            " choose another"
        )
    if trial.state != State.FAIL and not trial.curve:
        return (
            f"has no completed epoch to compare with ({trial.reason or 'for no recorded reason'});"
            " choose another"
        )
    if [epoch.step for epoch in trial.curve] != list(range(1, trial.epochs + 1)):
        return "has a damaged record: epochs are missing from it; choose another"
    return None
