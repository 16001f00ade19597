"""How predictions are measured by an objective: a metric of ours, one of Keras', or a function."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from search.errors import InputError, TrialError
from search.failure_reason import place_of, reason_of
from search.objectives import METRICS, Floats, Measure, Truth, is_function
from search.records import Objective, Task
from search.registry import load_function

_BY_ROWS = ("categorical_", "f1_score", "f_beta_score", "top_k_", "kl_divergence", "one_hot_")
"""How Keras' metrics are called that compare rows of classes, where there are two, too."""
_ALIASES = {"rmse": "root_mean_squared_error", "log_cosh": "log_cosh_error"}
"""What Keras logs by one name and makes by another."""


def is_logged(objective: Objective) -> bool:
    """Whether a value is what the network's own compile() logs of validation data."""
    return objective.name == "loss" or objective.name.startswith("val_")


def measure_of(objective: Objective, task: Task, n_classes: int) -> Measure:
    """(y_true, y_pred) → the value of `objective`, a finite number.

    y_true: int (n,) of classes, int (n, n_classes) of labels, float (n, n_classes) of numbers;
    y_pred: float (n, n_classes). Raises InputError where it can't be had, as of a function that
    can't be imported; what it makes raises TrialError where the value is no finite number.
    """
    name = objective.name
    if name in METRICS:
        return _checked(METRICS[name].measure, name)
    if is_function(name):
        return _checked(load_function(name), name)
    return _checked(_of_keras(name, task, n_classes), name)


def _checked(measure: Callable[[Truth, Floats], Any], name: str) -> Measure:
    """`measure`, of which everything but a finite number ends the trial."""

    def checked(y_true: Truth, y_pred: Floats) -> float:
        try:
            value = measure(y_true, y_pred)
        except Exception as error:  # whatever a user's function, or the metric it calls, raises
            raise TrialError(f"objective {name} failed: {reason_of(error)}") from error
        if _is_number(value) and math.isfinite(value):
            return float(value)
        what = f"returned {_shown(value)}, not one finite number"
        raise TrialError(f"objective {name} {what}{_line_of(measure)}")

    return checked


def _is_number(value: Any) -> bool:
    is_scalar = isinstance(value, int | float | np.number) or (
        hasattr(value, "shape") and tuple(value.shape) == ()
    )
    return is_scalar and not isinstance(value, bool | complex)


def _shown(value: Any) -> str:
    if hasattr(value, "shape") and tuple(value.shape) != ():
        return f"an array {tuple(value.shape)}"
    return repr(value)[:40]


def _line_of(measure: Callable[..., Any]) -> str:
    """Where a user's function stands; empty for metrics of others."""
    code = getattr(inspect.unwrap(measure), "__code__", None)
    place = place_of(code.co_filename, code.co_firstlineno) if code else None
    return f" ({place})" if place else ""


def _of_keras(name: str, task: Task, n_classes: int) -> Measure:
    """Keras' metric `name`, fed with labels as it wants them."""
    try:
        metric = _metric_of_keras(name)
    except Exception as error:  # one that wants arguments, or that this version of Keras has not
        reason = (str(error).splitlines() or [""])[0]
        rule = f"objective: Keras' {name} can't be made by its name alone ({reason})"
        raise InputError(f"{rule}; write a function, package.module:function") from error

    def measure(y_true: Truth, y_pred: Floats) -> Any:
        metric.reset_state()
        metric.update_state(*_fed(name, task, n_classes, y_true, y_pred))
        return keras.ops.convert_to_numpy(metric.result())

    return measure


def _metric_of_keras(name: str) -> Any:
    if name in {"f1_score", "f_beta_score"}:
        return keras.metrics.get({"class_name": name, "config": {"average": "macro"}})
    return keras.metrics.get(_ALIASES.get(name, name))


def _fed(
    name: str, task: Task, n_classes: int, y_true: Truth, y_pred: Floats
) -> tuple[Truth, Floats]:
    """Labels and predictions in the shapes that the metric compares."""
    if task in {Task.REGRESSION, Task.MULTILABEL} or name.startswith("sparse_"):
        return y_true, y_pred
    if n_classes == 2 and not name.startswith(_BY_ROWS):
        return y_true[:, None], y_pred[:, 1:]
    return np.eye(n_classes, dtype=np.float32)[y_true], y_pred
