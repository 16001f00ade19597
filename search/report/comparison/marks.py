"""The marks of a comparison's pictures: means with their intervals, and single replicates."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from search.analysis.statistics import Interval
from search.records import ACCURACY, Objective, State
from search.report.charts.drawing import Marks
from search.report.charts.style import STATES, literal
from search.words import plotted, value_text

FRAME = 170
"""Pixels of title, axis and legend."""
_OURS = STATES[State.COMPLETE].color


class Mean(NamedTuple):
    """A mean to draw."""

    at: float
    """Its place on the other axis."""
    interval: Interval
    hover: str
    symbol: str = "circle"
    objective: Objective = ACCURACY


def mean_marks(name: str, means: Sequence[Mean], along: Literal["x", "y"] = "x") -> Marks:
    """`means` as they are plotted with their whiskers, their values running along this axis."""
    ends = tuple(_whisker(mean) for mean in means)
    values = [plotted(mean.objective, mean.interval.mean) for mean in means]
    places = [float(mean.at) for mean in means]
    across, up = (values, places) if along == "x" else (places, values)
    return Marks(
        name,
        tuple(zip(across, up, strict=True)),
        tuple(mean.hover for mean in means),
        _OURS,
        tuple(mean.symbol for mean in means),
        # A whisker of no length would look like a sure value.
        ends=ends if any(low < high for low, high in ends) else (),
        along=along,
    )


def _whisker(mean: Mean) -> tuple[float, float]:
    """The ends of its interval; of one without ends twice the mean itself."""
    interval = mean.interval
    low = interval.mean if interval.low is None else interval.low
    high = interval.mean if interval.high is None else interval.high
    return plotted(mean.objective, low), plotted(mean.objective, high)


def replicate_marks(
    rows: Sequence[tuple[int, str, Sequence[float]]], objective: Objective = ACCURACY
) -> Marks:
    """A small mark for each replicate of `rows`, each a place, a model and its values."""
    points: list[tuple[float, float]] = []
    hover: list[str] = []
    for place, model, values in rows:
        for value in values:
            points.append((plotted(objective, value), place + 0.3))
            hover.append(f"{literal(model)}, one replicate: {value_text(objective, value)}")
    return Marks("one replicate", tuple(points), tuple(hover), _OURS, size=5, opacity=0.6)
