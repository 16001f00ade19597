"""Arrays of targets: which task they set, the rules that they must keep, and their numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.datasets.examples import not_finite, some
from search.records import Task
from search.text import text_problem

Array = NDArray[Any]
Names = Sequence[str] | None


@dataclass(frozen=True, eq=False)
class Targets:
    """What is to be said of examples, as `search.datasets.dataset` has it."""

    task: Task
    parts: Mapping[str, Array]
    """y_train, and y_test and y_val where there are such."""
    class_names: tuple[str, ...]


def to_targets(
    arrays: Mapping[str, Array], names: Names, task: Task | None
) -> tuple[Targets | None, list[str]]:
    """The targets that y_train and others hold, or every rule that they break, a sentence each.

    `names` are those of classes, labels or numbers in order, None where they name themselves;
    `task` is said where the numbers don't say it.
    """
    labels = {key: _plain(array) for key, array in arrays.items()}
    names = names and _texts(names)
    problems: list[str] = []
    for key, array in labels.items():
        problems += _alone(key, array)
    problems += _unfit_names(names or ())
    if problems or "y_train" not in labels:
        return None, problems
    train = labels["y_train"]
    task = _task_of(train) if task is None else task
    match task:
        case Task.REGRESSION:
            targets, problems = _numbers(labels, names)
        case Task.MULTILABEL:
            targets, problems = _several_labels(labels, names)
        case Task.BINARY | Task.CLASSIFICATION if train.ndim == 2:
            targets, problems = _one_hot(labels, names)
        case Task.BINARY | Task.CLASSIFICATION:
            targets, problems = _classes(labels, names)
    if targets is not None and not problems:
        problems = [*_unfit_names(targets.class_names), *_count_problems(targets, task)]
    return targets, problems


def _unfit_names(names: Sequence[str]) -> list[str]:
    reasons = {name: text_problem(name) for name in names}
    return [f"class {name!r}: its name {why}" for name, why in reasons.items() if why]


def _plain(array: Array) -> Array:
    """Texts as an array of texts, however they are held; a second axis of length 1 left out."""
    flat = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if flat.dtype.kind == "S":
        return np.char.decode(flat, errors="replace")
    if flat.dtype.kind == "O" and all(isinstance(label, str) for label in flat.ravel()):
        return flat.astype(str)
    return flat


def _alone(key: str, array: Array) -> list[str]:
    problems = []
    if array.dtype.kind not in "biufU":
        problems.append(
            f"{key} must hold labels (whole numbers, texts) or numbers, not {array.dtype}; convert"
            " it"
        )
    if array.ndim not in (1, 2):
        problems.append(
            f"{key} must have the shape (n,), one label or number per example, or (n, k), a row of"
            f" them, not {array.shape}"
        )
    elif array.size == 0:
        problems.append(f"{key} is empty (shape {array.shape}); it must hold at least one target")
    elif problem := not_finite(key, array):
        problems.append(problem)
    return problems


def _task_of(train: Array) -> Task:
    """What the targets themselves say, sound ones; where they say nothing, classification."""
    if train.ndim == 2 and _is_rows(train):
        is_one_each = bool((train.sum(axis=1) == 1).all())
        return Task.CLASSIFICATION if is_one_each else Task.MULTILABEL
    return Task.REGRESSION if train.dtype.kind == "f" else Task.CLASSIFICATION


def _is_rows(array: Array) -> bool:
    """Whether these are rows of 0 and 1."""
    return array.ndim == 2 and array.dtype.kind != "U" and bool(np.isin(array, (0, 1)).all())


def _numbers(labels: Mapping[str, Array], names: Names) -> tuple[Targets | None, list[str]]:
    problems = [
        f"{key} must hold numbers for a regression, not texts; convert it"
        for key, array in labels.items()
        if array.dtype.kind == "U"
    ]
    if problems:
        return None, problems
    parts = {key: array.astype(np.float32).reshape(len(array), -1) for key, array in labels.items()}
    train = parts["y_train"]
    problems = _width_problems(parts) + _name_problems(names, train.shape[1], "numbers")
    if not problems and bool((train == train[0]).all()):
        problems.append(
            f"y_train has one value only, {some(train[0].tolist())}; nothing is to learn"
        )
    own = ["target"] if train.shape[1] == 1 else [f"target {i}" for i in range(train.shape[1])]
    return Targets(Task.REGRESSION, parts, _texts(names or own)), problems


def _several_labels(labels: Mapping[str, Array], names: Names) -> tuple[Targets | None, list[str]]:
    problems = [
        f"{key} must be rows of 0 and 1, a number for each label, for several labels each; it has"
        f" the shape {array.shape} of {array.dtype}"
        for key, array in labels.items()
        if not _is_rows(array)
    ]
    if problems:
        return None, problems
    parts = {key: array.astype(np.int64) for key, array in labels.items()}
    width = parts["y_train"].shape[1]
    problems = _width_problems(parts) + _name_problems(names, width, "labels")
    own = [str(label) for label in range(width)]
    return Targets(Task.MULTILABEL, parts, _texts(names or own)), problems


def _one_hot(labels: Mapping[str, Array], names: Names) -> tuple[Targets | None, list[str]]:
    problems = []
    for key, array in labels.items():
        if not _is_rows(array):
            problems.append(
                f"{key} must have the shape (n,), one label per example, or be rows of 0 and 1, a"
                f" number for each class; it has the shape {array.shape} of {array.dtype}; for"
                " numbers to predict give --task regression"
            )
        elif n_others := int((array.sum(axis=1) != 1).sum()):
            problems.append(
                f"{key} must have one 1 in each row, but {n_others:,} rows have none or several;"
                " leave them out, or give --task multilabel"
            )
    problems = problems or _width_problems(labels)
    if problems:
        return None, problems
    parts = {key: array.argmax(axis=1).astype(np.int64) for key, array in labels.items()}
    width = labels["y_train"].shape[1]
    own = [str(label) for label in range(width)]
    targets = Targets(Task.CLASSIFICATION, parts, _texts(names or own))
    return targets, _name_problems(names, width, "classes")


def _classes(labels: Mapping[str, Array], names: Names) -> tuple[Targets | None, list[str]]:
    train = labels["y_train"]
    problems = []
    for key, array in labels.items():
        if (array.dtype.kind == "U") is not (train.dtype.kind == "U") or array.ndim != 1:
            problems.append(
                f"{key} must have labels as y_train has them, {train.dtype} {train.shape}, not"
                f" {array.dtype} {array.shape}"
            )
        elif array.dtype.kind == "f" and bool((array != np.rint(array)).any()):
            problems.append(
                f"{key} has labels that are no whole numbers; give each class one, or give --task"
                " regression"
            )
    if problems:
        return None, problems
    classes = np.unique(train)
    if names and train.dtype.kind == "U":  # the names are the labels, in an order of their own
        if strange := sorted(set(classes.tolist()) - set(names)):
            return None, [f"class_names lacks labels of y_train: {some(strange)}; name all of them"]
        classes = np.asarray(names)
    order = np.argsort(classes, kind="stable")
    parts = {}
    for key, array in labels.items():
        if strange := sorted(set(np.unique(array).tolist()) - set(classes.tolist())):
            problems.append(
                f"{key} has labels that y_train has not: {some(strange)}; give both the same"
                f" classes{_numbers_remedy(train, len(classes))}"
            )
        else:
            sorted_at = np.searchsorted(classes, array, sorter=order)
            parts[key] = order[sorted_at].astype(np.int64, copy=False)
    if problems:
        return None, problems
    own = [_label(label) for label in classes.tolist()]
    problems = _name_problems(names, len(classes), "classes")
    return Targets(Task.CLASSIFICATION, parts, _texts(names or own)), problems


def _numbers_remedy(labels: Array, n_classes: int) -> str:
    """What to do where there are so many classes that they may be none."""
    is_many = labels.dtype.kind != "U" and n_classes > len(labels) / 2
    return "; for numbers to predict give --task regression" if is_many else ""


def _label(label: object) -> str:
    is_whole = isinstance(label, float) and label.is_integer()
    return str(int(label)) if is_whole else str(label)  # type: ignore[call-overload]


def _texts(names: Sequence[object]) -> tuple[str, ...]:
    return tuple(str(name) for name in names)


def _width_problems(parts: Mapping[str, Array]) -> list[str]:
    width = parts["y_train"].shape[1]
    return [
        f"{key} must have rows of {width}, as y_train has, not {array.shape[1:]}"
        for key, array in parts.items()
        if array.shape[1:] != (width,)
    ]


def _name_problems(names: Names, n: int, what: str) -> list[str]:
    if names and len(names) != n:
        return [f"class_names must name each of the {n} {what}, but has {len(names)} names"]
    if names and len(set(names)) != n:
        return ["class_names must differ, or nobody can tell the classes apart; rename the doubles"]
    return []


def _count_problems(targets: Targets, task: Task) -> list[str]:
    """What is wrong with how many examples there are of each class."""
    if targets.task is not Task.CLASSIFICATION:
        return []
    names = targets.class_names
    if len(names) == 1:
        return [f"y_train has one class only, {names[0]}; a classifier needs at least two"]
    if task is Task.BINARY and len(names) != 2:
        return [f"a binary task has two classes, not {len(names)}: {some(names)}"]
    counts = np.bincount(targets.parts["y_train"], minlength=len(names))
    least = 1 if "y_val" in targets.parts else 2
    few = [name for name, count in zip(names, counts, strict=True) if count < least]
    if not few:
        return []
    reason = ", one of them to validate on" if least == 2 else ""
    remedy = _numbers_remedy(targets.parts["y_train"], len(names))
    return [
        f"each class needs at least {least} training examples{reason}; classes with fewer:"
        f" {some(few)}{remedy}"
    ]
