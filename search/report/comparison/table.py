"""A comparison of studies as tables: for other programs, and the cells that people see."""

from typing import Any, NamedTuple

import pandas as pd

from search.analysis.comparison import Comparison, Row
from search.analysis.cost import Hours
from search.objectives import text_of
from search.records import ACCURACY, Objective
from search.report.comparison.cells import Layout, counts_text, ends, interval_text
from search.report.tables import typed_frame
from search.words import difference_number, signed_text

COLUMNS = {
    "comparison": "object",
    "study": "object",
    "model": "object",
    "data": "object",
    "rank": "Float64",
    "test_accuracy_mean": "float64",
    "test_accuracy_ci_low": "float64",
    "test_accuracy_ci_high": "float64",
    "n_replicates": "Int64",
    "n_test": "Int64",
    "p_value": "float64",
    "tied_with_best": "boolean",
    "gain": "float64",
    "gain_ci_low": "float64",
    "gain_ci_high": "float64",
    "trial": "Int64",
    "val_accuracy": "float64",
    "n_params": "Int64",
    "train_s": "float64",
    "n_trials": "Int64",
    "search_core_hours": "float64",
    "search_gpu_hours": "float64",
    "replicates_core_hours": "float64",
    "replicates_gpu_hours": "float64",
    "device": "object",
    "missing": "object",
    "note": "object",
    "objective": "object",
    "test_value_mean": "float64",
    "test_value_ci_low": "float64",
    "test_value_ci_high": "float64",
    "value": "float64",
}
"""Of the CSV file, with their pandas types."""


def studies_frame(name: str, comparison: Comparison) -> pd.DataFrame:
    """One row per study, by data set and mean; accuracies and their gains are fractions.

    Columns: comparison (`name`), study, model, data; rank on its data set; test_accuracy_mean with
    its 95 % interval test_accuracy_ci_low and test_accuracy_ci_high over n_replicates finished
    ones, on n_test images; p_value (Holm) of no difference from the highest mean, blank for that
    one, and tied_with_best; gain over the document's own setting with gain_ci_low and gain_ci_high;
    trial (the champion's number) and its val_accuracy in the search; n_params; train_s (seconds of
    one replicate, the median); n_trials; core- and GPU-hours of the search and of all replicates;
    device; missing (why there is no value); note; objective with test_value_mean and its interval
    in the place of accuracies, which are blank where it is something else; value, the champion's in
    the search. Gains are positive where the champion is better.
    """
    return typed_frame([_record(name, row) for row in comparison.rows], COLUMNS)


class Cell(NamedTuple):
    """One cell of the cross table."""

    text: str
    standing: str
    """best, tied, lower, or empty where it is untold."""
    mean: float | None


def cross_table(comparison: Comparison) -> list[tuple[str, list[Cell]]]:
    """Models × data sets, each cell a mean on the test set; no rows for one data set."""
    data = comparison.data
    if len(data) < 2:
        return []
    by_cell = {(row.contender.model, row.contender.data): row for row in comparison.rows}
    models = dict.fromkeys(row.contender.model for row in comparison.rows)
    order = [m for m, _ in comparison.ranks.models] if comparison.ranks else []
    ordered = [*order, *(m for m in models if m not in order)]
    return [(model, [_cell(by_cell.get((model, d))) for d in data]) for model in ordered]


def result_text(row: Row) -> str:
    """Mean and interval, `91.30 % [90.80, 91.80]`, or a dash."""
    interval = row.contender.interval
    return interval_text(interval, row.contender.objective) if interval else "–"


def standing(row: Row) -> str:
    """How it stands to its data set's best mean: best, tied, lower, or empty where untold."""
    if row.tied_with_best is None:
        return ""
    if row.is_best:
        return "best"
    return "tied" if row.tied_with_best else worse(row.contender.objective)


def worse(objective: Objective) -> str:
    """What a mean is called that is not the best by more than chance."""
    return "lower" if objective.is_maximized else "worse"


def standing_text(row: Row) -> str:
    """The same with its p value, a dash where it is untold."""
    return standing(row) + (f", {p_text(row.p_value)}" if row.p_value is not None else "") or "–"


def p_text(p_value: float) -> str:
    """A p value with three decimals: `p = 0.340`, `p < 0.001`."""
    return "p\u00a0<\u00a00.001" if p_value < 0.001 else f"p\u00a0=\u00a0{p_value:.3f}"


