"""The figure of which parameters decide a trial's rank. Pure."""

from collections.abc import Sequence
from typing import Any

from search.analysis.importances import (
    FOLDS,
    MIN_TRIALS,
    N_TRIALS,
    ROUNDS,
    TREES,
    Importance,
    compared,
    measure,
)
from search.analysis.ranking import started_trials, varied_params
from search.records import State, StudyRecord, has_rank
from search.report.charts.chart import Chart, Panel, notable, thin
from search.report.charts.style import REFERENCE, STATES, figure, short
from search.words import count

_TITLE = "Parameter importances (% of the variation in rank)"


def importances(study: StudyRecord) -> Chart:
    """How much worse a forest predicts ranks when one parameter's values are shuffled."""
    step, valued = compared([t for t in started_trials(study) if has_rank(t)])
    names = varied_params(study, valued)
    if len(valued) < MIN_TRIALS or len(names) < 2 or len({t.value for t in valued}) < 2:
        why = (
            f"{count(len(valued), 'trial')} with a value and {count(len(names), 'parameter')} that"
            " vary so far"
        )
        needed = (
            f"{MIN_TRIALS} trials of different {study.objective.title} and 2 parameters are needed"
        )
        return Chart(
            "importances", _TITLE, "", (), f"Too little to tell what matters: {why}; {needed}."
        )
    shown = thin(valued, N_TRIALS, notable(study))
    whole, parts = measure(study, shown, names)
    if not whole.is_clear:
        why = (
            "Too little to tell what matters: a forest grown on four fifths of the"
            f" {count(len(shown), 'trial')} predicts the rank of the rest hardly better than a"
            f" guess would: it explains {_range(whole)} of their variation."
        )
        return Chart("importances", _TITLE, "", (), why)
    caption = (
        f"A forest of {TREES} randomised trees predicts from a trial’s setting how it ranks by"
        f" validation {study.objective.title} up to epoch {step}. Nine of ten trials trained so"
        " long, so none is judged by when it was stopped; what matters only later is not seen. It"
        f" explains {_range(whole)} of the variation among trials that it has not seen. A bar is"
        " the part of the variation that is due to a parameter, alone and along with others: half"
        " of what the squared error grows by when its values are shuffled among those trials"
        f" (permutation importance), with a 95 % interval over {FOLDS * ROUNDS} folds. Grey bars"
        " can’t be told from none. Parameters that the search moved together share what they"
        " explain."
        + (
            f" Used: {len(shown)} of {len(valued):,} trials, evenly spaced."
            if len(shown) < len(valued)
            else ""
        )
    )
    return Chart("importances", _TITLE, caption, (Panel(_alt(parts), _drawn(parts)),))


def _range(importance: Importance) -> str:
    low = 100 * importance.low
    high = 100 * importance.high
    return f"{100 * importance.mean:.0f} % (95 % interval {low:.0f} to {high:.0f})"


def _alt(parts: Sequence[Importance]) -> str:
    clear = [f"{part.name} {100 * part.mean:.0f} %" for part in parts if part.is_clear]
    return (
        "Bars of importance by parameter, the most important first:"
        f" {', '.join(clear) or 'none is clear'}."
    )


def _drawn(parts: Sequence[Importance]) -> Any:
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [100 * part.mean for part in parts],
        "y": list(range(len(parts))),
        "width": 0.62,
        "marker": {
            "color": [
                STATES[State.COMPLETE].color if part.is_clear else REFERENCE for part in parts
            ]
        },
        "error_x": {
            "type": "data",
            "array": [100 * (part.high - part.mean) for part in parts],
            "thickness": 1.5,
            "width": 4,
            "color": REFERENCE,
        },
        "hovertemplate": "%{x:.1f} %<extra></extra>",
    }
    return figure(
        [bars],
        height=100 + 30 * len(parts),
        showlegend=False,
        xaxis={"title": {"text": "part of the variation in rank (%)"}, "zeroline": True},
        yaxis={
            "tickvals": list(range(len(parts))),
            "ticktext": [short(part.name) for part in parts],
            "range": [len(parts) - 0.4, -0.6],
        }
        | {"showgrid": False, "ticks": ""},
    )
