"""Past trials as plain values, and how they become settings of a space. Pure."""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from search.registry import nearest
from search.space.from_kerastuner import names_of
from search.space.params import ChoiceParam, ConstantParam, IntParam, Param, ends, problem_of
from search.space.setting import fill
from search.space.space import Space
from search.space.values import same, show

ALIASES = {
    "learning_rate": "lr",
    "dropout_rate": "dropout",
    "num_unit": "units",
    "num_units": "units",
}
"""What libraries and the documents call a parameter that has another name here."""
_OBJECT = re.compile(r"<(?:class |function |built-in function |bound method )?'?([\w.]+)")
"""How Python writes a class, a function or an object."""


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
    """Why it is no finished trial with a validation accuracy; None if it seems to be one."""
    curve: tuple[float, ...] = ()
    """The validation accuracy after each epoch, where the source kept it."""
    seconds: float | None = None
    """What its training took."""
    shown_as: str = ""
    """What people are told of as its row, where that is not `row`."""


@dataclass(frozen=True)
class Past:
    """What one source holds."""

    kind: str
    """keras-tuner, cv_results_, optuna or csv."""
    place: str
    trials: tuple[PastTrial, ...]
    hyperparameters: tuple[Mapping[str, Any], ...] = ()
    """KerasTuner's, as `search.space.from_kerastuner` takes them."""


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


def fit(
    trial: PastTrial, space: Space, *, assumed: Collection[str], renamed: Mapping[str, str]
) -> Fitted | Rejected:
    """`trial` as one of `space`, or why it can't be.

    Of `assumed` parameters, which the source knows nothing of, it gets the document's values.
    `renamed` leads from the source's names to those of the space.
    """
    row = trial.shown_as or trial.row
    if trial.problem:
        return Rejected(row, trial.problem)
    if problem := _accuracy_problem(trial.val_accuracy):
        return Rejected(row, problem)
    setting, problems = _setting(trial.values, space, assumed, renamed)
    if problems:
        return Rejected(row, "; ".join(problems))
    curve = (
        trial.curve
        if trial.curve and max(trial.curve) == trial.val_accuracy
        else (float(trial.val_accuracy),)
    )
    return Fitted(trial.row, setting, curve, trial.seconds)


def unknown_to(past: Past, space: Space, renamed: Mapping[str, str]) -> list[str]:
    """The parameters of `space` that no trial of `past` has a value for."""
    names = set(chain.from_iterable(trial.values for trial in past.trials))
    valued = set(chain.from_iterable(_param_names(name, space, renamed) for name in names))
    return [name for name in space.params if name not in valued]


def names_in(past: Past) -> set[str]:
    """The names of the parameters of `past`, with and without scikit-learn's path of steps."""
    names = set(chain.from_iterable(trial.values for trial in past.trials))
    return names | {_last(name) for name in names}


def _last(name: str) -> str:
    return name.rpartition("__")[2]  # of scikit-learn's path of steps, model__units


def _accuracy_problem(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return f"its validation accuracy is {show(value)}, not a number"
    if not 0 <= value <= 1:
        return f"its score {value:g} is no accuracy, which is a fraction from 0 to 1"
    return None


def _setting(
    values: Mapping[str, Any], space: Space, assumed: Collection[str], renamed: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    chosen: dict[str, Any] = {}
    problems = []
    for name, value in values.items():
        params = _param_names(name, space, renamed)
        taken = {param: _as(space.params[param], value) for param in params}
        fitting = {
            param: v for param, v in taken.items() if problem_of(space.params[param], v) is None
        }
        if not params:
            problems.append(
                f"{name}: is not a parameter of the space; {nearest(name, space.params)}, or give"
                " --rename"
            )
        elif not fitting:
            problems.append(f"{name}: {problem_of(space.params[params[0]], taken[params[0]])}")
        chosen |= fitting
    if problems:
        return {}, problems
    setting = fill(space.params, space.document, chosen)
    source_names: dict[str, str] = {}
    for name in values:
        source_names |= dict.fromkeys(_param_names(name, space, renamed), name)
    for param in setting:
        if param in source_names and param not in chosen:
            name = source_names[param]
            value = _as(space.params[param], values[name])
            problems.append(f"{name}: {problem_of(space.params[param], value)}")
        elif param not in source_names and param not in assumed:
            problems.append(f"{param}: is missing")
    return setting, problems


def _param_names(name: str, space: Space, renamed: Mapping[str, str]) -> list[str]:
    """The parameters of `space` for the source's `name`: several where scopes define it."""
    last = _last(name)
    for theirs in (name, last):
        if theirs in renamed:
            return [renamed[theirs]]
    for candidate in dict.fromkeys((name, last, ALIASES.get(name, name), ALIASES.get(last, last))):
        if names := [param for param in names_of(candidate) if param in space.params]:
            return names
    return []


def _as(param: Param, value: Any) -> Any:
    """`value` as the parameter writes it: text has no types, pandas makes integers floats."""
    if isinstance(value, float) and value.is_integer() and isinstance(param, IntParam):
        return int(value)
    listed = ends(param) if isinstance(param, ChoiceParam | ConstantParam) else ()
    if any(same(c, value) for c in listed):
        return value
    for plain in (str, _plain):
        for choice in listed:
            if plain(choice) == plain(value):
                return choice
    return value


def _plain(value: Any) -> str:
    """A value's name, however written: sgd for SGD, for the class and for its object."""
    if isinstance(value, Mapping):  # as Keras writes one
        value = value.get("class_name")
    text = str(value)
    match = _OBJECT.match(text)
    return (match[1].rpartition(".")[2] if match else text).replace("_", "").lower()
