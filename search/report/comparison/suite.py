"""A suite's systems beside the figures of their documents: a frame, and the cells people see."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from search.analysis.statistics import Interval, mean_interval
from search.report.comparison.cells import Layout, counts_text, interval_text
from search.report.tables import typed_frame
from search.words import percent

SPLITS = {"test": "test set", "validation": "validation set", "train": "training set"}
COLUMNS = {
    "suite": "object",
    "model": "object",
    "data": "object",
    "published": "float64",
    "published_split": "object",
    "accuracy_mean": "float64",
    "accuracy_ci_low": "float64",
    "accuracy_ci_high": "float64",
    "split": "object",
    "n_replicates": "Int64",
    "difference": "float64",
    "n_params": "Int64",
    "epochs": "Int64",
    "published_epochs": "Int64",
    "seconds_per_epoch": "float64",
    "device": "object",
    "note": "object",
}
"""Of the CSV file, with their pandas types."""


@dataclass(frozen=True)
class ComparisonRow:
    """A system of a suite: its document's figure and ours. Accuracies are fractions."""

    model: str
    data: str
    published: float | None
    published_split: str | None
    """What the published figure was measured on: test, validation or train."""
    published_source: str | None
    split: str | None
    """What ours were evaluated on, in the same words."""
    values: tuple[float, ...]
    """The accuracy of each finished replicate."""
    n_wanted: int
    """Replicates asked for."""
    n_failed: int
    n_params: int | None
    epochs: int | None
    """Epochs that each replicate trains as asked."""
    published_epochs: int | None
    seconds_per_epoch: float | None
    """The median over epochs and replicates."""
    device: str | None
    note: str


def interval_of(row: ComparisonRow) -> Interval | None:
    """Mean and 95 % interval over the replicates; None without. Raises ValueError outside 0…1."""
    return mean_interval(row.values) if row.values else None


def mean_of(row: ComparisonRow) -> float | None:
    """The mean over the row's replicates; None while there is none."""
    interval = interval_of(row)
    return interval.mean if interval else None


def difference(row: ComparisonRow) -> float | None:
    """Our mean minus the published figure (fractions), on the same split only."""
    interval = interval_of(row)
    if (
        interval is None
        or row.published is None
        or row.split is None
        or row.split != row.published_split
    ):
        return None
    return interval.mean - row.published


def obstacle(row: ComparisonRow) -> str:
    """Why ours can't be held against the published figure; empty when it can."""
    reasons = (
        (
            not row.values and row.n_failed > 0,
            "all failed" if row.n_failed >= row.n_wanted else "only failures yet",
        ),
        (not row.values, "not run yet"),
        (row.published is None, "no published figure"),
        (row.split is None or row.split != row.published_split, "another split"),
        (_beyond(row.epochs, row.published_epochs) < 0, "fewer epochs"),
        (_beyond(row.epochs, row.published_epochs) > 0, "more epochs"),
        (len(row.values) == 1, "one replicate only"),
    )
    return next((reason for holds, reason in reasons if holds), "")


def standing(row: ComparisonRow) -> str:
    """How ours stand to the published figure, judged by the interval of our mean.

    within (the figure lies in the interval), above (ours are higher), below; empty where `obstacle`
    names a reason.
    """
    interval = interval_of(row)
    if (
        obstacle(row)
        or interval is None
        or interval.low is None
        or interval.high is None
        or row.published is None
    ):
        return ""
    if row.published < interval.low:
        return "above"
    return "below" if row.published > interval.high else "within"


def comparison_frame(suite_name: str, rows: Sequence[ComparisonRow]) -> pd.DataFrame:
    """One row per system in their order; accuracies are fractions, blanks missing values.

    Columns: suite, model, data, published, published_split, accuracy_mean, accuracy_ci_low,
    accuracy_ci_high (95 %, Student's t), split, n_replicates (finished ones), difference (ours
    minus published, on the same split only), n_params, epochs, published_epochs, seconds_per_epoch,
    device, note. Raises ValueError for an accuracy outside 0…1.
    """
    return typed_frame([_record(suite_name, row) for row in rows], COLUMNS)


