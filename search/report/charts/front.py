"""The chart of the Pareto front: what a study for several objectives trades for what. Pure."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from search.analysis.finalists import Judgement
from search.analysis.ranking import front, started_trials
from search.analysis.statistics import Interval
from search.records import Objective, State, StudyRecord, TrialRecord, has_rank
from search.report.charts.chart import (
    N_POINTS,
    Chart,
    Panel,
    below_note,
    hover,
    plotted_value,
    scatter,
    thin,
    thinned_note,
)
from search.report.charts.style import BEST, REFERENCE, STATES, figure, value_window
from search.words import axis_title, count, per_cent, plotted, titles, value_text

_WIDE = 10.0
"""The axis of a fact is logarithmic where its values span more than this."""


def front_chart(study: StudyRecord, judgement: Judgement | None) -> Chart | None:
    """Each trial by the first objective and another, a panel for each; None for one objective."""
    numbers = front(study)
    if numbers is None:
        return None
    first = study.objective
    valued = [t for t in started_trials(study) if has_rank(t) and t.scores is not None]
    members = [t for t in valued if t.number in numbers]
    title = f"Pareto front: {titles(first, study.others)}"
    if not members:
        return Chart("front", title, "", (), "No trial is known by all objectives yet.")
    shown = thin(valued, N_POINTS, members)
    window = value_window(first, [plotted_value(t) for t in valued], _test_values(judgement))
    panels = [
        _panel(shown, members, judgement, place, (window.low, window.high))
        for place in range(len(study.others))
    ]
    caption = (
        f"{count(len(members), 'trial')} of {len(valued):,} {'is' if len(members) == 1 else 'are'}"
        " on the front: none is at least as good by every objective and better by one, on"
        " validation."
        + _finalists_note(judgement)
        + below_note(first, window, "trial")
        + thinned_note(len(shown), len(valued), "trials, the front among them")
    )
    return Chart("front", title, caption, tuple(panels))


def _finalists_note(judgement: Judgement | None) -> str:
    if judgement is None or judgement.best is None:
        return ""
    return (
        " Diamonds are the finalists’ means on the test set, with their 95 % intervals over"
        " replicates."
    )


def _test_values(judgement: Judgement | None) -> list[float]:
    """What the vertical axis must reach."""
    intervals = [row.interval for row in judgement.rows if row.interval] if judgement else []
    ends = [(i.low, i.mean, i.high) for i in intervals]
    finite = [end for end in chain.from_iterable(ends) if end is not None]
    return [plotted(judgement.objective, end) for end in finite] if judgement else []


def _panel(
    trials: Sequence[TrialRecord],
    members: Sequence[TrialRecord],
    judgement: Judgement | None,
    place: int,
    window: tuple[float, float],
) -> Panel:
    """The first objective against the other one at `place`."""
    first, other = members[0].objective, members[0].others[place]
    numbers = {t.number for t in members}
    rest = [t for t in trials if t.number not in numbers]
    line = sorted(members, key=lambda t: _across(t, other))
    traces = [
        _points(rest, other, "beaten", REFERENCE, "circle-open"),
        _points(line, other, "on the front", STATES[State.COMPLETE].color, "circle"),
    ]
    if len(members[0].others) == 1:
        traces[1] |= {"mode": "lines+markers", "line": _steps(other)}
    traces += _finalists(judgement, place)
    values = [_across(t, other) for t in trials]
    is_wide = other.is_fact and min(values) > 0 and max(values) > _WIDE * min(values)
    split = "" if other.is_fact else "validation "
    layout: dict[str, Any] = {
        "xaxis": {
            "title": {"text": f"{split}{other.title}{per_cent(other)}"},
            **({"type": "log", "dtick": 1} if is_wide else {}),
        },
        "yaxis": {"title": {"text": axis_title(first)}, "range": list(window)},
        "showlegend": True,
    }
    ends = [f"trial {t.number} {_pair_text(t, other)}" for t in (line[0], line[-1])]
    alt = (
        f"{count(len(members), 'trial')} on the front of {first.title} against {other.title},"
        f" from {' to '.join(ends)}."
    )
    return Panel(alt, figure([t for t in traces if t["x"]], **layout))


def _across(trial: TrialRecord, other: Objective) -> float:
    return plotted(other, trial.value_of(other))


def _pair_text(trial: TrialRecord, other: Objective) -> str:
    first = value_text(trial.objective, trial.value)
    return f"({first}, {value_text(other, trial.value_of(other))} {other.title})"


def _steps(other: Objective) -> dict[str, Any]:
    """The edge of what is reached: up to a point's own value of the other objective, or from it."""
    shape = "vh" if other.is_maximized else "hv"
    return {"shape": shape, "width": 1.6, "color": STATES[State.COMPLETE].color}


def _points(
    trials: Sequence[TrialRecord], other: Objective, name: str, color: str, symbol: str
) -> dict[str, Any]:
    texts = [f"{hover(t)}<br>{other.title} {value_text(other, t.value_of(other))}" for t in trials]
    return scatter(
        "markers",
        [_across(t, other) for t in trials],
        [plotted_value(t) for t in trials],
        texts,
        name=name,
        marker={"color": color, "symbol": symbol, "size": 8},
    )


def _finalists(judgement: Judgement | None, place: int) -> list[dict[str, Any]]:
    """The test means of finalists, with their intervals both ways."""
    if judgement is None:
        return []
    pairs = [(row, row.interval, row.others[place]) for row in judgement.rows if row.others]
    scored = [(row, up, across) for row, up, across in pairs if up and across]
    if not scored:
        return []
    first, other = judgement.objective, judgement.others[place]
    trace = scatter(
        "markers",
        [plotted(other, across.mean) for _, _, across in scored],
        [plotted(first, up.mean) for _, up, _ in scored],
        [
            f"<b>trial {row.trial}</b>, test set<br>{value_text(first, up.mean)}"
            f"<br>{other.title} {value_text(other, across.mean)}"
            for row, up, across in scored
        ],
        name="finalists, test set",
        marker={"color": BEST, "symbol": "diamond", "size": 11},
        error_y=_bars(first, [up for _, up, _ in scored]),
    )
    return [trace | {"error_x": _bars(other, [across for _, _, across in scored])}]


def _bars(objective: Objective, intervals: Sequence[Interval]) -> dict[str, Any]:
    above = [0.0 if i.high is None else i.high - i.mean for i in intervals]
    below = [0.0 if i.low is None else i.mean - i.low for i in intervals]
    return {
        "type": "data",
        "symmetric": False,
        "array": [plotted(objective, size) for size in above],
        "arrayminus": [plotted(objective, size) for size in below],
        "thickness": 2,
        "width": 5,
        "color": BEST,
    }
