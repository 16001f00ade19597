"""The figure of whole settings: a line per trial through its value of every varied parameter. Pure.

The axes lie one under another, not side by side: their names then fit a phone, and their values a
line of text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.analysis.ranking import best_trial, ranking, space_params, varied_params
from search.records import State, StudyRecord, TrialRecord, has_rank, rank_key
from search.report.charts.chart import N_LINES, Chart, Panel, notable, scatter, thin, thinned_note
from search.report.charts.style import BEST, REFERENCE, STATES, figure, literal, narrow, short
from search.words import axis_title, count, number_text, show, value_text

_GOLDEN = 0.6180339887498949
_UNSET = -0.14
"""Where a parameter lies that a trial does not have."""
_ROW = 56
_N_LABELS = 7
_N_LEVEL = 5
_N_TOP = 20


@dataclass(frozen=True)
class _Axis:
    """A parameter from 0 to 1: each trial's place, by its number, and the labels."""

    name: str
    places: Mapping[int, float]
    labels: Sequence[tuple[float, str]]


def parallel_coordinates(study: StudyRecord) -> Chart:
    """Every trial's setting as a line over the parameters to its value; the best in colour."""
    title = f"Whole settings: parallel coordinates, down to {axis_title(study.objective)}"
    valued = [t for t in ranking(study) if has_rank(t)]
    names = varied_params(study, valued)
    if len(valued) < 2 or not names:
        return Chart(
            "parallel",
            title,
            "",
            (),
            "Two trials with a value and a parameter that varies are needed.",
        )
    top = valued[: max(1, round(len(valued) / 10))]
    shown = thin(valued, N_LINES, [*notable(study), *top[:_N_TOP]])
    axes = [_param_axis(name, shown, space_params(study).get(name)) for name in names] + [
        _value_axis(shown)
    ]
    some_unset = any(len(axis.places) < len(shown) for axis in axes)
    caption = (
        "One line per trial, through its value of each varied parameter. The best is on top, the"
        f" best tenth ({count(len(top), 'trial')}) in blue, the rest in grey. Every axis runs from"
        " the least to the largest value tried, on a logarithmic scale where the space searches it"
        " so; the last one spaces trials evenly by rank."
        + (
            " Where a line leaves to the far left, the parameter does not apply to that trial."
            if some_unset
            else ""
        )
        + thinned_note(
            len(shown),
            len(valued),
            "trials with a value, evenly spaced by rank, the best among them",
        )
    )
    traces = _traces(shown, top, best_trial(study), axes)
    alt = (
        f"Lines of {count(len(shown), 'trial')} over {count(len(names), 'parameter')}, coloured by"
        " rank."
    )
    return Chart(
        "parallel", title, caption, (Panel(alt, _drawn(traces, axes, some_unset=some_unset)),)
    )


def _traces(
    shown: Sequence[TrialRecord],
    top: Sequence[TrialRecord],
    best: TrialRecord | None,
    axes: Sequence[_Axis],
) -> list[dict[str, Any]]:
    """The lines of the rest, of the best tenth and of the best trial, in this order."""
    groups = (
        ([t for t in shown if t not in top], "other trials", REFERENCE, 1.2, 0.4),
        (
            [t for t in shown if t in top and t is not best],
            "best tenth",
            STATES[State.COMPLETE].color,
            *((2.0, 0.8) if len(top) <= _N_TOP else (1.4, 0.55)),
        ),
        (
            [t for t in shown if t is best],
            f"best: trial {best.number if best else 0}",
            BEST,
            3.2,
            1.0,
        ),
    )
    return [
        _lines(trials, axes, name, color, width, opacity)
        for trials, name, color, width, opacity in groups
        if trials
    ]


