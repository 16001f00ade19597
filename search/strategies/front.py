"""The Pareto front: settings that no other beats by every objective, by what each adds to it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search.records import TrialRecord, has_rank

Floats = NDArray[np.float64]


def front_of(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Those of `trials` with a rank that no other beats: none is at least as good by each objective
    and better by one.
    """
    valued = [t for t in trials if has_rank(t) and t.scores is not None]
    if not valued:
        return []
    is_on = nondominated(np.array([t.scores for t in valued]))
    return [trial for trial, on in zip(valued, is_on.tolist(), strict=True) if on]


def spread_of(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The front of `trials` in the order of what each adds to the hypervolume of those before it;
    the best by the first objective comes first.
    """
    front = sorted(front_of(trials), key=lambda t: (t.scores or (), -t.number), reverse=True)
    if not front:
        return []
    points = _scaled(np.array([t.scores for t in front]))
    order, left = [0], list(range(1, len(front)))
    while left:
        volumes = [hypervolume(points[[*order, i]]) for i in left]
        order.append(left.pop(int(np.argmax(volumes))))
    return [front[i] for i in order]


def nondominated(points: Floats) -> NDArray[np.bool_]:
    """Which `points` (n, n_objectives), of which more is better, no other one beats."""
    is_on = np.zeros(len(points), dtype=bool)
    # What beats a point comes before it in this order, and so does one of the front that does.
    for i in np.lexsort(-points.T[::-1]):
        front = points[is_on]
        beats = (front >= points[i]).all(axis=1) & (front > points[i]).any(axis=1)
        is_on[i] = not beats.any()
    return is_on


def hypervolume(points: Floats) -> float:
    """What `points` (n, n_objectives), of which more is better, cover above 0 in every direction.

    By slices along the last objective: While et al., IEEE Trans. Evol. Comput. 10 (2006), 29–38.
    """
    points = np.clip(points, 0.0, None)
    if points.shape[1] == 1:
        return float(points.max(initial=0.0))
    ordered = points[np.argsort(-points[:, -1], kind="stable")]
    depths = ordered[:, -1] - np.append(ordered[1:, -1], 0.0)
    slices = [
        depth * hypervolume(ordered[: i + 1, :-1])
        for i, depth in enumerate(depths.tolist())
        if depth
    ]
    return float(sum(slices))


def _scaled(points: Floats) -> Floats:
    """From a tenth of the range below the worst, so that the ends of the front count, to 1.1."""
    low, high = points.min(axis=0), points.max(axis=0)
    scaled: Floats = (points - low) / np.where(high > low, high - low, 1.0) + 0.1
    return scaled
