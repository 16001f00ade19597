"""Study → figures over trials. Pure: records in, Plotly figures out."""

import math
from typing import Any

from search.analysis.ranking import started_trials
from search.records import State, StudyRecord, TrialRecord, has_rank
from search.report.charts.chart import (
    HEIGHT,
    N_BARS,
    N_PATTERNED,
    N_POINTS,
    Chart,
    Panel,
    below_note,
    best_so_far,
    marks,
    notable,
    plotted_value,
    reference_lines,
    thin,
    thinned_note,
    whole,
)
from search.report.charts.style import STATES, figure, value_window
from search.words import axis_title, count, duration, extreme


def accuracy_by_trial(study: StudyRecord) -> Chart:
    """Each trial's best validation value by number, the best so far and reference lines."""
    objective = study.objective
    trials = started_trials(study)
    valued = [t for t in trials if has_rank(t)]
    failed = [t for t in trials if t.state == State.FAIL]
    records = _records(valued)
    shown = thin(valued, N_POINTS, [*notable(study), *records])
    last = max((t.number for t in trials), default=0)
    lines = reference_lines(study, -0.5, last + 0.5)
    levels = [line["y"][0] for line in lines]
    window = value_window(objective, [plotted_value(t) for t in valued], levels)
    groups = [(s, [t for t in shown if t.state == s]) for s in STATES]
    traces = [
        marks(g, s, [t.number for t in g], [plotted_value(t) for t in g]) for s, g in groups if g
    ]
    layout: dict[str, Any] = {
        "xaxis": {
            "title": {"text": "trial (number)"},
            "range": [-0.5, last + 0.5],
            **whole(last + 1),
        },
        "yaxis": {"title": {"text": axis_title(objective)}, "range": [window.low, window.high]},
        "height": HEIGHT,
    }
    if failed:
        traces.append(_add_strip(layout, thin(failed, N_POINTS, [])))
    caption = (
        f"Each mark is a trial at the {extreme(objective)} validation {objective.title} of its"
        " epochs; the line is the best so far."
        + (" Failed trials have no rank and lie in the strip below." if failed else "")
        + below_note(objective, window, "trial")
        + thinned_note(
            len(shown), len(valued), "trials with a value, evenly spaced, all records among them"
        )
    )
    alt = (
        f"Validation {objective.title} of {count(len(valued), 'trial')} by trial number, with the"
        " best so far."
    )
    line = best_so_far([(t.number, plotted_value(t)) for t in records], last)
    panel = Panel(alt, figure([*traces, *lines, line], **layout))
    return Chart(
        "accuracy",
        f"Search history: {axis_title(objective)} by trial",
        caption,
        (panel,) if trials else (),
    )


def compute(study: StudyRecord) -> Chart:
    """Training seconds by trial, coloured by state; neighbours are summed where there are many."""
    trials = [t for t in started_trials(study) if t.curve]
    last = max((t.number for t in trials), default=0)
    width = math.ceil((last + 1) / N_BARS)
    spent = {s: _seconds_by_bin([t for t in trials if t.state == s], width) for s in STATES}
    totals = {s: sum(bins.values()) for s, bins in spent.items() if bins}
    total = sum(totals.values())
    traces = [
        _bars(state, bins, width, patterns=last < N_PATTERNED)
        for state, bins in spent.items()
        if bins
    ]
    layout = {
        "barmode": "stack",
        "showlegend": True,
        "xaxis": {
            "title": {"text": "trial (number)"},
            "range": [-0.6, last + 0.6],
            **whole(last + 1),
        },
        "yaxis": {"title": {"text": "training time (s)"}, "rangemode": "tozero"},
    }
    shares = [f"{s.lower()} {duration(t)} ({_share(t, total)})" for s, t in totals.items()]
    caption = (
        f"Wall-clock seconds of completed epochs, {duration(total)} in all:"
        f" {', '.join(shares) or 'none'}."
        + (f" Each bar sums {width} consecutive trials." if width > 1 else "")
    )
    alt = f"Training seconds of {count(len(trials), 'trial')} by trial number, coloured by state."
    panels = (Panel(alt, figure(traces, height=HEIGHT, **layout)),) if trials else ()
    return Chart("compute", "Where the time went: training time (s) by trial", caption, panels)


def _share(part: float, whole: float) -> str:
    share = 100 * part / whole if whole else 0.0
    return "under 1 %" if 0 < share < 1 else f"{share:.0f} %"


def _add_strip(layout: dict[str, Any], failed: list[TrialRecord]) -> dict[str, Any]:
    """Failed trials as marks under the chart; `layout` gets room and a second y axis for them."""
    layout["yaxis"]["domain"] = [0.14, 1]
    layout["xaxis"]["anchor"] = "y2"
    layout["yaxis2"] = {
        "domain": [0, 0.09],
        "range": [-1, 1],
        "tickvals": [0],
        "ticktext": ["failed"],
        "showgrid": False,
        "fixedrange": True,
    }
    return marks(failed, State.FAIL, [t.number for t in failed], [0.0] * len(failed)) | {
        "yaxis": "y2"
    }


def _records(trials: list[TrialRecord]) -> list[TrialRecord]:
    """The trials that were better than all before them."""
    records: list[TrialRecord] = []
    for t in trials:
        if not records or (t.score or 0.0) > (records[-1].score or 0.0):
            records.append(t)
    return records


def _seconds_by_bin(trials: list[TrialRecord], width: int) -> dict[int, float]:
    bins: dict[int, float] = {}
    for t in trials:
        bins[t.number // width] = bins.get(t.number // width, 0.0) + t.train_s
    return bins


def _bars(state: State, bins: dict[int, float], width: int, *, patterns: bool) -> dict[str, Any]:
    look = STATES[state]
    return {
        "type": "bar",
        "x": [b * width + (width - 1) / 2 for b in bins],
        "y": list(bins.values()),
        "width": 0.8 * width,
        "name": state.lower(),
        "marker": {
            "color": look.color,
            "line": {"width": 1 if patterns else 0, "color": look.color},
            # On bars of a few pixels a pattern is only noise.
            "pattern": {
                "shape": look.pattern if patterns else "",
                "size": 6,
                "solidity": 0.35,
                "fillmode": "replace",
            },
        },
        "hovertemplate": f"trial %{{x}}: %{{y:.1f}} s<extra>{state.lower()}</extra>",
    }