def gain_text(row: Row) -> str:
    """What is gained over the document's setting: `+1.20 [0.40, 2.00]`; a dash where untold."""
    objective = row.contender.objective
    gain = row.contender.gain
    if gain is None:
        return "is the document’s" if row.contender.trial == 0 else "–"
    text = signed_text(objective, gain.value)
    if gain.low is None or gain.high is None:
        return text
    low, high = (difference_number(objective, end) for end in (gain.low, gain.high))
    return f"{text} [{ends(objective, low, high)}]"


def hours_text(hours: Hours | None) -> str:
    """Compute in two digits, `0.12 core-hours`, `3.4 GPU-hours`; a dash for none."""
    named = [(hours.gpu, "GPU-hours"), (hours.core, "core-hours")] if hours else []
    parts = [
        f"{value:,.0f} {name}" if value >= 100 else f"{value:.2g} {name}"
        for value, name in named
        if value
    ]
    return " + ".join(parts) or "–"


def result_heading(objective: Objective) -> str:
    """Over the column of means."""
    return f"test {objective.title} [95 % interval]"


def gain_heading(objective: Objective) -> str:
    """Over the column of gains."""
    return f"gain over the document{' (points)' if objective.is_fraction else ''}"


def layout(objective: Objective) -> Layout[Row]:
    """The table of a comparison of studies for `objective`."""
    result = result_heading(objective)
    gain = gain_heading(objective)
    keys = {
        result: lambda r: r.contender.mean if r.contender.values else None,
        gain: lambda r: r.contender.gain.value if r.contender.gain else None,
    }
    return Layout(
        cells={
            "model": lambda r: r.contender.model,
            "data": lambda r: r.contender.data,
            result: result_text,
            "against the best": standing_text,
            gain: gain_text,
            "n": lambda r: counts_text(
                len(r.contender.values), r.contender.n_wanted, r.contender.n_failed
            ),
            "parameters": lambda r: (
                "–" if r.contender.n_params is None else f"{r.contender.n_params:,}"
            ),
            "training once (s)": lambda r: (
                "–" if r.contender.train_s is None else f"{r.contender.train_s:,.1f}"
            ),
            "search": lambda r: hours_text(r.contender.search),
            "replicates": lambda r: hours_text(r.contender.replicates),
            "note": lambda r: "; ".join(
                text for text in (r.contender.missing, r.contender.note) if text
            ),
        },
        left=("model", "data", "against the best", "note"),
        keys=keys
        | {
            "n": lambda r: len(r.contender.values),
            "parameters": lambda r: r.contender.n_params,
            "training once (s)": lambda r: r.contender.train_s,
            "search": lambda r: sum(r.contender.search) if r.contender.search else None,
            "replicates": lambda r: sum(r.contender.replicates) if r.contender.replicates else None,
        },
    )


def _cell(row: Row | None) -> Cell:
    if row is None or not row.contender.values:
        return Cell("–", "", None)
    return Cell(result_text(row), standing(row), row.contender.mean)


def _record(name: str, row: Row) -> dict[str, Any]:
    contender = row.contender
    interval = contender.interval
    gain = contender.gain
    is_accuracy = contender.objective == ACCURACY
    accuracy = interval if is_accuracy else None
    return {
        "comparison": name,
        "study": contender.study,
        "model": contender.model,
        "data": contender.data,
        "rank": row.rank,
        "test_accuracy_mean": accuracy and accuracy.mean,
        "test_accuracy_ci_low": accuracy and accuracy.low,
        "test_accuracy_ci_high": accuracy and accuracy.high,
        "n_replicates": len(contender.values),
        "n_test": contender.n_test,
        "p_value": row.p_value,
        "tied_with_best": row.tied_with_best,
        "gain": gain and gain.value,
        "gain_ci_low": gain and gain.low,
        "gain_ci_high": gain and gain.high,
        "trial": contender.trial,
        "val_accuracy": contender.search_value if is_accuracy else None,
        "n_params": contender.n_params,
        "train_s": contender.train_s,
        "n_trials": contender.n_trials,
        "search_core_hours": contender.search and contender.search.core,
        "search_gpu_hours": contender.search and contender.search.gpu,
        "replicates_core_hours": contender.replicates and contender.replicates.core,
        "replicates_gpu_hours": contender.replicates and contender.replicates.gpu,
        "device": contender.device,
        "missing": contender.missing,
        "note": contender.note,
        "objective": text_of(contender.objective),
        "test_value_mean": interval and interval.mean,
        "test_value_ci_low": interval and interval.low,
        "test_value_ci_high": interval and interval.high,
        "value": contender.search_value,
    }