def _param_axis(name: str, trials: Sequence[TrialRecord], declared: Any) -> _Axis:
    by_trial = {t.number: t.params[name] for t in trials if name in t.params}
    values = list(by_trial.values())
    is_choice = isinstance(declared, Mapping) and "choices" in declared
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if is_choice or not numeric:
        different = sorted(set(values)) if numeric else sorted({show(v) for v in values})
        place = {show(v): (i + 0.5) / len(different) for i, v in enumerate(different)}
        spread = 0.4 / len(different)
        return _Axis(
            name,
            {n: place[show(v)] + spread * ((n * _GOLDEN) % 1 - 0.5) for n, v in by_trial.items()},
            [(x, narrow(text)) for text, x in list(place.items())[:: -(-len(place) // _N_LABELS)]],
        )
    log = isinstance(declared, Mapping) and bool(declared.get("log")) and min(values) > 0
    return _Axis(name, *_scaled(by_trial, min(values), max(values), log=log))


def _value_axis(trials: Sequence[TrialRecord]) -> _Axis:
    """Evenly by rank: by value, the many good trials of a search would all lie on one spot."""
    objective = trials[0].objective
    order = sorted(trials, key=rank_key, reverse=True)
    last = len(order) - 1
    values = [number_text(objective, t.value or 0.0) for t in order]
    labels = [(i / last, values[i]) for i in sorted({0, last // 2, last})]
    return _Axis(
        f"{axis_title(objective)}, by rank",
        {t.number: i / last for i, t in enumerate(order)},
        labels,
    )


def _scaled(
    values: Mapping[int, float], low: float, high: float, *, log: bool
) -> tuple[dict[int, float], list[tuple[float, str]]]:
    scale = np.log if log else np.asarray
    first = float(scale(low))
    last = float(scale(high))
    middle = float(np.exp((first + last) / 2)) if log else (first + last) / 2
    places = {
        n: (float(scale(v)) - first) / (last - first) if last > first else 0.5
        for n, v in values.items()
    }
    if last <= first:
        return places, [(0.5, show(low))]
    return places, [
        (x, f"{v:.3g}" if v < 1000 else f"{v:.0f}")
        for x, v in ((0.0, low), (0.5, middle), (1.0, high))
    ]


def _lines(
    trials: Sequence[TrialRecord],
    axes: Sequence[_Axis],
    name: str,
    color: str,
    width: float,
    opacity: float,
) -> dict[str, Any]:
    """All lines of a group as one trace with gaps, for hundreds would make the page slow."""
    x: list[float | None] = []
    y: list[int | None] = []
    text: list[str | None] = []
    for t in trials:
        x += [*(round(axis.places.get(t.number, _UNSET), 4) for axis in axes), None]
        y += [*range(len(axes)), None]
        text += [*(_label(t, axis.name) for axis in axes), None]
    return scatter(
        "lines+markers",
        x,
        y,
        hover_text=text,
        name=name,
        opacity=opacity,
        line={"color": color, "width": width},
        marker={"color": color, "size": 3 + width},
    )


def _label(trial: TrialRecord, name: str) -> str:
    value = (
        f"{name} = {show(trial.params[name])}"
        if name in trial.params
        else value_text(trial.objective, trial.value)
    )
    return f"trial {trial.number}: {literal(value)}"


def _drawn(traces: list[dict[str, Any]], axes: Sequence[_Axis], *, some_unset: bool) -> Any:
    left = _UNSET - 0.03 if some_unset else -0.03
    line = {
        "type": "line",
        "x0": 0,
        "x1": 1,
        "layer": "below",
        "line": {"color": REFERENCE, "width": 1},
    }
    written = []
    for i, axis in enumerate(axes):
        written += _written(axis, i, left)
    if some_unset:
        written.append(
            {
                "x": _UNSET,
                "y": len(axes) - 1,
                "text": "not<br>set",
                "yshift": -22,
                "font": {"size": 11},
            }
        )
    return figure(
        traces,
        height=90 + _ROW * len(axes),
        showlegend=True,
        margin={"l": 12, "r": 12, "t": 12, "b": 40},
        annotations=written,
        shapes=[line | {"y0": i, "y1": i} for i in range(len(axes))],
        xaxis={"range": [left, 1.05], "visible": False},
        yaxis={"range": [len(axes) - 0.3, -0.6], "visible": False},
    )


def _written(axis: _Axis, row: int, left: float) -> list[dict[str, Any]]:
    """The name over an axis and what its ends or choices mean under it."""
    name = {
        "x": left,
        "y": row,
        "text": f"<b>{short(axis.name, 40)}</b>",
        "xanchor": "left",
        "yshift": 15,
    }
    side = {0.0: "left", 1.0: "right"}
    # Where many choices would not fit side by side on a phone, every second one is written lower.
    step = 14 if len(axis.labels) > _N_LEVEL else 0
    return [
        name | {"font": {"size": 12}},
        *(
            {
                "x": x,
                "y": row,
                "text": text,
                "xanchor": side.get(x, "center"),
                "yanchor": "top",
                "yshift": -3 - step * (i % 2),
            }
            | {"font": {"size": 11}, "borderpad": 0}
            for i, (x, text) in enumerate(axis.labels)
        ),
    ]
