"""What a network said of every example, as the chart that fits: of classes or of numbers. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search.records import State
from search.report.charts.chart import Chart, Panel, scatter
from search.report.charts.confusion import confusion_chart
from search.report.charts.style import REFERENCE, STATES, figure, literal
from search.report.evidence import Answers, NumberPredictions, Predictions
from search.words import count

N_SHOWN = 2000
N_NUMBERS = 3
"""Numbers of an example that are drawn; classes.csv and the page's table have none of them."""


def answers_chart(
    answers: Answers | None, names: Sequence[str], suffix: str = "", noun: str = "image"
) -> Chart | None:
    """The confusion matrix of classes, an empty one without answers; predicted against true and
    residuals of numbers; None of several labels.
    """
    if answers is None or isinstance(answers, Predictions):
        return confusion_chart(answers, names, f"confusion{suffix}", noun)
    if isinstance(answers, NumberPredictions):
        return residuals_chart(answers, names, f"residuals{suffix}")
    return None


def residuals_chart(numbers: NumberPredictions, names: Sequence[str], key: str) -> Chart:
    """Predicted against true numbers, and what is left over, for the first `N_NUMBERS` of them."""
    shown = np.unique(np.linspace(0, numbers.n - 1, min(numbers.n, N_SHOWN)).round().astype(int))
    panels = []
    for i, name in enumerate(names[:N_NUMBERS]):
        true, predicted = numbers.true[shown, i], numbers.predicted[shown, i]
        panels += [_against(true, predicted, name), _left_over(true, predicted, name)]
    caption = (
        "Each mark is an example. On the dashed line predicted and true numbers are the same. What"
        " is left over, true minus predicted, should lie around zero: a bow or a funnel says that"
        " something is still to be learned."
    )
    if len(names) > N_NUMBERS:
        caption += f" Drawn: the first {N_NUMBERS} of {count(len(names), 'number')}."
    if len(shown) < numbers.n:
        caption += f" Drawn: {len(shown):,} of {numbers.n:,} examples, evenly spaced."
    return Chart(key, "Predicted and true numbers", caption, tuple(panels))


def _against(true: NDArray[np.float64], predicted: NDArray[np.float64], name: str) -> Panel:
    ends = [float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))]
    line = scatter("lines", ends, ends, line={"color": REFERENCE, "dash": "dash"}, hoverinfo="skip")
    titles = f"true {literal(name)}", f"predicted {literal(name)}"
    return _panel(f"Predicted against true {name}.", true, predicted, line, titles)


def _left_over(true: NDArray[np.float64], predicted: NDArray[np.float64], name: str) -> Panel:
    ends = [float(predicted.min()), float(predicted.max())]
    line = scatter(
        "lines", ends, [0.0, 0.0], line={"color": REFERENCE, "dash": "dash"}, hoverinfo="skip"
    )
    titles = f"predicted {literal(name)}", "true − predicted"
    return _panel(f"Residuals of {name}.", predicted, true - predicted, line, titles)


def _panel(
    alt: str,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    line: dict[str, object],
    titles: tuple[str, str],
) -> Panel:
    marks = scatter(
        "markers",
        [float(f"{v:.6g}") for v in x],
        [float(f"{v:.6g}") for v in y],
        marker={"color": STATES[State.COMPLETE].color, "size": 5, "opacity": 0.6},
        hovertemplate="%{x:.4g}, %{y:.4g}<extra></extra>",
    )
    layout = {
        "showlegend": False,
        "xaxis": {"title": {"text": titles[0]}},
        "yaxis": {"title": {"text": titles[1]}},
    }
    return Panel(alt, figure([line, marks], height=300, **layout))
