"""A table as a data set: its columns as numbers, one of them or more to be predicted.

Numeric and boolean columns are taken as they are; each text of a column of texts is a column of 0
and 1, as far as training rows have it.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types

from search.datasets.dataset import Array, Columns, Dataset, from_arrays
from search.datasets.examples import some
from search.datasets.options import Options
from search.datasets.table_columns import column_problems
from search.datasets.table_file import read, undoubled
from search.datasets.table_split import Split, drawn_split, split_by_columns
from search.errors import InputError
from search.records import Task
from search.registry import nearest
from search.untrusted import check_memory

log = logging.getLogger(__name__)

MOST_CLASSES = 20
"""Whole numbers of a label column are classes as long as there are no more of them."""
_LEAST_ROWS = 3


def load(path: Path, name: str, options: Options) -> Dataset:
    """Load the table in a .csv, .tsv or .parquet file. Raises InputError as `from_frame` does, and
    when it can't be read.
    """
    return from_frame(name, read(path), options, place=str(path))


def from_frame(
    name: str,
    frame: pd.DataFrame,
    options: Options,
    *,
    place: str | None = None,
) -> Dataset:
    """The data set whose examples are the rows of `frame`, float32 (n, width).

    A column `split` of train, test and val says which part a row is of; else a sixth of the rows is
    to test on: by `group` or `time` of the `options`, or drawn by a fixed seed, the same share of
    every class. Floats to be predicted are a regression, and so are whole numbers of more than
    MOST_CLASSES values; texts, truth values and few whole numbers are classes; several columns of 0
    and 1 are labels. `task` says otherwise. Which it is, is told in the log.

    Raises InputError with all columns that can't be used: absent, of dates, of missing values.
    """
    place = place or name
    labels, split = _checked(frame, options, place)
    targets = frame[labels[0]] if len(labels) == 1 else frame[labels]
    task = options.task or _task_of(targets, place)
    try:
        _check_numbers(frame[labels], task)
        parts, others = split or (drawn_split(targets, task), [])
        features = frame.drop(columns=[*labels, *others])
        columns = _columns(features, parts["train"])
        examples, strange = numbers_of(features, columns)
    except InputError as error:
        raise InputError([f"{place}: {problem}" for problem in error.problems]) from error
    if strange:
        log.warning("%s: texts that no training row has count as none: %s", place, some(strange))
    y = _targets(targets, task)
    arrays: dict[str, Array] = {}
    for part, rows in parts.items():
        arrays |= {f"x_{part}": examples[rows], f"y_{part}": y[rows]}
    is_named = len(labels) > 1 or task is Task.REGRESSION
    data = from_arrays(name, arrays, labels if is_named else None, task, place=place)
    return replace(data, columns=columns)


def _checked(frame: pd.DataFrame, options: Options, place: str) -> tuple[list[str], Split | None]:
    """The columns to predict, and how columns split the rows. Raises InputError with all that is
    wrong with either and with the columns.
    """
    frame, problems = undoubled(frame)
    labels, mistakes = _label_columns(list(frame.columns), options)
    group, time = (c if c in frame else None for c in (options.group, options.time))
    problems += [*mistakes, *column_problems(frame, labels, [c for c in (group, time) if c])]
    if 0 < len(frame) < _LEAST_ROWS:
        rule = f"it has {len(frame)} of the {_LEAST_ROWS} rows that a table needs at least"
        problems.append(f"{rule}: one each to train, to validate and to test on; add some")
    try:
        split = split_by_columns(frame, group=group, time=time)
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError([f"{place}: {problem}" for problem in problems])
    return labels, split


def _label_columns(columns: Sequence[str], options: Options) -> tuple[list[str], list[str]]:
    """The columns to predict, and what is wrong with the `options`, a sentence each."""
    labels, problems = [], []
    if options.label is None:
        rule = "which column is to be predicted?"
        problems.append(f"{rule} give --label NAME, one of {some(columns)}")
    elif options.label not in columns and "," in options.label:
        labels = [label.strip() for label in options.label.split(",")]
    else:
        labels = [options.label]
    asked = {"--group": options.group, "--time": options.time}
    for flag, column in [*(("--label", label) for label in labels), *asked.items()]:
        if column is not None and column not in columns:
            problems.append(f"{flag}: there is no column {column!r}; {nearest(column, columns)}")
    if len(columns) == len(labels):
        problems.append("there are no columns beside the label; what is it to be told by?")
    return labels, problems


def _task_of(targets: "pd.Series[Any] | pd.DataFrame", place: str) -> Task:
    if isinstance(targets, pd.DataFrame):
        is_bits = bool(targets.isin([0, 1]).all(axis=None))
        return Task.MULTILABEL if is_bits else Task.REGRESSION
    n_values = targets.nunique()
    if types.is_float_dtype(targets):
        task, reason = Task.REGRESSION, "it holds floats"
    elif types.is_bool_dtype(targets) or not types.is_numeric_dtype(targets):
        task, reason = Task.CLASSIFICATION, f"it holds {n_values} names"
    elif n_values <= MOST_CLASSES:
        task, reason = Task.CLASSIFICATION, f"it holds {n_values} whole numbers"
    else:
        reason = f"it holds {n_values} whole numbers, more than {MOST_CLASSES}"
        task = Task.REGRESSION
    log.info("%s: label %s: %s, so the task is %s", place, targets.name, reason, task)
    return task


def _check_numbers(labels: pd.DataFrame, task: Task) -> None:
    """Raise InputError for columns that must be numbers and are not."""
    if task is Task.REGRESSION or labels.shape[1] > 1:
        others = [name for name in labels if not types.is_numeric_dtype(labels[name])]
        if others:
            reason = "several columns" if labels.shape[1] > 1 else f"the task {task}"
            raise InputError(f"--label: {reason} must be numbers, but {some(others)} holds texts")
    elif types.is_float_dtype(numbers := labels.iloc[:, 0]) and (numbers % 1 != 0).any():
        rule = f"--label: the task {task} must have texts or whole numbers, not the floats of"
        raise InputError(f"{rule} {numbers.name}; for numbers to predict give --task regression")


def _targets(targets: "pd.Series[Any] | pd.DataFrame", task: Task) -> Array:
    if isinstance(targets, pd.DataFrame):
        return np.asarray(targets.astype(np.float64))
    is_numeric = types.is_numeric_dtype(targets) and not types.is_bool_dtype(targets)
    if not is_numeric:
        return np.asarray(targets.astype(str), dtype=str)
    dtype = np.float64 if task is Task.REGRESSION or types.is_float_dtype(targets) else np.int64
    return np.asarray(targets, dtype=dtype)


def _columns(features: pd.DataFrame, train: NDArray[np.bool_]) -> Columns:
    """The columns, and the texts that rows in `train` have."""
    columns: dict[str, Sequence[str] | None] = {}
    for column in features.columns:
        if types.is_numeric_dtype(features[column]):
            columns[column] = None
        else:
            columns[column] = sorted(set(features.loc[train, column].astype(str)))
    return columns


def numbers_of(features: pd.DataFrame, columns: Columns) -> tuple[NDArray[np.float32], list[str]]:
    """All rows as numbers (n, width), and the texts, each with its column, that `columns` lacks.

    Raises InputError when they need too much memory.
    """
    width = sum(1 if texts is None else len(texts) for texts in columns.values())
    check_memory(len(features) * width * 4 * 2, f"{width:,} columns for each text or number")
    numbers = np.zeros((len(features), width), np.float32)
    strange = []
    at = 0
    for column, texts in columns.items():
        if texts is None:
            numbers[:, at] = features[column].to_numpy(np.float32)
            at += 1
            continue
        values = features[column].astype(str)
        codes = pd.Index(texts).get_indexer(pd.Index(values))
        rows = np.flatnonzero(codes >= 0)
        numbers[rows, at + codes[rows]] = 1
        strange += [f"{column} = {text}" for text in sorted(set(values[codes < 0]))]
        at += len(texts)
    return numbers, strange


def read_rows(path: Path, columns: Columns) -> tuple[NDArray[np.float32], list[str]]:
    """The rows of another table as those of the one that `columns` are of; see `numbers_of`.

    Raises InputError for columns that it lacks, or that hold something else.
    """
    frame, problems = undoubled(read(path))
    if missing := [column for column in columns if column not in frame]:
        rule = "it lacks columns that the study's table has"
        problems.append(f"{rule}: {some(missing)}; add them")
    names = [column for column in columns if column in frame]
    features = frame[names]
    problems += column_problems(features, names, [])
    kinds = {column: types.is_numeric_dtype(features[column]) for column in names}
    texts = [column for column in names if columns[column] is None and not kinds[column]]
    if texts:
        problems.append(f"{some(texts)}: the study's table has numbers there, not texts")
    if problems:
        raise InputError(problems)
    return numbers_of(features, columns)
