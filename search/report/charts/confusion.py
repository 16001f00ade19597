"""Predictions → confusion matrix, and precision, recall and F1 per class. Pure, but for
`write_classes`.

Nothing here makes a table of classes × classes unless asked for, so that thousands of classes do no
harm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from search.files import write_text
from search.records import State
from search.report.charts.chart import Chart, Panel, scatter
from search.report.charts.style import STATES, figure, literal
from search.report.evidence import Predictions
from search.text import csv_safe
from search.words import count

N_CLASSES = 30
N_ROWS = 1000
_N_PRINTED = 15
_N_LETTERS = 18
# Faint enough that a number is readable on the fullest cell, on a light page and on a dark one.
_FULL = 0.6
_EMPTY = 0.05
"""Enough to show where a cell without images is."""
AVERAGES = ("accuracy", "macro avg", "weighted avg")


def class_table(predictions: Predictions, class_names: Sequence[str]) -> pd.DataFrame:
    """Precision, recall, F1 (fractions) and support (images) per class, then the rows of
    `AVERAGES`.

    As scikit-learn's `classification_report` with `zero_division=0` over all of `class_names`: a
    class that was never predicted has precision 0, one without images recall 0. The row `accuracy`
    has its value under `f1`.
    """
    n = len(class_names)
    support = np.bincount(predictions.true, minlength=n)
    claimed = np.bincount(predictions.predicted, minlength=n)
    hits = np.bincount(predictions.true[predictions.true == predictions.predicted], minlength=n)
    scores = pd.DataFrame(
        {
            "precision": _share(hits, claimed),
            "recall": _share(hits, support),
            "f1": _share(2 * hits, support + claimed),
        }
    )
    total = int(support.sum())
    weights = support / total
    averages = pd.DataFrame(
        [{"f1": hits.sum() / total}, scores.mean(), scores.mul(weights, axis=0).sum()],
        columns=scores.columns,
    )
    table = pd.concat([scores, averages], ignore_index=True)
    table.insert(0, "class", pd.Series([*class_names, *AVERAGES], dtype=object))
    table["support"] = [*support.tolist(), total, total, total]
    return table


def write_classes(table: pd.DataFrame, path: Path) -> None:
    """Write `table` of `class_table` to `path` as UTF-8 CSV with every digit, in one step.

    Names that a spreadsheet would run as a formula get a leading apostrophe. Raises OSError.
    """
    names = pd.Series([csv_safe(name) for name in table["class"]], dtype=object)
    text = table.assign(**{"class": names}).to_csv(index=False, lineterminator="\r\n")
    write_text(path, text.replace("\r\n", "\n"))


def confusion(
    true: NDArray[np.int64], predicted: NDArray[np.int64], classes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How often `classes[i]` was taken for `classes[j]`: int64 (k, k), without other classes."""
    place = np.full(int(max(true.max(), predicted.max(), classes.max())) + 1, -1)
    place[classes] = np.arange(len(classes))
    inside = (place[true] >= 0) & (place[predicted] >= 0)
    flat = place[true[inside]] * len(classes) + place[predicted[inside]]
    return np.bincount(flat, minlength=len(classes) ** 2).reshape(len(classes), -1)


def most_confused(
    predictions: Predictions, n_classes: int, limit: int = N_CLASSES
) -> NDArray[np.int64]:
    """At most `limit` of 0…n_classes-1, in order: those with most mistakes from or for them."""
    wrong = predictions.true != predictions.predicted
    mistakes = sum(
        np.bincount(labels[wrong], minlength=n_classes)
        for labels in (predictions.true, predictions.predicted)
    )
    return np.sort(np.argsort(-np.asarray(mistakes), kind="stable")[:limit])


