"""The chart of the finalists: each replicate's test accuracy, means and intervals. Pure."""

from collections.abc import Sequence
from typing import Any

from search.analysis.baseline import DOCUMENT
from search.analysis.finalists import Finalist, Judgement
from search.records import ACCURACY, Objective, State
from search.report.charts.chart import Chart, Panel, scatter
from search.report.charts.style import BEST, REFERENCE, STATES, figure
from search.words import count, hover_format, per_cent, plotted, value_text

_ROW = 58
_APART = 0.24
"""How far single replicates lie under their mean, in rows."""


def finalists_chart(judgement: Judgement | None) -> Chart:
    """Test values per finalist: replicates, mean and 95 % interval, and validation's promise."""
    objective = judgement.objective if judgement else ACCURACY
    title = f"Finalists: {objective.title} on the test set{per_cent(objective)}"
    rows = [row for row in judgement.rows if row.values] if judgement else []
    if judgement is None or not rows:
        return Chart("finalists", title, "", (), "No replicate of a finalist is finished yet.")
    examples = count(judgement.n_test or 0, f"test {judgement.noun}")
    caption = (
        "Each small circle is one replicate, trained again on a fresh seed and scored once on the"
        f" {examples}. The large mark is their mean, its bar the 95 % interval{_alone(rows)}. The"
        f" open square is what the search had seen on validation {judgement.noun}s."
    )
    means = [
        f"trial {row.trial} {value_text(objective, row.interval.mean if row.interval else None)}"
        for row in rows
    ]
    alt = (
        f"Mean test {objective.title} by finalist, in the order of validation:"
        f" {', '.join(means)}. The table has the intervals."
    )
    drawing = _drawn(rows, judgement)
    return Chart("finalists", title, caption, (Panel(alt, drawing),))


def _alone(rows: Sequence[Finalist]) -> str:
    return " (none for a single replicate)" if any(len(row.values) == 1 for row in rows) else ""


def _drawn(rows: Sequence[Finalist], judgement: Judgement) -> Any:
    champion = judgement.champion
    objective = judgement.objective
    at = {row.trial: i for i, row in enumerate(rows)}
    others = [row for row in rows if row is not champion]
    traces = [
        _replicates(rows, at, objective),
        _promised(rows, at, objective),
        _means([champion], at, "mean of the chosen", BEST, "diamond", objective),
    ]
    if others:
        color = STATES[State.COMPLETE].color
        traces.append(_means(others, at, "mean", color, "circle", objective))
    return figure(
        [t for t in traces if t["x"]],
        height=130 + _ROW * len(rows),
        showlegend=True,
        xaxis={"title": {"text": f"{objective.title}{per_cent(objective)}"}},
        yaxis={
            "tickvals": list(at.values()),
            "ticktext": [_name(row, judgement.baseline) for row in rows],
            "range": [len(rows) - 0.4, -0.6],
            "showgrid": False,
            "ticks": "",
        },
    )


def _name(row: Finalist, baseline: str) -> str:
    if not row.is_document:
        return f"trial {row.trial}"
    of = f"<br>{row.trained[0]} of {row.trained[1]} epochs" if row.trained and row.is_cut else ""
    return f"trial {row.trial}<br>{'document’s' if baseline == DOCUMENT else 'baseline'}{of}"


def _replicates(
    rows: Sequence[Finalist], at: dict[int, int], objective: Objective
) -> dict[str, Any]:
    pairs = []
    for row in rows:
        pairs += [(plotted(objective, value), at[row.trial] + _APART) for value in row.values]
    return scatter(
        "markers",
        [x for x, _ in pairs],
        [y for _, y in pairs],
        name="one replicate",
        marker={"color": REFERENCE, "symbol": "circle", "size": 8, "opacity": 0.75},
        hovertemplate=f"one replicate: {hover_format(objective, 'x')}<extra></extra>",
    )


def _promised(rows: Sequence[Finalist], at: dict[int, int], objective: Objective) -> dict[str, Any]:
    return scatter(
        "markers",
        [plotted(objective, row.search_value) for row in rows],
        [at[row.trial] - _APART for row in rows],
        name="validation, in the search",
        marker={
            "color": STATES[State.WAITING].color,
            "symbol": "square-open",
            "size": 9,
            "line": {"width": 2},
        },
        hovertemplate=f"validation, in the search: {hover_format(objective, 'x')}<extra></extra>",
    )


def _means(
    rows: Sequence[Finalist],
    at: dict[int, int],
    name: str,
    color: str,
    symbol: str,
    objective: Objective,
) -> dict[str, Any]:
    valued = [(row, row.interval) for row in rows if row.interval]
    ends = [
        (
            (interval.mean, interval.mean, interval.mean)
            if interval.low is None or interval.high is None
            else (interval.low, interval.mean, interval.high)
        )
        for _, interval in valued
    ]
    return scatter(
        "markers",
        [plotted(objective, mean) for _, mean, _ in ends],
        [at[row.trial] for row, _ in valued],
        name=name,
        marker={"color": color, "symbol": symbol, "size": 13},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [plotted(objective, high - mean) for _, mean, high in ends],
            "arrayminus": [plotted(objective, mean - low) for low, mean, _ in ends],
            "thickness": 2.5,
            "width": 7,
            "color": color,
        },
        hovertemplate=f"{name}: {hover_format(objective, 'x')}<extra></extra>",
    )
