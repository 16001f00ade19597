"""A stored study's trials as KerasTuner's."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_tuner.engine.trial import Trial, TrialStatus

from search.records import State, TrialRecord, has_rank
from search.space.from_kerastuner import names_of
from search.training.hypermodel import setting_hp

_STATUS = {
    State.WAITING: TrialStatus.IDLE,
    State.RUNNING: TrialStatus.RUNNING,
    State.FAIL: TrialStatus.FAILED,
}


def trial_of(record: TrialRecord, names: Sequence[str], instead: Callable[[Any], Any]) -> Trial:
    """A row of a study whose hyperparameters are called `names` in KerasTuner."""
    trial = Trial(hp_of(record.params, names, instead), trial_id(record.number))
    trial.status = _STATUS.get(record.state, TrialStatus.COMPLETED)
    trial.message = record.reason
    objective = record.objective
    trial.metrics.register(objective.key, "max" if objective.is_maximized else "min")
    for epoch in record.curve:
        measured = {name: value for name, value in epoch.values.items() if not math.isnan(value)}
        for name, value in measured.items():
            trial.metrics.update(name, value, step=epoch.step - 1)
    if has_rank(record) and record.best_epoch is not None:
        trial.score, trial.best_step = record.value, record.best_epoch - 1
    elif trial.status == TrialStatus.COMPLETED:
        trial.status = TrialStatus.FAILED
    return trial


def hp_of(params: Mapping[str, Any], names: Sequence[str], instead: Callable[[Any], Any]) -> Any:
    """KerasTuner's HyperParameters with the values of a setting of ours."""
    hp = setting_hp(params, instead)
    left = dict(params)
    for name in names:
        ours = [each for each in names_of(name) if each in params]
        if ours:
            hp.values[name] = params[ours[0]]
        left = {each: value for each, value in left.items() if each not in ours}
    hp.values |= left  # of which only the search knows what KerasTuner calls it
    return hp


def trial_id(number: int) -> str:
    """How KerasTuner calls trial `number`, from 0."""
    return f"{number:04d}"
