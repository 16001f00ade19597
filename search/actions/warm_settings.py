"""Settings to begin with that earlier studies found to be good. Pure."""

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

from search.records import StudyRecord
from search.space.space import Space
from search.study.finalist_costs import ranked

N_POINTS = 3
"""Few enough to cost little where they come from another kind of images."""


def starting_points(
    earlier: Sequence[StudyRecord], space: Space, taken: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """At most `N_POINTS` settings of `earlier` studies, valid in `space` and none of `taken`.

    The best of each study in the order given, then the second best of each: accuracies on different
    images are not compared. Meta-learned starting points as in Feurer et al., 2015, «Initializing
    Bayesian hyperparameter optimization via meta-learning».
    """
    orders = [ranked(s.trials) for s in earlier]
    points: list[dict[str, Any]] = []
    for trial in chain.from_iterable(zip_longest(*orders)):
        if trial is None:
            continue
        params = dict(trial.params)
        if params not in [*taken, *points] and not space.problems_of(params):
            points.append(params)
        if len(points) == N_POINTS:
            break
    return points
