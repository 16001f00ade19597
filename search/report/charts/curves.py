"""Study → figures over epochs: every trial's learning curve, and the best trial from near. Pure."""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import plotly.graph_objects as go

from search.analysis.ranking import best_trial, ranking
from search.records import Objective, State, StudyRecord, TrialRecord
from search.report.charts.chart import (
    HEIGHT,
    N_LINES,
    Chart,
    Panel,
    below_note,
    hover,
    notable,
    scatter,
    thin,
    thinned_note,
    whole,
)
from search.report.charts.style import BEST, STATES, figure, value_window
from search.words import axis_title, count, hover_format, listing, per_cent, plotted, value_text

_N_NEAR = 10
# Drawn from the faintest to the plainest, so that what matters lies on top.
_OPACITY = {
    State.PRUNED: 0.45,
    State.FAIL: 0.6,
    State.WAITING: 0.7,
    State.COMPLETE: 0.6,
    State.RUNNING: 0.85,
}


def learning_curves(study: StudyRecord) -> Chart:
    """The validation value by epoch: a line per trial, pruned ones fainter, the best on top."""
    objective = study.objective
    curved = [t for t in ranking(study) if t.best]
    best = best_trial(study)
    shown = thin(curved, N_LINES, notable(study))
    longest = max((t.curve[-1].step for t in shown), default=1)
    window = value_window(objective, chain.from_iterable(map(_validation, shown)), reach=4)
    groups = [(s, [t for t in shown if t.state == s and t is not best]) for s in _OPACITY]
    traces = [_lines(group, state) for state, group in groups if group]
    if best:
        traces.append(_best_line(best))
    layout: dict[str, Any] = {
        "showlegend": True,
        "xaxis": {
            "title": {"text": "epoch"},
            "range": [1 - 0.03 * longest, 1.03 * longest],
            **whole(longest),
        },
        "yaxis": {"title": {"text": axis_title(objective)}, "range": [window.low, window.high]},
        "height": HEIGHT,
    }
    caption = (
        "One line per trial, with a mark at the last epoch it trained: a pruned trial's line ends"
        " where it was stopped. The best trial is drawn on top."
        + below_note(objective, window, "epoch")
        + thinned_note(len(shown), len(curved), "learning curves, evenly spaced by rank")
    )
    alt = (
        f"Validation {objective.title} by epoch of {count(len(shown), 'trial')}, the best one"
        " highlighted."
    )
    panels = [Panel(alt, figure(traces, **layout))] if curved else []
    if best and len(curved) > _N_NEAR:
        panels.append(_near(curved[:_N_NEAR], best))
        caption += f" Beside it, the {_N_NEAR} best from near."
    return Chart(
        "curves", f"Learning curves: {axis_title(objective)} by epoch", caption, tuple(panels)
    )


