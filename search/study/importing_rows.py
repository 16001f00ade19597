"""Past trials as plain values, and how they become settings of a space. Pure."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from search.registry import nearest
from search.space.fields import ChoiceParam, IntParam, Param, problem_of
from search.space.hyperparameters import names_of
from search.space.settings import fill
from search.space.types import Space
from search.space.values import same, show

ALIASES = {"learning_rate": "lr"}
"""What libraries call a parameter that has another name here."""


@dataclass(frozen=True)
class PastTrial:
    """One trial that another program ran."""

    row: str
    """Tells it from the others of its source, whenever that is read."""
    values: Mapping[str, Any]
    """By the names that the source has for its parameters."""
    val_accuracy: Any
    """As the source has it; a fraction, if it is one that can be taken over."""
    problem: str | None = None
    """Why it is no finished trial with a validation accuracy; None if it is one as far as the source says."""
    curve: tuple[float, ...] = ()
    """The validation accuracy after each epoch, where the source kept it."""
    seconds: float | None = None
    """What its training took."""


@dataclass(frozen=True)
class Past:
    """What one source holds."""

    kind: str
    """keras-tuner, cv_results_, optuna or csv."""
    place: str
    trials: tuple[PastTrial, ...]
    hyperparameters: tuple[Mapping[str, Any], ...] = ()
    """KerasTuner's, as `search.space.hyperparameters` takes them."""


class Fitted(NamedTuple):
    """A past trial as one of ours."""

    row: str
    setting: dict[str, Any]
    curve: tuple[float, ...]
    """Validation accuracies, one at least."""
    seconds: float | None


class Rejected(NamedTuple):
    """A past trial that can't be one of ours."""

    row: str
    reason: str


def fit(trial: PastTrial, space: Space, *, assumed: Collection[str], renamed: Mapping[str, str]) -> Fitted | Rejected:
    """`trial` as one of `space`, or why it can't be.

    Of `assumed` parameters, which the source knows nothing of, it gets the document's values. `renamed` leads from the
    source's names to those of the space.
    """
    if trial.problem:
        return Rejected(trial.row, trial.problem)
    if problem := _accuracy_problem(trial.val_accuracy):
        return Rejected(trial.row, problem)
    setting, problems = _setting(trial.values, space, assumed, renamed)
    if problems:
        return Rejected(trial.row, "; ".join(problems))
    curve = trial.curve if trial.curve and max(trial.curve) == trial.val_accuracy else (float(trial.val_accuracy),)
    return Fitted(trial.row, setting, curve, trial.seconds)


def unknown_to(past: Past, space: Space, renamed: Mapping[str, str]) -> list[str]:
    """The parameters of `space` that no trial of `past` has a value for."""
    told = {own for trial in past.trials for name in trial.values for own in _own_names(name, space, renamed)}
    return [name for name in space.params if name not in told]


def _accuracy_problem(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return f"its validation accuracy is {show(value)}, not a number"
    return None if 0 <= value <= 1 else f"its score {value:g} is no accuracy, which is a fraction from 0 to 1"


def _setting(
    values: Mapping[str, Any], space: Space, assumed: Collection[str], renamed: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    wanted: dict[str, Any] = {}
    problems = []
    for name, value in values.items():
        owns = _own_names(name, space, renamed)
        taken = {own: _as(space.params[own], value) for own in owns}
        fitting = {own: v for own, v in taken.items() if problem_of(space.params[own], v) is None}
        if not owns:
            problems.append(f"{name}: is not a parameter of the space; {nearest(name, space.params)}, or give --rename")
        elif not fitting:
            problems.append(f"{name}: {problem_of(space.params[owns[0]], taken[owns[0]])}")
        wanted |= fitting
    if problems:
        return {}, problems
    setting = fill(space.params, space.document, wanted)
    told = {own: name for name in values for own in _own_names(name, space, renamed)}
    for own in setting:
        if own in told and own not in wanted:
            problems.append(f"{told[own]}: {problem_of(space.params[own], _as(space.params[own], values[told[own]]))}")
        elif own not in told and own not in assumed:
            problems.append(f"{own}: is missing")
    return setting, problems


def _own_names(name: str, space: Space, renamed: Mapping[str, str]) -> list[str]:
    """The parameters of `space` that the source's `name` stands for: several where scopes define it differently."""
    if name in renamed:
        return [renamed[name]]
    last = name.rpartition("__")[2]  # of scikit-learn's path of steps, model__units
    for candidate in dict.fromkeys((name, last, ALIASES.get(name, name), ALIASES.get(last, last))):
        if found := [own for own in names_of(candidate) if own in space.params]:
            return found
    return []


def _as(param: Param, value: Any) -> Any:
    """`value` as the parameter writes it: files of text know no types, and pandas makes numbers with gaps floats."""
    if isinstance(value, float) and value.is_integer() and isinstance(param, IntParam):
        return int(value)
    if isinstance(param, ChoiceParam) and not any(same(c, value) for c in param.choices):
        return next((c for c in param.choices if str(c) == str(value)), value)
    return value
