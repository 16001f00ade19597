"""Predictions → confusion matrix. Pure.

Nothing here makes a table of classes × classes unless asked for, so that thousands of classes do no
harm.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search.records import State
from search.report.charts.chart import Chart, Panel, scatter
from search.report.charts.style import STATES, figure, literal
from search.report.classes import shares
from search.report.evidence import Predictions
from search.words import count

N_CLASSES = 30
_N_PRINTED = 15
_N_LETTERS = 18
# Faint enough that a number is readable on the fullest cell, on a light page and on a dark one.
_FULL = 0.6
_EMPTY = 0.05
"""Enough to show where a cell without images is."""


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
    predictions: Predictions | None,
    names: Sequence[str],
    key: str = "confusion",
    noun: str = "image",
) -> Chart:
    """The confusion matrix as a heat map, of the `N_CLASSES` most confused classes."""
    title = f"Confusion matrix ({noun}s)"
    if predictions is None:
        return Chart(key, title, "", ())
    classes = most_confused(predictions, len(names))
    matrix = confusion(predictions.true, predictions.predicted, classes)
    support = np.bincount(predictions.true, minlength=len(names))[classes]
    share = shares(matrix, support[:, None])
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
            _traces(matrix, share, worst, shown, noun),
            height=_height(len(classes)),
            **_layout(shown),
        ),
    )
    return Chart(key, title, caption, (panel,))


def _traces(
    matrix: NDArray[np.int64],
    share: NDArray[np.float64],
    worst: float,
    names: list[str],
    noun: str,
) -> list[dict[str, object]]:
    right = np.eye(len(names), dtype=bool)
    hover = [
        [
            f"true {literal(names[i])}<br>predicted {literal(names[j])}<br>"
            f"<b>{count(int(matrix[i, j]), noun)}</b>, {100 * share[i, j]:.1f} % of the class"
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
