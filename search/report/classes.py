"""Predictions → precision, recall and F1 per class, for the page and classes.csv."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from search.files import write_text
from search.report.evidence import LabelPredictions, Predictions
from search.text import csv_safe

N_ROWS = 1000
AVERAGES = ("accuracy", "macro avg", "weighted avg")
LABEL_AVERAGES = ("micro avg", "macro avg", "weighted avg")


def class_table(
    predictions: Predictions | LabelPredictions, class_names: Sequence[str]
) -> pd.DataFrame:
    """Precision, recall, F1 (fractions) and support (images) per class or label, then `AVERAGES`
    or `LABEL_AVERAGES`.

    As scikit-learn's `classification_report` with `zero_division=0` over all of `class_names`: a
    class that was never predicted has precision 0, one without images recall 0. The row `accuracy`
    has its value under `f1`.
    """
    support, claimed, hits = _counts(predictions, len(class_names))
    scores = pd.DataFrame(
        {
            "precision": shares(hits, claimed),
            "recall": shares(hits, support),
            "f1": shares(2 * hits, support + claimed),
        }
    )
    total = int(support.sum())
    weights = shares(support, np.array(total))
    first = {"f1": hits.sum() / total}
    names = AVERAGES
    if isinstance(predictions, LabelPredictions):
        names = LABEL_AVERAGES
        wholes = np.array([claimed.sum(), total, total + claimed.sum()])
        micro = shares(np.array([hits.sum(), hits.sum(), 2 * hits.sum()]), wholes)
        first = dict(zip(scores.columns, micro, strict=True))
    averages = pd.DataFrame(
        [first, scores.mean(), scores.mul(weights, axis=0).sum()], columns=scores.columns
    )
    table = pd.concat([scores, averages], ignore_index=True)
    table.insert(0, "class", pd.Series([*class_names, *names], dtype=object))
    table["support"] = [*support.tolist(), total, total, total]
    return table


def _counts(
    predictions: Predictions | LabelPredictions, n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """How many examples are of each of `n` classes, were taken for it, and both."""
    true, predicted = predictions.true, predictions.predicted
    if isinstance(predictions, LabelPredictions):
        return true.sum(axis=0), predicted.sum(axis=0), (true * predicted).sum(axis=0)
    hits = true[true == predicted]
    return (
        np.bincount(true, minlength=n),
        np.bincount(predicted, minlength=n),
        np.bincount(hits, minlength=n),
    )


def write_classes(table: pd.DataFrame, path: Path) -> None:
    """Write `table` of `class_table` to `path` as UTF-8 CSV with every digit, in one step.

    Names that a spreadsheet would run as a formula get a leading apostrophe. Raises OSError.
    """
    names = pd.Series([csv_safe(name) for name in table["class"]], dtype=object)
    text = table.assign(**{"class": names}).to_csv(index=False, lineterminator="\r\n")
    write_text(path, text.replace("\r\n", "\n"))


class Scores(NamedTuple):
    """Precision, recall, F1 of a class as fractions (NaN where there is none); its images."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class ClassRow:
    """A row of the page's table: a class or an average, by each of its tables."""

    name: str
    scores: tuple[Scores, ...]


@dataclass(frozen=True)
class ClassRows:
    """The page's table: at most `N_ROWS` classes of lowest F1 in the first table, by label."""

    rows: tuple[ClassRow, ...]
    averages: tuple[ClassRow, ...]
    n_left_out: int


def class_rows(tables: Sequence[pd.DataFrame]) -> ClassRows:
    """`class_table` of splits with the same classes, as the page shows them side by side."""
    n = len(tables[0]) - len(AVERAGES)
    shown = tables[0].iloc[:n]["f1"].nsmallest(N_ROWS).index.sort_values()
    averages = tables[0].index[n:]
    return ClassRows(_rows(tables, shown), _rows(tables, averages), n - len(shown))


def _rows(tables: Sequence[pd.DataFrame], labels: "pd.Index[int]") -> tuple[ClassRow, ...]:
    names = tables[0].loc[labels, "class"]
    columns = [
        table.loc[labels, list(Scores._fields)].itertuples(index=False, name=None)
        for table in tables
    ]
    return tuple(
        ClassRow(name, tuple(Scores(*row) for row in rows))
        for name, *rows in zip(names, *columns, strict=True)
    )


def shares(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Elementwise part / whole, 0 where the whole is 0."""
    whole = np.broadcast_to(whole, part.shape)
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole != 0)
