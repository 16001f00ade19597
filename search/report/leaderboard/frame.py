"""Study → tables: who is ranked where, and leaderboard.csv."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from search.analysis.finalists import Finalist, Finals
from search.analysis.ranking import param_names, ranking, started_trials
from search.files import write_text
from search.records import StudyRecord, TrialRecord, has_rank
from search.report.text.code import code_names
from search.text import csv_safe, visible

LEADING = ("rank", "study", "model", "data", "trial", "state")
MEASURED = ("val_accuracy", "best_epoch", "epochs", "train_s", "n_params")
_INTEGERS = ("rank", "trial", "best_epoch", "epochs", "n_params", "n_replicates")
_FRACTIONS = (*MEASURED, "test_accuracy_mean", "test_accuracy_ci_low", "test_accuracy_ci_high")


def trial_frame(study: StudyRecord, finals: Finals | None = None) -> pd.DataFrame:
    """One row per started trial, by number.

    Columns: study, model, data, trial, state; val_accuracy (fraction), best_epoch and epochs (completed),
    train_s (seconds), n_params; `param.*` in the space's order; then, in the rows of finalists, test_accuracy_mean,
    test_accuracy_ci_low and test_accuracy_ci_high (fractions, 95 %), n_replicates (finished ones) and tied_with_best.
    Where trials ran with different code of the user's, `code` names it at the end. Integer columns are Int64,
    tied_with_best is boolean, blanks are missing values.
    """
    return _frame(study, started_trials(study), finals).drop(columns="rank")


def leaderboard(study: StudyRecord, finals: Finals | None = None) -> pd.DataFrame:
    """One row per started trial in the order of `ranking`, with the columns of `trial_frame` after `rank`.

    Ranks run 1…k without gaps, the earliest trial first among exact equals; blank for FAIL and for trials
    without a value. They are validation's: what the finalists reached on the test set changes no rank.
    """
    return _frame(study, ranking(study), finals)


def write_leaderboard(study: StudyRecord, path: Path, finals: Finals | None = None) -> None:
    """Writes `leaderboard(study, finals)` to `path` as UTF-8 CSV, in one step.

    Text cells that a spreadsheet would run as a formula get a leading apostrophe; numbers are never touched
    and floats keep every digit. Raises OSError when `path` can't be written.
    """
    table = leaderboard(study, finals)
    for column in table.columns:
        if table[column].dtype == object:
            table[column] = pd.Series([csv_safe(v) for v in table[column]], dtype=object)
    header = [csv_safe(c) for c in table.columns]
    # The writer quotes a lone carriage return only where line ends have one, and unquoted it would break the row.
    text = table.to_csv(index=False, header=header, lineterminator="\r\n")
    write_text(path, text.replace("\r\n", "\n"))


def _frame(study: StudyRecord, trials: Sequence[TrialRecord], finals: Finals | None) -> pd.DataFrame:
    rows = [
        {
            "rank": place if has_rank(t) else None,
            "study": study.name,
            "model": study.model,
            "data": study.data,
            "trial": t.number,
            "state": str(t.state),
            "val_accuracy": t.val_accuracy,
            "best_epoch": t.best_epoch,
            "epochs": t.epochs,
            "train_s": round(t.train_s, 3),
            "n_params": t.n_params,
        }
        for place, t in enumerate(trials, start=1)
    ]
    fixed = {c: _column([row[c] for row in rows], c) for c in LEADING + MEASURED}
    params = {f"param.{visible(n)}": _column([t.params.get(n) for t in trials]) for n in param_names(study)}
    final = finalist_columns(finals, [t.number for t in trials])
    frame = pd.DataFrame(fixed | params | {name: _column(final[name], name) for name in COLUMNS})
    codes = code_names(study)
    return frame.assign(code=_column([codes.get(t.number) for t in trials])) if codes else frame


def _column(values: list[Any], name: str = "") -> "pd.Series[Any]":
    present = [v for v in values if v is not None]
    # A single None would turn integers into floats (1 → 1.0) in pandas' own guess.
    if name in _INTEGERS or (present and all(type(v) is int for v in present)):
        return pd.Series(values, dtype="Int64")
    if name == "tied_with_best":
        return pd.Series(values, dtype="boolean")
    if name in _FRACTIONS or (present and all(type(v) is float for v in present)):
        return pd.Series(values, dtype="float64")
    return pd.Series(values, dtype=object)


COLUMNS = ("test_accuracy_mean", "test_accuracy_ci_low", "test_accuracy_ci_high", "n_replicates", "tied_with_best")


def finalist_columns(finals: Finals | None, trial_numbers: Sequence[int]) -> dict[str, list[Any]]:
    """`COLUMNS` of the leaderboard for the trials named, None in the rows of those that are no finalists.

    n_replicates counts finished ones; a single one leaves the ends of the interval blank.
    """
    known = {row.trial: row for row in finals.rows} if finals else {}
    cells = [_cells(known.get(number)) for number in trial_numbers]
    return {name: [row[i] for row in cells] for i, name in enumerate(COLUMNS)}


def _cells(row: Finalist | None) -> tuple[Any, ...]:
    if row is None:
        return (None,) * len(COLUMNS)
    found = row.interval
    ends = (found.mean, found.low, found.high) if found else (None, None, None)
    return (*ends, len(row.values), row.tied_with_best)