def confusion_chart(
    predictions: Predictions | None, names: Sequence[str], key: str = "confusion"
) -> Chart:
    """The confusion matrix as a heat map, of the `N_CLASSES` most confused classes."""
    title = "Confusion matrix (images)"
    if predictions is None:
        return Chart(key, title, "", ())
    classes = most_confused(predictions, len(names))
    matrix = confusion(predictions.true, predictions.predicted, classes)
    support = np.bincount(predictions.true, minlength=len(names))[classes]
    share = _share(matrix, support[:, None])
    worst = float((share - np.diag(np.diag(share))).max())
    caption = (
        "Rows are the true classes, columns the predicted ones. Blue is what was recognised,"
        " orange what was mistaken, both as a share of the true class; the fullest orange is"
        f" {100 * worst:.1f} %."
    )
    if len(classes) < len(names):
        n_inside = int(matrix.sum() - np.trace(matrix))
        caption += (
            f" Drawn: the {len(classes)} of {len(names):,} classes with the most mistakes, and the"
            f" {n_inside:,} of {count(predictions.n_wrong, 'mistake')} made among them."
        )
    alt = (
        f"Heat map of {len(classes)} true by {len(classes)} predicted classes; the table below has"
        " the totals."
    )
    shown = [names[c] for c in classes]
    panel = Panel(
        alt,
        figure(
            _traces(matrix, share, worst, shown), height=_height(len(classes)), **_layout(shown)
        ),
    )
    return Chart(key, title, caption, (panel,))


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


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Elementwise part / whole, 0 where the whole is 0."""
    whole = np.broadcast_to(whole, part.shape)
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole != 0)


def _traces(
    matrix: NDArray[np.int64], share: NDArray[np.float64], worst: float, names: list[str]
) -> list[dict[str, object]]:
    right = np.eye(len(names), dtype=bool)
    hover = [
        [
            f"true {literal(names[i])}<br>predicted {literal(names[j])}<br>"
            f"<b>{count(int(matrix[i, j]), 'image')}</b>, {100 * share[i, j]:.1f} % of the class"
            for j in range(len(names))
        ]
        for i in range(len(names))
    ]
    traces: list[dict[str, object]] = [
        _cells(np.where(right, share, np.nan), 1.0, STATES[State.COMPLETE].color, hover),
        _cells(np.where(right, np.nan, share), worst or 1.0, STATES[State.FAIL].color, hover),
    ]
    if len(names) <= _N_PRINTED:
        rows, columns = np.nonzero(matrix)
        # As a trace of their own the numbers take the page's text colour; a heat map's own text
        # would not.
        traces.append(
            scatter(
                "text",
                columns.tolist(),
                rows.tolist(),
                text=[str(n) for n in matrix[rows, columns]],
                textfont={"size": 11},
                hoverinfo="skip",
            )
        )
    return traces


def _cells(
    z: NDArray[np.float64], top: float, color: str, hover: list[list[str]]
) -> dict[str, object]:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return {
        "type": "heatmap",
        "z": [[None if np.isnan(v) else round(float(v), 5) for v in row] for row in z],
        "zmin": 0,
        "zmax": top,
        "colorscale": [
            [0, f"rgba({red},{green},{blue},{_EMPTY})"],
            [1, f"rgba({red},{green},{blue},{_FULL})"],
        ],
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "text": hover,
        "hovertemplate": "%{text}<extra></extra>",
    }


def _layout(names: list[str]) -> dict[str, object]:
    short = [literal(n if len(n) <= _N_LETTERS else f"{n[: _N_LETTERS - 1]}…") for n in names]
    axis = {
        "tickvals": list(range(len(names))),
        "ticktext": short,
        "showgrid": False,
        "tickfont": {"size": 11},
    }
    angle = -45 if len(names) <= _N_PRINTED else -90
    if max(map(len, short)) <= 3:
        angle = 0
    ends = [-0.5, len(names) - 0.5]
    return {
        "showlegend": False,
        "xaxis": {"title": {"text": "predicted"}, "range": ends, "tickangle": angle, **axis},
        "yaxis": {"title": {"text": "true"}, "range": ends[::-1], **axis},
    }


def _height(n: int) -> int:
    return min(max(130 + 28 * n, 280), 860)
