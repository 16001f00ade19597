"""One trial of a tuner, in the process that trains it."""

import pickle
from collections.abc import Iterator, Mapping, Sequence
from types import FunctionType
from typing import Any

import cloudpickle
import keras
import numpy as np
from keras_tuner.engine.trial import Trial
from keras_tuner.src.engine import tuner_utils

from search.keras_tuner.stored_call import restored
from search.keras_tuner.trials import hp_of, trial_id

_PLAIN = (bool, int, float, str, type(None), FunctionType, np.generic, np.ndarray)


def train(recipe: Mapping[str, Any], trial: Any) -> None:
    """Train `trial`, a loop's, as the tuner of `recipe` does, and report its epochs.

    A trial that `goes_on` reports as it trains; of any other what it came to is reported at its
    end: the epochs of the history that it returns, or one step with the metrics.
    """
    keras.config.disable_interactive_logging()  # a log needs no bars
    tuner = recipe["kind"].of(recipe)
    tuner.folder = trial.folder
    args, kwargs = restored(recipe["args"]), restored(recipe["kwargs"])
    total = trial.params.get("epochs", recipe["total"])
    steps = iter(trial.steps(total))
    keras.utils.set_random_seed(trial.seed)
    hp = hp_of(trial.params, recipe["names"], tuner.arguments.instead)
    theirs = Trial(hp, trial_id(trial.number))
    tuner.oracle.trials[theirs.trial_id] = theirs
    if recipe["goes_on"]:
        tuner.segment = Segment(trial, steps, tuner.oracle.objective)
        if tuner.segment.is_left:
            tuner.run_trial(theirs, *args, **kwargs)
        return
    results = tuner.run_trial(theirs, *args, **kwargs)
    reports = _metrics(results, theirs, tuner.oracle.objective, total)
    for metrics, step in zip(reports, steps, strict=False):
        trial.report(step, **metrics)


def _metrics(results: Any, trial: Any, objective: Any, total: int) -> Sequence[Mapping[str, float]]:
    """What a trial came to, by its epochs or at once. Raises KerasTuner's errors for other things
    than it takes.
    """
    if results is None and trial.metrics.exists(objective.name):  # by oracle.update_trial
        return [{name: trial.metrics.get_best_value(name) for name in trial.metrics.metrics}]
    tuner_utils.validate_trial_results(results, objective, "Tuner.run_trial()")
    only = results[0] if isinstance(results, list) and len(results) == 1 else results
    if isinstance(only, keras.callbacks.History) and 0 < len(only.epoch) <= total:
        epochs = zip(*only.history.values(), strict=True)
        logs = [dict(zip(only.history, values, strict=True)) for values in epochs]
        return [with_objective(each, objective) for each in logs]
    return [with_objective(tuner_utils.convert_to_metrics_dict(results, objective), objective)]


def logged(name: str) -> str:
    """What an objective of KerasTuner's is called in a study."""
    return name if name.startswith("val_") else f"val_logged_{name}"


def with_objective(logs: Mapping[str, Any], objective: Any) -> dict[str, float]:
    """`logs` with the value of `objective` by its name, as far as they have it."""
    values = {name: float(value) for name, value in logs.items()}
    if objective.has_value(logs):
        values[logged(objective.name)] = float(objective.get_value(logs))
    return values


class Segment:
    """A trial's way from where it was stopped to its end, or to where it is stopped again."""

    def __init__(self, trial: Any, steps: Iterator[int], objective: Any) -> None:
        self._trial, self._steps, self._objective = trial, steps, objective
        saved = trial.restore()
        self._saved = pickle.loads(saved) if saved is not None else None  # noqa: S301  # our own
        self._step = next(steps, None)

    @property
    def is_left(self) -> bool:
        """Whether there is an epoch to train."""
        return self._step is not None

    def take_up(self, model: Any) -> None:
        """Let `model` go on where it was stopped."""
        if self._saved is None:
            return
        if not model.built:
            model.build_from_config(self._saved["build"])
        model.optimizer.build(model.trainable_variables)
        for variable, value in zip(_state(model), self._saved["variables"], strict=True):
            variable.assign(value)

    def arguments(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Those of `fit`, with where it begins and who reports."""
        callbacks = [*kwargs.get("callbacks", ())]
        first = {} if self._saved is None else {"initial_epoch": self._saved["epochs"]}
        return {**kwargs, **first, "callbacks": [*callbacks, _Reporter(self, callbacks)]}

    def begin(self, callbacks: Sequence[Any]) -> None:
        """Let `callbacks` go on where they were."""
        values = self._saved["callbacks"] if self._saved else [{}] * len(callbacks)
        for callback, plain in zip(callbacks, values, strict=True):
            vars(callback).update(plain)

    def end_epoch(self, model: Any, callbacks: Sequence[Any], epochs: int, logs: Any) -> None:
        """Save what is needed to go on, report `logs`, and stop `model` where nothing follows."""
        state = {
            "epochs": epochs,
            "variables": [keras.ops.convert_to_numpy(variable) for variable in _state(model)],
            "build": model.get_build_config(),
            "callbacks": [_plain(callback) for callback in callbacks],
        }
        self._trial.save(cloudpickle.dumps(state))
        self._trial.report(epochs, **with_objective(logs or {}, self._objective))
        if next(self._steps, None) is None:
            model.stop_training = True


def _state(model: Any) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


def _plain(callback: Any) -> dict[str, Any]:
    """What of a callback another process can go on with: counts, best values, best weights."""
    return {name: value for name, value in vars(callback).items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    return isinstance(value, _PLAIN) or (isinstance(value, list) and all(map(_is_plain, value)))


class _Reporter(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """The last of a trial's callbacks."""

    def __init__(self, segment: Segment, others: Sequence[Any]) -> None:
        super().__init__()
        self._segment, self._others = segment, others

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._segment.begin(self._others)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._segment.end_epoch(self.model, self._others, epoch + 1, logs)
