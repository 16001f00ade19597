"""What a program gives a tuner's constructor: kept, or refused by name."""

import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds

from search.errors import InputError
from search.registry import nearest

_REFUSED = {
    "oracle": "settings are chosen here: take RandomSearch, BayesianOptimization, Hyperband or"
    " GridSearch",
    "distribution_strategy": "each worker trains on a device of its own",
    "tuner_id": "workers are started and named here",
    "logger": "KerasTuner ignores it, too",
    "max_retries_per_trial": "a lost worker's trial goes on by itself, another fails again",
    "max_consecutive_failed_trials": "a trial that fails counts, and the search goes on",
    "num_initial_points": "the first eight settings are spread evenly",
    "alpha": "how much noise there is, is learned from the trials",
    "beta": "settings are chosen by the improvement that they promise",
    "factor": "the best third goes on",
}
"""What of KerasTuner's has no counterpart, unless it is given as it is by default."""
_CHIEF = "KERASTUNER_ORACLE_IP"


def signature_of(theirs: Any) -> inspect.Signature:
    """The arguments of KerasTuner's tuner `theirs`."""
    return inspect.signature(theirs)


@dataclass(frozen=True)
class Arguments:
    """A tuner's arguments by KerasTuner's names, defaults included, and settings of ours."""

    given: Mapping[str, Any]
    settings: Mapping[str, Any]
    home: str | None

    @classmethod
    def of(
        cls, theirs: Any, args: Sequence[Any], kwargs: Mapping[str, Any], problems: Sequence[str]
    ) -> "Arguments":
        """Those of KerasTuner's tuner `theirs`. Raises InputError with `problems` and its own."""
        parameters = _parameters(theirs)
        positional = [name for name in _names(theirs) if name != "kwargs"]
        given = {**dict(zip(positional, args, strict=False)), **kwargs}
        if len(args) > len(positional):
            raise InputError(f"{theirs.__name__} takes no {len(args)} arguments")
        settings, mistakes = _settings({n: v for n, v in given.items() if n not in parameters})
        given = {name: given.get(name, default) for name, default in parameters.items()}
        mistakes = [*problems, *mistakes, *_refused(theirs, given, parameters)]
        if mistakes:
            raise InputError(mistakes)
        directory = given.get("directory")
        return cls(given, settings, None if directory is None else str(Path(directory).absolute()))

    def go_home(self) -> None:
        """Let this process and those that it starts write where the program says."""
        if self.home is not None:
            os.environ["GRIDLESS_HOME"] = self.home

    @property
    def of_tuner(self) -> dict[str, Any]:
        """What KerasTuner's own Tuner takes, but its oracle and what could delete anything."""
        names = set(_names(keras_tuner.Tuner)) - {"oracle", "overwrite", "kwargs"}
        return {name: self.given[name] for name in names if name in self.given}

    def oracle(self) -> Any:
        """KerasTuner's, which holds the objective, the space and the trials, and chooses nothing.

        Raises ValueError as KerasTuner does, for objectives without a direction.
        """
        names = set(inspect.signature(keras_tuner.Oracle).parameters)
        theirs = {name: self.given[name] for name in names if name in self.given}
        own = theirs.get("hyperparameters")
        return keras_tuner.Oracle(**{**theirs, "hyperparameters": own.copy() if own else None})

    @cached_property
    def declared(self) -> Sequence[Any]:
        """The hyperparameters that were given, which override a builder's of their names."""
        own = self.given.get("hyperparameters")
        return list(own.space) if own else []

    def instead(self, parameter: Any) -> Any:
        """What stands for a hyperparameter that a program asks for: the declared one of its name.
        Another, unless it is tuned, is fixed at its default.
        """
        for own in self.declared:
            if own.name == parameter.name:
                return own
        if self.given.get("tune_new_entries", True):
            return parameter
        return kinds.Fixed(parameter.name, parameter.default)


def _names(theirs: Any) -> list[str]:
    return list(inspect.signature(theirs).parameters)


def _parameters(theirs: Any) -> dict[str, Any]:
    """KerasTuner's arguments and their defaults, those of its Tuner, too."""
    parameters = {**inspect.signature(keras_tuner.Tuner).parameters}
    parameters |= inspect.signature(theirs).parameters
    return {
        name: None if parameter.default is parameter.empty else parameter.default
        for name, parameter in parameters.items()
        if name != "kwargs"
    }


def _refused(theirs: Any, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    problems = [
        f"{name}: {reason}; leave it out"
        for name, reason in _REFUSED.items()
        if name in given and given[name] is not defaults[name] and given[name] != defaults[name]
    ]
    if theirs is keras_tuner.Tuner:
        problems.append(f"{_REFUSED['oracle']}, as the class to be subclassed, too")
    if _CHIEF in os.environ:
        rule = "is KerasTuner's way to share a search out"
        problems.append(f"{_CHIEF} {rule}: unset it; `gridless worker` adds machines")
    return problems


def _settings(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What is no argument of KerasTuner's, and what of it is no setting of ours either."""
    from search.study.settings import Settings  # noqa: PLC0415  no trial needs it

    ours = {"workers", "timeout", *Settings.model_fields}
    problems = [
        f"{name}: is no argument of KerasTuner's, nor a setting; {nearest(name, ours)}"
        for name in given
        if name not in ours
    ]
    return dict(given), problems
