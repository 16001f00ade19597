"""Objectives measured on made-up predictions, so that what is wrong is told before a search."""

from collections.abc import Mapping, Sequence

import numpy as np

from search.datasets.examples import some
from search.errors import InputError, TrialError
from search.objectives import Floats, Truth, one_sided
from search.records import Objective, Task
from search.training.measure import is_logged, measure_of

_REMEDIES = {
    "validation": "give others as x_val and y_val, or take another objective",
    "test": "give others as x_test and y_test, take another objective, or give --finalists 0",
}


def check_objectives(
    objectives: Sequence[Objective],
    logged: Sequence[Sequence[str]],
    task: Task,
    class_names: Sequence[str],
    parts: Mapping[str, Truth],
) -> list[str]:
    """What there is to say of `objectives`, a sentence each.

    `logged` has for each network the names that it logs of validation data; `parts` are the targets
    of the validation and the test examples, as far as they are measured.

    Raises InputError with every objective that can't be measured.
    """
    problems: list[str] = []
    for objective in objectives:
        if objective.is_fact:
            continue
        if not is_logged(objective):
            problems += _problems(objective, task, class_names, parts)
            continue
        lacking = [names for names in logged if objective.key not in names]
        if lacking:
            rule = f"objective: {objective.name} is not what the network logs"
            remedy = f"take {', '.join(lacking[0])}, or add it to metrics in compile()"
            problems.append(f"{rule}; {remedy}")
    if problems:
        raise InputError(problems)
    if not any(objective.name == "roc_auc" for objective in objectives):
        return []
    rule = "roc_auc is the mean over the others"
    facts = [_one_sided(part, targets, task, class_names) for part, targets in parts.items()]
    return [f"{fact}: {rule}" for fact in facts if fact]


def _problems(
    objective: Objective, task: Task, class_names: Sequence[str], parts: Mapping[str, Truth]
) -> Sequence[str]:
    n_classes = len(class_names)
    try:
        tried(objective, task, n_classes)
    except InputError as error:
        return error.problems
    problems = []
    for part, targets in parts.items():
        rule = f"objective: of made-up predictions for the {part} examples"
        if what := _fault(objective, task, n_classes, targets):
            fact = _one_sided(part, targets, task, class_names)
            reason = f": {fact}" if fact else ""
            problems.append(f"{rule}, {what}{reason}; {_REMEDIES[part]}")
    return problems


def tried(objective: Objective, task: Task, n_classes: int) -> None:
    """Measure made-up predictions for made-up targets. Raises InputError with the reason."""
    n = 8 * max(2, n_classes)
    match task:
        case Task.REGRESSION:
            draw = np.random.default_rng(1)
            targets: Truth = draw.normal(size=(n, n_classes)).astype(np.float32)
        case Task.MULTILABEL:
            # Each label is there and is not, which some metrics need.
            targets = (np.arange(n)[:, None] + np.arange(n_classes)) % 2
        case _:
            targets = np.arange(n) % n_classes
    if what := _fault(objective, task, n_classes, targets):
        raise InputError(f"objective: of {n} made-up predictions, {what}")


def _fault(objective: Objective, task: Task, n_classes: int, targets: Truth) -> str | None:
    """Why made-up predictions for `targets` can't be measured, if they can't."""
    predictions: Floats = np.random.default_rng(0).random((len(targets), n_classes), np.float32)
    if task not in {Task.REGRESSION, Task.MULTILABEL}:
        predictions /= predictions.sum(axis=1, keepdims=True)
    try:
        measure_of(objective, task, n_classes)(targets, predictions)
    except TrialError as error:
        return error.reason.removeprefix("objective ")
    return None


def _one_sided(part: str, targets: Truth, task: Task, class_names: Sequence[str]) -> str | None:
    """Which classes or labels the examples of a part don't tell apart, if there are such."""
    if task is Task.REGRESSION:
        return None
    names = [class_names[i] for i in one_sided(targets, len(class_names))]
    return f"none or all of the {part} examples are {some(names)}" if names else None
