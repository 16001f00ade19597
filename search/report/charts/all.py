"""The charts over trials that the page of a study shows, in its order: one line each."""

from collections.abc import Callable
from typing import NamedTuple

from search.analysis.finalists import Judgement
from search.records import Search
from search.report.charts.by_compute import accuracy_by_compute
from search.report.charts.chart import Chart
from search.report.charts.curves import best_trial_epochs, learning_curves
from search.report.charts.finalists import finalists_chart
from search.report.charts.front import front_chart
from search.report.charts.history import accuracy_by_trial, compute
from search.report.charts.importances import importances
from search.report.charts.parallel import parallel_coordinates
from search.report.charts.slices import parameters


class Subject(NamedTuple):
    """What a chart may be drawn from."""

    search: Search
    judgement: Judgement | None


CHARTS: tuple[Callable[[Subject], Chart | None], ...] = (
    lambda of: front_chart(of.search.study, of.judgement),
    lambda of: finalists_chart(of.judgement) if of.judgement else None,
    lambda of: accuracy_by_trial(of.search.study),
    lambda of: accuracy_by_compute(of.search),
    lambda of: learning_curves(of.search.study),
    lambda of: compute(of.search.study),
    lambda of: best_trial_epochs(of.search.study),
    lambda of: importances(of.search.study),
    lambda of: parallel_coordinates(of.search.study),
    lambda of: parameters(of.search.study),
)
"""None where there is nothing to draw."""


def all_charts(search: Search, judgement: Judgement | None = None) -> tuple[Chart, ...]:
    """The charts of `search` and its finalists."""
    subject = Subject(search, judgement)
    charts = [draw(subject) for draw in CHARTS]
    return tuple(chart for chart in charts if chart is not None)
