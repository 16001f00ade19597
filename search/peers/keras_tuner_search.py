"""KerasTuner's Hyperband and BayesianOptimization."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import keras_tuner

from search.peers.fitting import Fits
from search.peers.meter import Meter
from search.peers.task import Task
from search.space.types import ChoiceParam, ConstantParam, FloatParam, IntParam, Space

_PLENTY = 1_000_000


def hyperband(task: Task, meter: Meter) -> None:
    """Hyperband as it comes, one iteration after the other, until the budget is spent."""
    _search(
        keras_tuner.Hyperband, task, meter, max_epochs=task.epochs, hyperband_iterations=_PLENTY,
    )  # fmt: skip


def bayesian(task: Task, meter: Meter) -> None:
    """BayesianOptimization as it comes, every setting for all epochs, until the budget is spent."""
    _search(keras_tuner.BayesianOptimization, task, meter, max_trials=_PLENTY)


def ask(hp: Any, space: Space) -> dict[str, Any]:
    """A setting of `space` by KerasTuner's `hp`, the document's values as defaults, conditions as its scopes."""
    setting: dict[str, Any] = {}
    for name in space.order:
        param = space.params[name]
        with ExitStack() as scopes:
            for parent, values in (param.when or {}).items():
                scopes.enter_context(hp.conditional_scope(parent, list(values)))
            value = _ask(hp, name, param, space.document.get(name))
        if name in space.active(setting):
            setting[name] = value
    return setting


def _ask(hp: Any, name: str, param: FloatParam | IntParam | ChoiceParam | ConstantParam, default: Any) -> Any:
    match param:
        case ConstantParam():
            return hp.Fixed(name, param.value)
        case ChoiceParam():
            return hp.Choice(name, list(param.choices), default=default)
        case IntParam() | FloatParam():
            kind = hp.Int if isinstance(param, IntParam) else hp.Float
            return kind(
                name, param.low, param.high, step=param.step, sampling="log" if param.log else "linear", default=default
            )


class _Model(keras_tuner.HyperModel):  # type: ignore[misc]  # keras_tuner has no types
    def __init__(self, task: Task, meter: Meter) -> None:
        super().__init__()
        self._space = task.search_space
        self._fits = Fits(task, meter)

    def build(self, hp: Any) -> Any:
        return self._fits.build(ask(hp, self._space))

    def fit(self, hp: Any, model: Any, **options: Any) -> Any:
        return self._fits.fit(model, ask(hp, self._space), **options)


def _search(tuner: Any, task: Task, meter: Meter, **options: Any) -> None:
    searcher = tuner(
        _Model(task, meter), objective="val_accuracy", seed=task.seed, directory=str(Path.cwd()), project_name="tuner",
        **options,
    )  # fmt: skip
    searcher.search(epochs=task.epochs, verbose=0)
