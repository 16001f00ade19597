"""The marks of a comparison's pictures: means with their intervals, and single replicates."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from search.analysis.statistics import Interval
from search.records import State
from search.report.charts.drawing import Marks
from search.report.charts.style import STATES, literal
from search.words import percent

FRAME = 170
"""Pixels of title, axis and legend."""
_OURS = STATES[State.COMPLETE].color


class Mean(NamedTuple):
    """A mean accuracy to draw."""

    at: float
    """Its place on the other axis."""
    interval: Interval
    hover: str
    symbol: str = "circle"


def mean_marks(name: str, means: Sequence[Mean], along: Literal["x", "y"] = "x") -> Marks:
    """`means` in percent with their whiskers, accuracy running along this axis."""
    ends = tuple(_whisker(mean.interval) for mean in means)
    accuracies = [100 * mean.interval.mean for mean in means]
    places = [float(mean.at) for mean in means]
    across, up = (accuracies, places) if along == "x" else (places, accuracies)
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


def _whisker(interval: Interval) -> tuple[float, float]:
    """The ends of `interval` in percent; of one without ends its mean."""
    if interval.low is None or interval.high is None:
        return 100 * interval.mean, 100 * interval.mean
    return 100 * interval.low, 100 * interval.high


def replicate_marks(rows: Sequence[tuple[int, str, Sequence[float]]]) -> Marks:
    """A small mark for each replicate of `rows`, each a place, a model and its accuracies."""
    points: list[tuple[float, float]] = []
    hover: list[str] = []
    for place, model, accuracies in rows:
        for accuracy in accuracies:
            points.append((100 * accuracy, place + 0.3))
            hover.append(f"{literal(model)}, one replicate: {percent(accuracy)}")
    return Marks("one replicate", tuple(points), tuple(hover), _OURS, size=5, opacity=0.6)
