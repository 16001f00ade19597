"""The charts over trials that the page of a study shows, in its order: one line each."""

from collections.abc import Callable
from typing import NamedTuple

from search.analysis.finalists import Finals
from search.records import StudyRecord
from search.report.charts.by_compute import accuracy_by_compute
from search.report.charts.chart import Plot
from search.report.charts.curves import best_trial_epochs, learning_curves
from search.report.charts.finalists import finalists_plot
from search.report.charts.history import accuracy_by_trial, compute
from search.report.charts.importances import importances
from search.report.charts.parallel import parallel_coordinates
from search.report.charts.slices import parameters


class Subject(NamedTuple):
    """What a chart may be drawn from."""

    study: StudyRecord
    final: StudyRecord | None
    finals: Finals | None


CHARTS: tuple[Callable[[Subject], Plot | None], ...] = (
    lambda of: finalists_plot(of.finals) if of.finals else None,
    lambda of: accuracy_by_trial(of.study),
    lambda of: accuracy_by_compute(of.study, of.final),
    lambda of: learning_curves(of.study),
    lambda of: compute(of.study),
    lambda of: best_trial_epochs(of.study),
    lambda of: importances(of.study),
    lambda of: parallel_coordinates(of.study),
    lambda of: parameters(of.study),
)
"""None where there is nothing to draw."""


def all_plots(
    study: StudyRecord, final: StudyRecord | None = None, finals: Finals | None = None
) -> tuple[Plot, ...]:
    """The charts of `study` and its finalists."""
    subject = Subject(study, final, finals)
    return tuple(plot for chart in CHARTS if (plot := chart(subject)) is not None)
