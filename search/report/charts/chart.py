"""What the page needs to know of a figure, and what figures share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go

from search.analysis.baseline import baseline_cut, baseline_name
from search.analysis.ranking import best_trial
from search.records import ACCURACY, Objective, State, StudyRecord, TrialRecord, has_rank
from search.report.charts.style import BEST, REFERENCE, STATES, Window, literal
from search.words import count, number_text, plotted, settings, value_text

HEIGHT = 310
"""Pixels of a figure that shares the page's width with another."""
N_LINES = 150
N_POINTS = 2000
N_BARS = 400
N_PATTERNED = 100


@dataclass(frozen=True)
class Panel:
    """One drawing. `alt` says in words what it shows, for those who don't see it."""

    alt: str
    figure: go.Figure


@dataclass(frozen=True)
class Chart:
    """A titled set of panels with one caption; no panels when there is nothing to draw yet."""

    key: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    why_empty: str = "Nothing to draw yet."
    """What is said in place of panels."""


def scatter(
    mode: Literal["lines", "markers", "lines+markers", "text"],
    x: Sequence[Any],
    y: Sequence[Any],
    hover_text: Sequence[str | None] = (),
    **style: Any,
) -> dict[str, Any]:
    """A trace of points, lines or both; None in `x` and `y` is a gap.

    `hover_text` is shown over the points, with Plotly's tags.
    """
    trace = {"type": "scatter", "mode": mode, "x": list(x), "y": list(y), **style}
    if hover_text:
        trace |= {"text": list(hover_text), "hovertemplate": "%{text}<extra></extra>"}
    return trace


def hover(trial: TrialRecord) -> str:
    """What is shown over a trial's mark: its number, state, value and parameters."""
    lines = [f"<b>trial {trial.number}</b> · {trial.state.lower()}"]
    if trial.best:
        value = value_text(trial.objective, trial.value)
        lines.append(f"{value} at epoch {trial.best_epoch} of {trial.epochs}")
    if trial.state == State.FAIL and trial.reason:
        lines.append(literal(trial.reason[:80]))
    lines += [literal(settings({name: value})) for name, value in trial.params.items()]
    return "<br>".join(lines)


def thin(
    trials: Sequence[TrialRecord], limit: int, keep: Sequence[TrialRecord | None]
) -> list[TrialRecord]:
    """About `limit` of `trials`, evenly spaced in their order, with those of `keep`."""
    if len(trials) <= limit:
        return list(trials)
    kept = {t.number for t in keep if t is not None}
    chosen = {round(i * (len(trials) - 1) / (limit - 1)) for i in range(limit)}
    return [t for i, t in enumerate(trials) if i in chosen or t.number in kept]


def reference_lines(study: StudyRecord, first: float, last: float) -> list[dict[str, Any]]:
    """Level lines from `first` to `last`: the document's setting and the published figure."""
    document = study.document
    marks = []
    if document and has_rank(document) and document.value is not None:
        cut = f", {cut}" if (cut := baseline_cut(study)) else ""
        marks.append((document.value, f"{baseline_name(study)} (trial 0{cut})", "dash"))
    if (value := published_value(study)) is not None:
        split = literal(dict(study.published or {}).get("split", "unknown"))
        marks.append((value, f"published, {split} split", "dot"))
    return [
        scatter(
            "lines",
            [first, last],
            [plotted(study.objective, value)] * 2,
            name=f"{name}: {value_text(study.objective, value)}",
            line={"color": REFERENCE, "width": 1.6, "dash": dash},
            hoverinfo="name",
            hoverlabel={"namelength": -1},
        )
        for value, name, dash in marks
    ]


def published_value(study: StudyRecord) -> float | None:
    """The document's published accuracy, a fraction; None when there is none, and in a study for
    something else.
    """
    if study.objective != ACCURACY:
        return None
    published: Mapping[str, Any] = study.published or {}
    value = published.get("value")
    return float(value) if isinstance(value, int | float) else None


def notable(study: StudyRecord) -> tuple[TrialRecord | None, ...]:
    """Trials that no thinning may drop: the best and the document's own."""
    return best_trial(study), study.document


def marks(
    trials: Sequence[TrialRecord],
    state: State,
    x: Sequence[float],
    y: Sequence[float],
    text: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Trials of a state as points, in its colour and shape; `text` over them, else `hover`."""
    look = STATES[state]
    return scatter(
        "markers",
        x,
        y,
        name=state.lower(),
        marker={
            "color": look.color,
            "symbol": look.symbol,
            "size": 9 if len(trials) <= 200 else 6,
            "opacity": 0.9,
        },
        hover_text=[hover(t) for t in trials] if text is None else text,
    )


def whole(n: int) -> dict[str, Any]:
    """Axis settings for whole numbers up to `n`: no ticks between them."""
    return {"dtick": 1} if n <= 12 else {"tickformat": ",d"}


def below_note(objective: Objective, window: Window, noun: str) -> str:
    """The caption's sentence on values off the axis; empty when there are none."""
    if not window.n_worse:
        return ""
    lie = "lies" if window.n_worse == 1 else "lie"
    end = f"above {number_text(objective, window.high)}"
    if objective.is_maximized:
        end = f"below {_end_text(objective, window)}"
    return f" {count(window.n_worse, noun)} {end} {lie} off the axis; double-click to see all."


def _end_text(objective: Objective, window: Window) -> str:
    return f"{window.low:.1f} %" if objective.is_fraction else number_text(objective, window.low)


def plotted_value(trial: TrialRecord) -> float:
    """The trial's value as charts have it: fractions in percent; NaN while it has none."""
    return plotted(trial.objective, trial.value)


def thinned_note(n_shown: int, n_all: int, what: str) -> str:
    """The caption's sentence on what was left out; empty when nothing was."""
    return f" Drawn: {n_shown:,} of {n_all:,} {what}." if n_shown < n_all else ""


def best_so_far(records: Sequence[tuple[float, float]], last: float) -> dict[str, Any]:
    """The line through `records` (x, y), each better than the last; it goes on level to `last`."""
    steps = [*records, *((last, y) for _, y in records[-1:])]
    return scatter(
        "lines",
        [x for x, _ in steps],
        [y for _, y in steps],
        name="best so far",
        line={"shape": "hv", "color": BEST, "width": 2.5},
        hoverinfo="skip",
    )
