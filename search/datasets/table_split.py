"""Which rows of a table train, validate and test."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types

from search.datasets.examples import some
from search.datasets.stratify import strata_of, stratified
from search.errors import InputError
from search.records import Task

TEST_FRACTION = 1 / 6
Parts = Mapping[str, NDArray[np.bool_]]
"""train, test and, where it is not split off later, val → mask of its rows."""
Split = tuple[Parts, list[str]]
"""The parts, and the columns that say which row is of which: they are no numbers of examples."""
_SPLIT = "split"
_PARTS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "val": "val",
    "valid": "val",
    "validation": "val",
}


def split_by_columns(frame: pd.DataFrame, *, group: str | None, time: str | None) -> Split | None:
    """How columns split the rows; None where none does.

    Raises InputError when several columns say it, or it can't be done.
    """
    has_split = _SPLIT in frame and set(_words(frame)) <= set(_PARTS)
    ways = [f"column {_SPLIT}"] * has_split + ["--group"] * bool(group) + ["--time"] * bool(time)
    if len(ways) > 1:
        raise InputError(f"rows are split in one way only, not by {' and by '.join(ways)}")
    if has_split:
        return _by_column(frame), [_SPLIT]
    if group:
        return _by_group(frame[group]), [group]
    if time:
        return _by_time(frame[time]), [time]
    return None


def drawn_split(targets: "pd.Series[Any] | pd.DataFrame", task: Task) -> Parts:
    """Parts drawn by a fixed seed, the same share of every class. Raises InputError for classes of
    too few rows.
    """
    test = stratified(_strata(targets, task), TEST_FRACTION, seed=0)
    return {"train": ~test, "test": test}


def _words(frame: pd.DataFrame) -> list[str]:
    return [str(word).strip().lower() for word in frame[_SPLIT]]


def _by_column(frame: pd.DataFrame) -> Parts:
    part = np.array([_PARTS[word] for word in _words(frame)])
    parts = {name: part == name for name in ("train", "test", "val") if (part == name).any()}
    if "train" not in parts:
        raise InputError(f"column {_SPLIT} has no row to train on; mark some with train")
    return parts


def _strata(targets: "pd.Series[Any] | pd.DataFrame", task: Task) -> NDArray[np.int64]:
    if isinstance(targets, pd.DataFrame):
        return strata_of(targets.to_numpy(), TEST_FRACTION, task)
    if task is Task.REGRESSION:
        return strata_of(np.zeros(len(targets)), TEST_FRACTION, task)
    codes, names = pd.factorize(targets, sort=True)
    counts = np.bincount(codes)
    if few := [f"{name} ({n})" for name, n in zip(names, counts, strict=True) if n < 3]:
        rule = "each class needs at least 3 rows, one of them to test and one to validate on"
        remedy = "; for numbers to predict give --task regression"
        is_number = types.is_numeric_dtype(targets)
        raise InputError(f"{rule}; with fewer: {some(few)}{remedy if is_number else ''}")
    return codes.astype(np.int64)


def _by_group(groups: "pd.Series[Any]") -> Parts:
    """Whole groups, drawn by a fixed seed, until a sixth of the rows is to test on, and a sixth of
    the rest to validate.
    """
    codes, names = pd.factorize(groups, sort=True, use_na_sentinel=False)
    if len(names) < 3:
        raise InputError(
            f"--group: {groups.name} has {len(names)} groups, but one each is to train, to validate"
            " and to test on; give a column with 3 or more"
        )
    counts = np.bincount(codes)
    drawn = np.argsort(np.random.default_rng(0).random(len(names)), kind="stable")
    n_test = _n_first(counts[drawn], len(names) - 2)
    n_val = _n_first(counts[drawn[n_test:]], len(names) - n_test - 1)
    test = np.isin(codes, drawn[:n_test])
    val = np.isin(codes, drawn[n_test : n_test + n_val])
    return {"train": ~(test | val), "val": val, "test": test}


def _n_first(counts: NDArray[np.int64], most: int) -> int:
    """How many groups, one at least and `most`, hold the share to test on."""
    target = TEST_FRACTION * counts.sum()
    return int(np.clip(np.abs(np.cumsum(counts) - target).argmin() + 1, 1, most))


def _by_time(times: "pd.Series[Any]") -> Parts:
    """The latest sixth to test on, the latest sixth of the rest to validate; rows of one time stay
    together.
    """
    order: pd.Series[Any] = times
    if not (types.is_numeric_dtype(times) or types.is_datetime64_any_dtype(times)):
        try:
            order = pd.to_datetime(times, format="ISO8601")
        except (ValueError, TypeError) as error:
            reason = str(error).partition(". ")[0]
            raise InputError(
                f"--time: {times.name} holds neither numbers nor dates ({reason}); write dates as"
                " 2024-12-31"
            ) from error
    codes, moments = pd.factorize(order, sort=True, use_na_sentinel=False)
    if len(moments) < 3:
        raise InputError(
            f"--time: {times.name} has {len(moments)} different times, but at least 3 are needed"
        )
    counts = np.bincount(codes)[::-1]
    n_test = _n_first(counts, len(moments) - 2)
    n_val = _n_first(counts[n_test:], len(moments) - n_test - 1)
    test = codes >= len(moments) - n_test
    val = (codes >= len(moments) - n_test - n_val) & ~test
    return {"train": ~(test | val), "val": val, "test": test}
