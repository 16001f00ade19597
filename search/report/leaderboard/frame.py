"""Study → tables: who is ranked where, and leaderboard.csv."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from search.analysis.finalists import Judgement
from search.analysis.ranking import front, param_names, ranking, started_trials
from search.files import write_text
from search.records import StudyRecord, TrialRecord
from search.report.leaderboard.columns import (
    COLUMNS,
    FINALIST_COLUMNS,
    Column,
    Row,
    test_value_columns,
    value_columns,
)
from search.report.text.code_changes import code_names
from search.text import csv_safe, visible


def trial_frame(study: StudyRecord, judgement: Judgement | None = None) -> pd.DataFrame:
    """One row per started trial, by number.

    Columns: study, model, data, trial, state; val_accuracy (fraction), best_epoch and epochs
    (completed), train_s (seconds), n_params, objective and its value, on_front (blank unless there
    are several objectives), broken_bounds; `value.*` of other objectives and bounded facts;
    `param.*` in the space's order; then, in the rows of finalists, test_accuracy_mean,
    test_accuracy_ci_low and test_accuracy_ci_high (fractions, 95 %), n_replicates (finished ones),
    tied_with_best and, of the objective, test_value_mean, test_value_ci_low and test_value_ci_high,
    and `test_value_mean.*` of other objectives. Where trials ran with different code of the user's,
    `code` names it at the end. Integer columns are Int64, tied_with_best and on_front are boolean,
    blanks are missing values.
    """
    return _frame(study, started_trials(study), judgement).drop(columns="rank")


def leaderboard(study: StudyRecord, judgement: Judgement | None = None) -> pd.DataFrame:
    """One row per started trial, ranked, with the columns of `trial_frame` after `rank`.

    Ranks run 1…k without gaps, the earliest trial first among exact equals; blank for FAIL and for
    trials without a value. They are validation's: what the finalists reached on the test set
    changes no rank.
    """
    return _frame(study, ranking(study), judgement)


def write_leaderboard(study: StudyRecord, path: Path, judgement: Judgement | None = None) -> None:
    """Writes `leaderboard(study, judgement)` to `path` as UTF-8 CSV, in one step.

    Text cells that a spreadsheet would run as a formula get a leading apostrophe; numbers are never
    touched and floats keep every digit. Raises OSError when `path` can't be written.
    """
    table = leaderboard(study, judgement)
    for column in table.columns:
        if table[column].dtype == object:
            table[column] = pd.Series([csv_safe(v) for v in table[column]], dtype=object)
    header = [csv_safe(c) for c in table.columns]
    # The writer quotes a lone carriage return only where line ends have one, and unquoted it would
    # break the row.
    text = table.to_csv(index=False, header=header, lineterminator="\r\n")
    write_text(path, text.replace("\r\n", "\n"))


def _frame(
    study: StudyRecord, trials: Sequence[TrialRecord], judgement: Judgement | None
) -> pd.DataFrame:
    finalists = {finalist.trial: finalist for finalist in judgement.rows} if judgement else {}
    members = front(study)
    rows = [
        Row(place, study, trial, finalists.get(trial.number), _is_on(members, trial))
        for place, trial in enumerate(trials, start=1)
    ]
    frame = pd.DataFrame({column.name: _column(column, rows) for column in COLUMNS})
    for column in value_columns(study):
        frame[column.name] = _column(column, rows)
    for name in param_names(study):
        frame[f"param.{visible(name)}"] = _values([trial.params.get(name) for trial in trials])
    for column in (*FINALIST_COLUMNS, *test_value_columns(study)):
        frame[column.name] = _column(column, rows)
    if codes := code_names(study):
        frame["code"] = _values([codes.get(trial.number) for trial in trials])
    return frame


def _is_on(front: frozenset[int] | None, trial: TrialRecord) -> bool | None:
    return None if front is None else trial.number in front


def _column(column: Column, rows: Sequence[Row]) -> "pd.Series[Any]":
    return pd.Series([column.value(row) for row in rows], dtype=column.kind)


def _values(values: list[Any]) -> "pd.Series[Any]":
    """Values of a parameter; pandas' own guess would turn integers beside a None into floats."""
    types = {type(value) for value in values if value is not None}
    if types == {int}:
        return pd.Series(values, dtype="Int64")
    if types == {float}:
        return pd.Series(values, dtype="float64")
    return pd.Series(values, dtype=object)
