"""Study → figures over epochs: every trial's learning curve, and the best trial from near. Pure."""

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from search.analysis.ranking import best_trial, ranking
from search.records import Epoch, State, StudyRecord, TrialRecord, epochs_of
from search.report.charts.chart import (
    ACCURACY,
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
from search.report.charts.style import BEST, STATES, accuracy_window, figure
from search.words import count, percent

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
    """Validation accuracy by epoch: a line per trial, pruned ones fainter, the best on top."""
    curved = [t for t in ranking(study) if t.best]
    best = best_trial(study)
    shown = thin(curved, N_LINES, notable(study))
    longest = max((t.curve[-1].step for t in shown), default=1)
    window = accuracy_window(map(_validation, epochs_of(shown)), reach=4)
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
        "yaxis": {"title": {"text": ACCURACY}, "range": [window.low, window.high]},
        "height": HEIGHT,
    }
    caption = (
        "One line per trial, with a mark at the last epoch it trained: a pruned trial's line ends"
        " where it was stopped. The best trial is drawn on top."
        + below_note(window, "epoch")
        + thinned_note(len(shown), len(curved), "learning curves, evenly spaced by rank")
    )
    alt = f"Validation accuracy by epoch of {count(len(shown), 'trial')}, the best one highlighted."
    panels = [Panel(alt, figure(traces, **layout))] if curved else []
    if best and len(curved) > _N_NEAR:
        panels.append(_near(curved[:_N_NEAR], best))
        caption += f" Beside it, the {_N_NEAR} best from near."
    return Chart(
        "curves", "Learning curves: validation accuracy (%) by epoch", caption, tuple(panels)
    )


def _near(trials: Sequence[TrialRecord], best: TrialRecord) -> Panel:
    """The best trials on an axis of their own, as far down as their second half goes."""
    late = []
    for trial in trials:
        late += [_validation(epoch) for epoch in trial.curve[len(trial.curve) // 2 :]]
    window = accuracy_window(late)
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
        "yaxis": {"title": {"text": ACCURACY}, "range": [window.low, window.high]},
        "height": HEIGHT,
    }
    alt = (
        f"Validation accuracy by epoch of the {len(trials)} best trials, from {window.low:.1f}"
        " % up."
    )
    return Panel(alt, figure(traces, **layout))


def best_trial_epochs(study: StudyRecord) -> Chart:
    """Accuracy and loss of the best trial by epoch, on training and on validation data."""
    best = best_trial(study)
    if best is None:
        return Chart("best", "The best trial: accuracy (%) and loss (nats) by epoch", "", ())
    caption = (
        f"Trial {best.number}. Its highest validation accuracy, {percent(best.val_accuracy)}, came"
        f" at epoch {best.best_epoch} (upright line). Where training goes on improving while"
        " validation turns back, the model overfits. Training figures are means over the epoch"
        " while the weights still changed, with dropout and any augmentation on, and their loss"
        " holds what penalties and label smoothing the setting has; validation is measured at the"
        " epoch's end, its loss plain cross-entropy."
    )
    accuracy = (
        [100 * e.values.get("accuracy", math.nan) for e in best.curve],
        [_validation(e) for e in best.curve],
    )
    loss = (
        [e.values.get("loss", math.nan) for e in best.curve],
        [e.values.get("val_loss", 0.0) for e in best.curve],
    )
    name = f"Trial {best.number}: training and validation"
    panels = (
        Panel(
            f"{name} accuracy by epoch.",
            _training_and_validation(best, accuracy, "accuracy (%)", ".2f"),
        ),
        Panel(
            f"{name} loss by epoch.",
            _training_and_validation(best, loss, "loss (cross-entropy, nats)", ".4f"),
        ),
    )
    return Chart("best", "The best trial: accuracy (%) and loss (nats) by epoch", caption, panels)


def _validation(epoch: Epoch) -> float:
    """Validation accuracy in percent; a trial that validates nothing has no curve."""
    return 100 * (epoch.val_accuracy or 0.0)


def _lines(trials: Sequence[TrialRecord], state: State) -> dict[str, Any]:
    """All curves of a state as one trace with gaps, for hundreds would make the page slow."""
    x: list[int | None] = []
    y: list[float | None] = []
    sizes: list[int] = []
    numbers: list[int | None] = []
    for t in trials:
        x += [*(e.step for e in t.curve), None]
        y += [*(_validation(e) for e in t.curve), None]
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
            "trial %{customdata}, epoch %{x}: %{y:.2f} %<extra>" + state.lower() + "</extra>"
        ),
    )


def _best_line(best: TrialRecord) -> dict[str, Any]:
    return scatter(
        "lines+markers",
        [e.step for e in best.curve],
        [_validation(e) for e in best.curve],
        name=f"best: trial {best.number}",
        line={"color": BEST, "width": 3},
        marker={
            "color": BEST,
            "symbol": "star",
            "size": [13 if e.step == best.best_epoch else 5 for e in best.curve],
            "line": {"width": 0},
        },
        text=[hover(best)] * len(best.curve),
        hovertemplate="epoch %{x}: %{y:.2f} %<br>%{text}<extra></extra>",
    )


def _training_and_validation(
    best: TrialRecord, values: tuple[list[float], list[float]], title: str, digits: str
) -> go.Figure:
    steps = [e.step for e in best.curve]
    styles = (
        ("training", STATES[State.PRUNED].color, "dash", "square"),
        ("validation", BEST, "solid", "circle"),
    )
    traces = [
        scatter(
            "lines+markers",
            steps,
            y,
            name=name,
            line={"color": color, "dash": dash, "width": 2.2},
            marker={"color": color, "symbol": symbol, "size": 6},
            hovertemplate=f"epoch %{{x}}: %{{y:{digits}}}<extra>{name}</extra>",
        )
        for (name, color, dash, symbol), y in zip(styles, values, strict=True)
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
        yaxis={"title": {"text": title}},
        shapes=[mark | {"line": {"color": BEST, "width": 1.5, "dash": "dot"}}],
    )
