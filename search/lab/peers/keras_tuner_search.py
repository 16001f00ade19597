"""KerasTuner's Hyperband and BayesianOptimization."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import keras_tuner

from search.lab.peers.fitting import Fits
from search.lab.peers.meter import Meter
from search.lab.peers.task import Task
from search.space.params import as_written
from search.space.space import ChoiceParam, ConstantParam, FloatParam, IntParam, Param, Space

_PLENTY = 1_000_000
_SEEDS_APART = 100_003


def hyperband(task: Task, meter: Meter) -> None:
    """Hyperband as it comes, one iteration after the other, until the budget is spent."""
    _search(
        keras_tuner.Hyperband,
        task,
        meter,
        max_epochs=task.epochs,
        hyperband_iterations=_PLENTY,
    )


def bayesian(task: Task, meter: Meter) -> None:
    """BayesianOptimization as it comes, every setting for all epochs, until the budget is spent."""
    _search(keras_tuner.BayesianOptimization, task, meter, max_trials=_PLENTY)


def ask(hp: Any, space: Space) -> dict[str, Any]:
    """A setting of `space` by KerasTuner's `hp`, the document's values as defaults, conditions as
    its scopes.

    Its scopes have no conditions on two parameters that don't depend on each other: what hangs on
    such is asked for when it is active, which KerasTuner then takes to be always so.
    """
    setting: dict[str, Any] = {}
    for name in space.order:
        is_active = name in space.active(setting)
        scopes = _scopes(space, name)
        if scopes is None and not is_active:
            continue
        with ExitStack() as opened:
            for parent, values in scopes or ():
                opened.enter_context(hp.conditional_scope(parent, values))
            answer = _ask(hp, name, space.params[name], space.document.get(name))
        if is_active:
            setting[name] = _choice_of(space.params[name], answer)
    return setting


def _scopes(space: Space, name: str) -> list[tuple[str, list[Any]]] | None:
    """Parents of `name` with the values needed, outermost first; None where one needs two."""
    when = space.params[name].when or {}
    if not when:
        return []
    parent, values = next(iter(when.items()))
    outer = _scopes(space, parent)
    if len(when) > 1 or outer is None:
        return None
    match space.params[parent]:
        case ConstantParam():
            return outer
        case ChoiceParam(choices=choices):
            labels = _labels(choices)
            written = [as_written(space.params[parent], value) for value in values]
            return [*outer, (parent, [labels[choices.index(value)] for value in written])]
        case _:
            return [*outer, (parent, list(values))]


def _labels(choices: Sequence[Any]) -> list[Any]:
    """`choices` as KerasTuner takes them: of one type, none of them null or a truth value."""
    kinds = {type(choice) for choice in choices}
    if len(kinds) == 1 and kinds <= {int, float, str}:
        return list(choices)
    if kinds <= {int, float}:
        return [float(choice) for choice in choices]
    return [repr(choice) for choice in choices]


def _choice_of(param: Param, answer: Any) -> Any:
    """What KerasTuner's `answer` means."""
    if isinstance(param, ChoiceParam):
        return param.choices[_labels(param.choices).index(answer)]
    return answer


def _ask(hp: Any, name: str, param: Param, default: Any) -> Any:
    match param:
        case ConstantParam():
            return param.value
        case ChoiceParam(choices=choices):
            labels = _labels(choices)
            first = labels[choices.index(default)] if default in choices else None
            return hp.Choice(name, labels, default=first)
        case IntParam() | FloatParam():
            kind = hp.Int if isinstance(param, IntParam) else hp.Float
            return kind(
                name,
                param.low,
                param.high,
                step=param.step,
                sampling="log" if param.log else "linear",
                default=default,
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
    # KerasTuner takes 0 for no seed, and adds 1 to its seed for every value that it draws.
    seed = 1 + task.seed * _SEEDS_APART
    searcher = tuner(
        _Model(task, meter),
        objective="val_accuracy",
        seed=seed,
        directory=str(Path.cwd()),
        project_name="tuner",
        **options,
    )
    searcher.search(epochs=task.epochs, verbose=0)
