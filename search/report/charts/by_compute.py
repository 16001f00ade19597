"""The figure of what a search found for what it spent. Pure: records in, Plotly figures out."""

import math
from dataclasses import replace
from itertools import accumulate
from typing import Any, NamedTuple

from search.analysis.cost import hours_by_second
from search.analysis.ranking import started_trials
from search.records import Epoch, Objective, Search, StudyRecord, TrialRecord, has_rank
from search.report.charts.chart import (
    HEIGHT,
    N_POINTS,
    Chart,
    Panel,
    below_note,
    best_so_far,
    hover,
    marks,
    notable,
    plotted_value,
    reference_lines,
    scatter,
    thin,
    thinned_note,
)
from search.report.charts.style import BEST, STATES, Window, figure, value_window
from search.words import axis_title, count, extreme, plotted


class _Paid(NamedTuple):
    """An epoch, and the compute that the whole search had spent when it ended."""

    trial: TrialRecord
    epoch: Epoch
    spent: float


def accuracy_by_compute(search: Search) -> Chart:
    """The best validation value so far against the compute spent; finalists are marked.

    Each trial is where it came to its best.
    """
    study = search.study
    objective = study.objective
    paid, unit = _paid(study)
    last = paid[-1].spent if paid else 0.0
    came = {p.trial.number: p.spent for p in paid if p.epoch is p.trial.best}
    valued = sorted((t for t in started_trials(study) if has_rank(t)), key=lambda t: came[t.number])
    finalists = [t for t in valued if t.number in _sources(search.finalists)]
    shown = thin(valued, N_POINTS, [*notable(study), *finalists])
    lines = reference_lines(study, 0.0, last)
    levels = [line["y"][0] for line in lines]
    window = _window(objective, [plotted_value(t) for t in valued], levels)
    groups = [(s, [t for t in shown if t.state == s]) for s in STATES]
    traces = [
        marks(g, s, [came[t.number] for t in g], [plotted_value(t) for t in g])
        for s, g in groups
        if g
    ]
    traces += [*lines, _best_so_far(paid)]
    traces += [_rings(finalists, [came[t.number] for t in finalists])] if finalists else []
    layout: dict[str, Any] = {
        "xaxis": {
            "title": {"text": f"compute spent by the search ({unit})"},
            "rangemode": "tozero",
            "exponentformat": "power",
        },
        "yaxis": {"title": {"text": axis_title(objective)}, "range": [window.low, window.high]},
        "height": HEIGHT,
    }
    caption = (
        f"The line is the best validation {objective.title} so far against the compute that the"
        " whole search had spent by then, failed trials included. Each mark is a trial at the epoch"
        f" of its {extreme(objective)}."
        + (" Rings are the finalists." if finalists else "")
        + below_note(objective, window, "trial")
        + thinned_note(
            len(shown),
            len(valued),
            "trials with a value, evenly spaced, best and finalists among them",
        )
    )
    alt = (
        f"Best validation {objective.title} of {count(len(valued), 'trial')} against compute,"
        f" {last:.3g} {unit} in all."
    )
    panels = (Panel(alt, figure(traces, **layout)),) if valued else ()
    return Chart("cost", f"Best {axis_title(objective)} by compute spent ({unit})", caption, panels)


def _paid(study: StudyRecord) -> tuple[list[_Paid], str]:
    """Every epoch in the order of their ends, and the unit of compute.

    Where some trials ran on GPUs and some on CPUs, hours of both are added up as hours of training.
    """
    by_second = hours_by_second(study)
    epochs = []
    for trial in started_trials(study):
        epochs += [(trial, epoch) for epoch in trial.curve]
    epochs.sort(key=lambda pair: pair[1].at)
    on_gpu = {by_second[t.number].gpu > 0 for t, _ in epochs}
    unit = "GPU-hours" if True in on_gpu else "core-hours"
    price = {n: sum(hours) for n, hours in by_second.items()}
    if len(on_gpu) > 1:
        unit = "hours on CPUs and GPUs"
        price = dict.fromkeys(by_second, 1 / 3600)
    spent = accumulate(e.seconds * price[t.number] for t, e in epochs)
    return [_Paid(t, e, total) for (t, e), total in zip(epochs, spent, strict=True)], unit


def _window(objective: Objective, values: list[float], also: list[float]) -> Window:
    """A window over the better half: the line is what the chart is about."""
    better = sorted(values, key=objective.score)[len(values) // 2 :]
    window = value_window(objective, better, also)
    worst = objective.score(window.low if objective.is_maximized else window.high)
    return replace(window, n_worse=sum(objective.score(v) < worst for v in values))


def _best_so_far(paid: list[_Paid]) -> dict[str, Any]:
    steps: list[tuple[float, float]] = []
    for trial, epoch, spent in paid:
        objective = trial.objective
        value = plotted(objective, trial.value_at(epoch))
        score = objective.score(value)
        if has_rank(trial) and score > (objective.score(steps[-1][1]) if steps else -math.inf):
            steps.append((spent, value))
    return best_so_far(steps, paid[-1].spent if paid else 0.0)


def _rings(trials: list[TrialRecord], x: list[float]) -> dict[str, Any]:
    return scatter(
        "markers",
        x,
        [plotted_value(t) for t in trials],
        name="finalists",
        marker={"color": BEST, "symbol": "circle-open", "size": 17, "line": {"width": 2.5}},
        hover_text=[f"finalist<br>{hover(t)}" for t in trials],
    )


def _sources(finalists: StudyRecord | None) -> set[int]:
    if finalists is None:
        return set()
    sources = [replicate.get("source") for replicate in finalists.spec.get("replicates", ())]
    return {source for source in sources if source is not None}