def data_sets(rows: Sequence[ComparisonRow]) -> list[str]:
    """The data sets of `rows`, each once, in their order."""
    return list(dict.fromkeys(r.data for r in rows))


def label(row: ComparisonRow, rows: Sequence[ComparisonRow]) -> str:
    """The model's name, with its data where the suite has the model more than once."""
    return (
        row.model if sum(r.model == row.model for r in rows) == 1 else f"{row.model} on {row.data}"
    )


def on(split: str | None) -> str:
    """A split with its article: `the test set`; `an unknown split` for None."""
    return f"the {SPLITS.get(split, split)}" if split else "an unknown split"


def splits_text(row: ComparisonRow) -> str:
    """What the figures of a row were measured on: `test set`, or both splits where they differ."""
    published, measured = (
        on(split).removeprefix("the ") for split in (row.published_split, row.split)
    )
    if row.published is None:
        return measured
    return published if row.split == row.published_split else f"{published}, ours {measured}"


def ours_text(row: ComparisonRow) -> str:
    """Our mean and interval in percent, `91.30 % [90.80, 91.80]`, or why there is none."""
    interval = interval_of(row)
    return interval_text(interval) if interval else obstacle(row)


def epochs_text(row: ComparisonRow) -> str:
    """Epochs, beside the document's where they differ: `10`, `5 of 50`, `20 (document 10)`."""
    beyond = _beyond(row.epochs, row.published_epochs)
    if row.epochs is None or not beyond:
        return "–" if row.epochs is None else f"{row.epochs}"
    if beyond < 0:
        return f"{row.epochs}\u00a0of\u00a0{row.published_epochs}"
    return f"{row.epochs} (document {row.published_epochs})"


def verdict_text(row: ComparisonRow) -> str:
    """Ours against the document's figure: points apart, then the verdict or what bars it."""
    apart = difference(row)
    judged = standing(row) or obstacle(row)
    if apart is None:
        return judged if row.values else "–"
    return f"{100 * apart:+z.2f}, {judged}"


LAYOUT: Layout[ComparisonRow] = Layout(
    cells={
        "model": lambda r: r.model,
        "data": lambda r: r.data,
        "document": lambda r: "–" if r.published is None else percent(r.published),
        "measured on": splits_text,
        "ours, mean [95 % interval]": ours_text,
        "difference (points)": verdict_text,
        "n": lambda r: counts_text(len(r.values), r.n_wanted, r.n_failed),
        "parameters": lambda r: "–" if r.n_params is None else f"{r.n_params:,}",
        "epochs": epochs_text,
        "s per epoch": lambda r: (
            "–" if r.seconds_per_epoch is None else f"{r.seconds_per_epoch:.2f}"
        ),
        "device": lambda r: r.device or "–",
        "note": lambda r: r.note,
    },
    left=("model", "data", "measured on", "device", "note"),
    keys={
        "document": lambda r: r.published,
        "ours, mean [95 % interval]": mean_of,
        "n": lambda r: len(r.values),
        "difference (points)": difference,
        "parameters": lambda r: r.n_params,
        "epochs": lambda r: r.epochs,
        "s per epoch": lambda r: r.seconds_per_epoch,
    },
)


def _beyond(trained: int | None, published: int | None) -> int:
    return 0 if trained is None or published is None else trained - published


def _record(suite_name: str, row: ComparisonRow) -> dict[str, Any]:
    interval = interval_of(row)
    return {
        "suite": suite_name,
        "model": row.model,
        "data": row.data,
        "published": row.published,
        "published_split": row.published_split,
        "accuracy_mean": interval and interval.mean,
        "accuracy_ci_low": interval and interval.low,
        "accuracy_ci_high": interval and interval.high,
        "split": row.split,
        "n_replicates": len(row.values),
        "difference": difference(row),
        "n_params": row.n_params,
        "epochs": row.epochs,
        "published_epochs": row.published_epochs,
        "seconds_per_epoch": row.seconds_per_epoch,
        "device": row.device,
        "note": row.note,
    }
