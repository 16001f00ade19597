"""What a table's columns must be, so that each row is a row of numbers."""

import datetime
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from search.datasets.examples import some

_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}( .*)?")
_N_TRIED = 50
_FEW_TEXTS = 50
"""A column may have so many texts, however few rows there are."""


def column_problems(
    frame: pd.DataFrame, labels: Sequence[str], without_numbers: Sequence[str]
) -> list[str]:
    """Every rule that the columns break, a sentence each; none when they can be used.

    `without_numbers` are those that are no numbers of examples: they may hold dates.
    """
    if not len(frame):
        return ["it has no rows; a table needs some to train, to validate and to test on"]
    problems = []
    missing = {str(column): int(n) for column, n in frame.isna().sum().items() if n}
    if missing:
        counts = [f"{column} ({n:,})" for column, n in missing.items()]
        problems.append(
            f"of {len(frame):,} rows, values are missing in {some(counts)}; fill them in, or leave"
            " out these rows or columns"
        )
    kinds: dict[str, list[str]] = {}
    for column in frame.columns:
        if column not in without_numbers and (kind := _problem_of(frame[column], column in labels)):
            kinds.setdefault(kind, []).append(str(column))
    problems += [f"{some(columns)}: {kind}" for kind, columns in kinds.items()]
    return problems


def _problem_of(values: "pd.Series[Any]", is_label: bool) -> str | None:
    """What is wrong with the values of one column, apart from those that are missing."""
    present = values.dropna()
    if types.is_complex_dtype(values):
        return "complex numbers can't be used; give their parts as columns"
    if types.is_numeric_dtype(values):
        with np.errstate(over="ignore"):
            is_infinite = bool(np.isinf(present.to_numpy(np.float32)).any())
        remedy = "fill them in, or leave out their rows"
        return (
            f"infinite numbers, and what float32 makes so, can't be used; {remedy}"
            if is_infinite
            else None
        )
    if _are_dates(present):
        remedy = "leave them out, or give year, month, weekday … as columns of numbers"
        return f"dates can't be used; {remedy}; --time NAME splits by one"
    return _problem_of_texts(present, is_label)


def _problem_of_texts(values: "pd.Series[Any]", is_label: bool) -> str | None:
    if types.is_object_dtype(values) and not values.map(type).isin([str, bool]).all():
        kinds = sorted({kind.__name__ for kind in values.map(type)})
        return f"values must be numbers, texts or truth values, not {some(kinds)}; convert them"
    n_texts = values.nunique()
    if not is_label and n_texts > max(_FEW_TEXTS, len(values) / 2):
        return (
            f"of {len(values):,} texts {n_texts:,} differ, too many to learn from each; leave"
            " the column out"
        )
    return None


def _are_dates(values: "pd.Series[Any]") -> bool:
    if types.is_datetime64_any_dtype(values) or types.is_timedelta64_dtype(values):
        return True
    if isinstance(values.dtype, pd.PeriodDtype):
        return True
    tried = values.head(_N_TRIED)
    if not len(tried) or types.is_bool_dtype(values):
        return False
    if all(isinstance(value, datetime.date | datetime.time) for value in tried):
        return True
    return all(isinstance(value, str) and _DATE.fullmatch(value.strip()) for value in tried)
