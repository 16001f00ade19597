"""Regret against what was spent, as a figure. Pure."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from search.lab.report.reach import REFERENCES
from search.lab.report.regret import Regrets, Standing
from search.records import State
from search.report.charts.chart import Chart, Panel
from search.report.charts.drawing import Axis, log_ticks, tick_text
from search.report.charts.style import BEST, STATES, figure, literal
from search.words import count

_COLORS = (
    *(
        STATES[s].color
        for s in (State.COMPLETE, State.RUNNING, State.WAITING, State.FAIL, State.PRUNED)
    ),
    "#7a6ad8",
    "#8f6b4f",
)
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SHADE = 0.12


def regret_chart(regrets: Regrets) -> Chart:
    """Mean regret of each strategy by full trainings spent, on log axes, with 95 % bands."""
    title = f"Regret by compute, {count(regrets.n_workers, 'worker')}"
    # The same strategies have the same looks, however they stand.
    names = sorted(s.strategy for s in regrets.standings)
    others = [name for name in names if name not in REFERENCES]
    places = {name: i for i, name in enumerate(others)} | dict.fromkeys(REFERENCES, 0)
    traces = []
    for standing in regrets.standings:
        traces += _traces(standing, places[standing.strategy])
    caption = (
        "Mean regret over tasks and seeds of the best value so far"
        + (
            ", in units of random search’s at the end"
            if regrets.is_normalised
            else ", in points of accuracy"
        )
        + "; lower is better. Bands are 95 % bootstrap intervals over seeds. Both axes are"
        " logarithmic."
    )
    ends = "; ".join(f"{s.strategy} {s.at_parts[-1].mean:.2f}" for s in regrets.standings)
    alt = f"Mean regret at the end: {ends}."
    panels = (Panel(alt, _figure(regrets, traces)),) if traces else ()
    return Chart(
        f"regret-{regrets.n_workers}", title, caption, panels, "No task has runs of all strategies."
    )


def _figure(regrets: Regrets, traces: list[dict[str, Any]]) -> go.Figure:
    shown = np.concatenate([np.concatenate([s.mean, s.low, s.high]) for s in regrets.standings])
    shown = shown[np.isfinite(shown) & (shown > 0)]
    x = Axis(
        "full trainings spent", float(regrets.standings[0].spent[0]), regrets.budget, is_log=True
    )
    low, high = (float(shown.min()), float(shown.max())) if len(shown) else (0.1, 1.0)
    unit = "random search’s at the end = 1" if regrets.is_normalised else "points of accuracy"
    y = Axis(f"mean regret ({unit})", low / 1.1, high * 1.1, is_log=True)
    return figure(traces, height=520, xaxis=_axis(x), yaxis=_axis(y), showlegend=True)


def _axis(axis: Axis) -> dict[str, Any]:
    ticks = log_ticks(axis)
    return {
        "type": "log",
        "title": {"text": axis.title},
        "range": [axis.at(axis.low), axis.at(axis.high)],
        "tickvals": ticks,
        "ticktext": [tick_text(t) for t in ticks],
    }


def _traces(standing: Standing, place: int) -> list[dict[str, Any]]:
    color, dash = _COLORS[place % len(_COLORS)], _DASHES[1 + place % (len(_DASHES) - 1)]
    if standing.strategy in REFERENCES:
        color, dash = BEST, _DASHES[0]
    is_shown = np.isfinite(standing.mean) & (standing.mean > 0)
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": literal(standing.strategy),
        "legendgroup": standing.strategy,
        "x": standing.spent[is_shown].tolist(),
        "y": standing.mean[is_shown].tolist(),
        "line": {"color": color, "width": 2.4, "dash": dash},
        "hovertemplate": (
            f"<b>{literal(standing.strategy)}</b><br>%{{x:.2f}} spent: %{{y:.3f}}<extra></extra>"
        ),
    }
    sure = is_shown & np.isfinite(standing.low) & (standing.low > 0)
    if not sure.any():
        return [line]
    x = standing.spent[sure]
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    band = {
        "type": "scatter",
        "mode": "lines",
        "x": np.concatenate([x, x[::-1]]).tolist(),
        "y": np.concatenate([standing.high[sure], standing.low[sure][::-1]]).tolist(),
        "fill": "toself",
        "fillcolor": f"rgba({red},{green},{blue},{_SHADE})",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
        "legendgroup": standing.strategy,
    }
    return [band, line]
