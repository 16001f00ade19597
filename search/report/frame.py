"""Study → tables: who is ranked where, and leaderboard.csv."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from search.files import write_text
from search.report.code import code_names
from search.report.finals import COLUMNS, Finals, finalist_columns
from search.study.records import StudyRecord, TrialRecord
from search.study.records import has_rank as has_rank  # noqa: PLC0414  # a leaderboard's word, too
from search.text import cut, visible

LEADING = ("rank", "study", "model", "data", "trial", "state")
MEASURED = ("val_accuracy", "best_epoch", "epochs", "train_s", "n_params")
_INTEGERS = ("rank", "trial", "best_epoch", "epochs", "n_params", "n_replicates")
_FRACTIONS = (*MEASURED, "test_accuracy_mean", "test_accuracy_ci_low", "test_accuracy_ci_high")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t")


def started_trials(study: StudyRecord) -> list[TrialRecord]:
    """The trials that some worker has begun, by number: one that is only queued is no row of any report."""
    return sorted(
        (
            t
            for t in study.trials
            if t.state != "WAITING" or t.curve or t.started or t.n_segments or t.n_retries or t.paused
        ),
        key=lambda t: t.number,
    )


def ranking(study: StudyRecord) -> list[TrialRecord]:
    """Started trials as a leaderboard lists them: by val_accuracy, those without a value yet, then FAIL."""
    return sorted(
        started_trials(study),
        key=lambda t: (
            t.state == "FAIL",
            not has_rank(t),
            -(t.val_accuracy or 0.0) if has_rank(t) else 0.0,
            t.number,
        ),
    )


def best_trial(study: StudyRecord) -> TrialRecord | None:
    """The trial of rank 1; None while no trial has a value."""
    first = next(iter(ranking(study)), None)
    return first if first and has_rank(first) else None


def space_params(study: StudyRecord) -> Mapping[str, Mapping[str, Any]]:
    """The space's parameters as the spec declares them, in its order; empty when the spec has none."""
    space = study.spec.get("space")
    params = space.get("params") if isinstance(space, Mapping) else None
    return params if isinstance(params, Mapping) else {}


def param_names(study: StudyRecord) -> list[str]:
    """Every parameter of the space in its order, then those only trials know, alphabetically."""
    declared = list(space_params(study))
    seen = {name for t in study.trials for name in t.params}
    return declared + sorted(seen - set(declared))


def varied_params(study: StudyRecord, trials: Iterable[TrialRecord] | None = None) -> list[str]:
    """The parameters with two or more different values among `trials` (all started ones if not given)."""
    chosen = list(started_trials(study) if trials is None else trials)
    return [name for name in param_names(study) if len({repr(t.params[name]) for t in chosen if name in t.params}) > 1]


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
            table[column] = pd.Series([safe_cell(v) for v in table[column]], dtype=object)
    header = [safe_cell(c) for c in table.columns]
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
            "state": t.state,
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


def safe_cell(value: Any) -> Any:
    """`value` as a spreadsheet may see it: text that it would run as a formula gets a leading apostrophe."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = cut(visible(str(value)))
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