def _near(trials: Sequence[TrialRecord], best: TrialRecord) -> Panel:
    """The best trials on an axis of their own, as far down as their second half goes."""
    objective = best.objective
    late = []
    for trial in trials:
        late += _validation(trial)[len(trial.curve) // 2 :]
    window = value_window(objective, late)
    longest = max(t.curve[-1].step for t in trials)
    others = [t for t in trials if t is not best]
    groups = [(s, [t for t in others if t.state == s]) for s in _OPACITY]
    traces = [*(_lines(group, state) for state, group in groups if group), _best_line(best)]
    layout: dict[str, Any] = {
        "showlegend": True,
        "xaxis": {
            "title": {"text": "epoch"},
            "range": [1 - 0.03 * longest, 1.03 * longest],
            **whole(longest),
        },
        "yaxis": {"title": {"text": axis_title(objective)}, "range": [window.low, window.high]},
        "height": HEIGHT,
    }
    end = f"up to {window.high:.4g}"
    if objective.is_maximized:
        end = f"from {window.low:.1f}{' %' if objective.is_fraction else ''} up"
    alt = f"Validation {objective.title} by epoch of the {len(trials)} best trials, {end}."
    return Panel(alt, figure(traces, **layout))


def best_trial_epochs(study: StudyRecord) -> Chart:
    """What the best trial reached by epoch, its accuracy and its loss, on training and on
    validation data.
    """
    best = best_trial(study)
    parts = _parts(study.objective, best)
    title = f"The best trial: {listing([part.title for part in parts])} by epoch"
    if best is None:
        return Chart("best", title, "", ())
    objective = study.objective
    extreme = "highest" if objective.is_maximized else "lowest"
    plain = "plain cross-entropy" if _has_classes(best) else "the mean squared error"
    caption = (
        f"Trial {best.number}. Its {extreme} validation {objective.title},"
        f" {value_text(objective, best.value)}, came"
        f" at epoch {best.best_epoch} (upright line). Where training goes on improving while"
        " validation turns back, the model overfits. Training figures are means over the epoch"
        " while the weights still changed, with dropout and any augmentation on, and their loss"
        " holds what penalties and label smoothing the setting has; validation is measured at the"
        f" epoch's end, its loss {plain}."
    )
    name = f"Trial {best.number}: training and validation"
    panels = tuple(
        Panel(f"{name} {part.name} by epoch.", _training_and_validation(best, part))
        for part in parts
    )
    return Chart("best", title, caption, panels)


class _Part(NamedTuple):
    """A panel of the best trial: what is drawn, and how."""

    name: str
    key: str
    """Among an epoch's values, with val_ before it for validation."""
    title: str
    axis: str
    scale: float = 1.0
    digits: str = ".4f"


_ACCURACY = _Part("accuracy", "accuracy", "accuracy (%)", "accuracy (%)", 100.0, ".2f")
_CROSS_ENTROPY = _Part("loss", "loss", "loss (nats)", "loss (cross-entropy, nats)")
_LOSS = _Part("loss", "loss", "loss", "loss")
_DRAWN = ("log_loss", "mse")
"""Objectives that are the validation loss by another name."""


def _parts(objective: Objective, best: TrialRecord | None) -> list[_Part]:
    parts = [_ACCURACY, _CROSS_ENTROPY] if best is None or _has_classes(best) else [_LOSS]
    if objective.name in _DRAWN or objective.key in {f"val_{part.key}" for part in parts}:
        return parts
    title = f"{objective.title}{per_cent(objective)}"
    scale = 100.0 if objective.is_fraction else 1.0
    digits = ".2f" if objective.is_fraction else ".4g"
    key = objective.key.removeprefix("val_")
    return [_Part(objective.title, key, title, title, scale, digits), *parts]


def _has_classes(trial: TrialRecord) -> bool:
    """Whether accuracy was measured: it never is of numbers."""
    return trial.val_accuracy is not None


def _validation(trial: TrialRecord) -> list[float]:
    """The trial's plotted value after each epoch."""
    return [plotted(trial.objective, trial.value_at(epoch)) for epoch in trial.curve]


def _lines(trials: Sequence[TrialRecord], state: State) -> dict[str, Any]:
    """All curves of a state as one trace with gaps, for hundreds would make the page slow."""
    x: list[int | None] = []
    y: list[float | None] = []
    sizes: list[int] = []
    numbers: list[int | None] = []
    for t in trials:
        x += [*(e.step for e in t.curve), None]
        y += [*_validation(t), None]
        sizes += [0] * (len(t.curve) - 1) + [8, 0]
        numbers += [t.number] * len(t.curve) + [None]
    look = STATES[state]
    return scatter(
        "lines+markers",
        x,
        y,
        customdata=numbers,
        name=state.lower(),
        opacity=_OPACITY[state],
        line={
            "color": look.color,
            "width": 1.2 if state == State.PRUNED or len(trials) > 60 else 1.6,
        },
        marker={
            "color": look.color,
            "symbol": look.symbol,
            "size": sizes,
            "opacity": 1,
            "line": {"width": 0},
        },
        hovertemplate=(
            f"trial %{{customdata}}, epoch %{{x}}: {hover_format(trials[0].objective)}"
            f"<extra>{state.lower()}</extra>"
        ),
    )


def _best_line(best: TrialRecord) -> dict[str, Any]:
    return scatter(
        "lines+markers",
        [e.step for e in best.curve],
        _validation(best),
        name=f"best: trial {best.number}",
        line={"color": BEST, "width": 3},
        marker={
            "color": BEST,
            "symbol": "star",
            "size": [13 if e.step == best.best_epoch else 5 for e in best.curve],
            "line": {"width": 0},
        },
        text=[hover(best)] * len(best.curve),
        hovertemplate=f"epoch %{{x}}: {hover_format(best.objective)}<br>%{{text}}<extra></extra>",
    )


def _training_and_validation(best: TrialRecord, part: _Part) -> go.Figure:
    steps = [e.step for e in best.curve]
    styles = (
        ("training", part.key, STATES[State.PRUNED].color, "dash", "square"),
        ("validation", f"val_{part.key}", BEST, "solid", "circle"),
    )
    traces = [
        scatter(
            "lines+markers",
            steps,
            [part.scale * e.values.get(key, math.nan) for e in best.curve],
            name=name,
            line={"color": color, "dash": dash, "width": 2.2},
            marker={"color": color, "symbol": symbol, "size": 6},
            hovertemplate=f"epoch %{{x}}: %{{y:{part.digits}}}<extra>{name}</extra>",
        )
        for name, key, color, dash, symbol in styles
        if name == "validation" or any(key in e.values for e in best.curve)
    ]
    mark = {
        "type": "line",
        "x0": best.best_epoch,
        "x1": best.best_epoch,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
    }
    return figure(
        traces,
        height=260,
        xaxis={"title": {"text": "epoch"}, **whole(steps[-1])},
        yaxis={"title": {"text": part.axis}},
        shapes=[mark | {"line": {"color": BEST, "width": 1.5, "dash": "dot"}}],
    )
