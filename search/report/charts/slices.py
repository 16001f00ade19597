"""Study → one small figure per varied parameter: the validation value against its value. Pure."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import plotly.graph_objects as go

from search.analysis.ranking import (
    best_trial,
    space_params,
    started_trials,
    varied_params,
)
from search.records import Objective, StudyRecord, TrialRecord, has_rank
from search.report.charts.chart import (
    Chart,
    Panel,
    below_note,
    marks,
    notable,
    plotted_value,
    scatter,
    thin,
    thinned_note,
)
from search.report.charts.style import (
    BEST,
    REFERENCE,
    STATES,
    Window,
    figure,
    literal,
    narrow,
    short,
    value_window,
)
from search.words import axis_title, show, value_text

_N_POINTS = 500
"""Of each panel: a search has many parameters."""
_N_LETTERS = 42
"""That fit side by side under a panel."""
_GOLDEN = 0.6180339887498949


def parameters(study: StudyRecord) -> Chart:
    """A panel per parameter that varies among trials with a value, all on one axis of values."""
    objective = study.objective
    valued = [t for t in started_trials(study) if has_rank(t)]
    shown = thin(valued, _N_POINTS, notable(study))
    names = varied_params(study, valued)
    window = value_window(objective, [plotted_value(t) for t in valued])
    best = best_trial(study)
    panels = tuple(
        _panel(name, [t for t in shown if name in t.params], study, window, best) for name in names
    )
    caption = (
        f"Validation {objective.title} against each parameter that was varied, on the same scale;"
        " the star is the best trial, a short bar the median of a choice. The search itself chose"
        " where to look, so a crowd of marks shows its interest, and a slope may belong to another"
        " parameter that changed along."
        + below_note(objective, window, "trial")
        + thinned_note(len(shown), len(valued), "trials with a value, evenly spaced")
    )
    return Chart("parameters", f"Slices: {axis_title(objective)} by parameter", caption, panels)


def _panel(
    name: str,
    trials: list[TrialRecord],
    study: StudyRecord,
    window: Window,
    best: TrialRecord | None,
) -> Panel:
    values = [t.params[name] for t in trials]
    x: list[float]
    traces: list[dict[str, Any]]
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        x = [float(v) for v in values]
        traces = []
        axis = _number_axis(x, space_params(study).get(name))
    else:
        x, axis, traces = _strips(trials, values)
    for state in STATES:
        picked = [i for i, t in enumerate(trials) if t.state == state and t is not best]
        if picked:
            rows = [trials[i] for i in picked]
            text = [_label(t, name) for t in rows]
            trace = marks(
                rows, state, [x[i] for i in picked], [plotted_value(t) for t in rows], text
            )
            trace["marker"] |= {"size": 7 if len(trials) <= 200 else 5, "opacity": 0.8}
            traces.append(trace)
    star = next((i for i, t in enumerate(trials) if t is best), None)
    if star is not None:
        traces.append(_star(trials[star], x[star], name))
    alt = f"Validation {study.objective.title} against {name}."
    return Panel(alt, _small(traces, name, axis, window, study.objective))


def _small(
    traces: list[dict[str, Any]],
    name: str,
    axis: dict[str, Any],
    window: Window,
    objective: Objective,
) -> go.Figure:
    return figure(
        traces,
        height=200,
        showlegend=False,
        margin={"l": 52, "r": 12, "t": 10, "b": 44},
        xaxis={
            "title": {
                "text": literal(name) + (" (log scale)" if axis.get("type") == "log" else "")
            },
            **axis,
        },
        yaxis={
            "title": {"text": axis_title(objective), "font": {"size": 12}},
            "range": [window.low, window.high],
            "nticks": 6,
        },
    )


def _number_axis(numbers: Sequence[float], declared: Any) -> dict[str, Any]:
    """Logarithmic where the space says so or, if it is silent, positive values span decades."""
    limits = declared if isinstance(declared, Mapping) else {}
    low = min(numbers)
    high = max(numbers)
    spans = high >= (8 if "choices" in limits else 100) * low
    log = low > 0 and (bool(limits["log"]) if "log" in limits else spans)
    axis: dict[str, Any] = {"type": "log" if log else "linear"}
    different = sorted(set(numbers))
    if len(different) <= 7 and ("choices" in limits or all(v % 1 == 0 for v in different)):
        # A few values, as of a choice, are the only ticks that mean something.
        return axis | {
            "tickvals": different,
            "ticktext": [show(v) if v % 1 else f"{v:.0f}" for v in different],
        }
    return axis | (
        {"dtick": 1, "exponentformat": "power"} if log and high > 10 * low else {"nticks": 6}
    )


def _strips(
    trials: Sequence[TrialRecord], values: Sequence[Any]
) -> tuple[list[float], dict[str, Any], list[dict[str, Any]]]:
    """Text values as strips: x with a fixed spread by trial number, the axis, the medians."""
    names = sorted({show(v) for v in values})
    place = {n: i for i, n in enumerate(names)}
    labels = [narrow(n) for n in names]
    lines = "<br>".join(labels).split("<br>")
    level = len(names) * max(map(len, lines)) <= _N_LETTERS
    x = [
        place[show(v)] + 0.5 * ((t.number * _GOLDEN) % 1 - 0.5)
        for t, v in zip(trials, values, strict=True)
    ]
    bars_x: list[float | None] = []
    bars_y: list[float | None] = []
    for n, i in place.items():
        middle = median(
            plotted_value(t) for t, v in zip(trials, values, strict=True) if show(v) == n
        )
        bars_x += [i - 0.32, i + 0.32, None]
        bars_y += [middle, middle, None]
    line = scatter(
        "lines", bars_x, bars_y, line={"color": REFERENCE, "width": 2.5}, hoverinfo="skip"
    )
    axis = {
        "tickvals": list(range(len(names))),
        "ticktext": labels if level else [short(n) for n in names],
        "tickangle": 0 if level else -90,
        "tickfont": {"size": 11},
        "range": [-0.6, len(names) - 0.4],
        "showgrid": False,
    }
    return x, axis, [line]


def _star(best: TrialRecord, x: float, name: str) -> dict[str, Any]:
    return scatter(
        "markers",
        [x],
        [plotted_value(best)],
        marker={"color": BEST, "symbol": "star", "size": 14},
        hover_text=[f"{_label(best, name)}<br>the best"],
    )


def _label(trial: TrialRecord, name: str) -> str:
    value = literal(f"{name}={show(trial.params[name])}")
    return (
        f"<b>trial {trial.number}</b> ·"
        f" {trial.state.lower()}<br>{value}<br>{value_text(trial.objective, trial.value)}"
    )
