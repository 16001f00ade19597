"""Which parameters decide a trial's place: a forest's permutation importance. Pure.

The forest is a model of the search's trials and no more than that: where it can't predict the rank
of trials that were kept from it, nothing is shown. Sources: Breiman, "Random forests", Machine
Learning 45 (2001), 5–32, for the importance; Gregorutti, Michel and Saint-Pierre, "Correlation and
variable importance in random forests", Stat. Comput. 27 (2017), 659–678, for its half, the total
Sobol index where parameters are independent; Nadeau and Bengio, "Inference for the generalization
error", Machine Learning 52 (2003), 239–281, for the variance over folds that share most of their
trials.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from search.analysis.ranking import space_params
from search.records import StudyRecord, TrialRecord
from search.words import show

MIN_TRIALS = 20
"""Trials with a value below which nothing is said."""
N_TRIALS = 400
"""More are thinned: a forest of more says the same, later."""
FOLDS = 5
ROUNDS = 2
TREES = 50
_SHUFFLES = 3

Floats = NDArray[np.float64]


class Importance(NamedTuple):
    """A mean over folds and its 95 % interval, in parts of the variance of ranks."""

    name: str
    mean: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval lies above zero."""
        return self.low > 0


def compared(trials: Sequence[TrialRecord]) -> tuple[int, list[TrialRecord]]:
    """The largest epoch that nine of ten `trials` completed, and those that did as they were then.

    By its last value a trial that was stopped early would rank low whatever its setting.
    """
    lengths = sorted(t.epochs for t in trials)
    step = lengths[len(lengths) // 10] if lengths else 0
    return step, [replace(t, curve=t.curve[:step]) for t in trials if t.epochs >= step]


def measure(
    study: StudyRecord, trials: Sequence[TrialRecord], names: Sequence[str]
) -> tuple[Importance, list[Importance]]:
    """What a forest explains of the ranks of `trials`, and by which `names`, the most first.

    The target is the rank of their scores, so that a few trials that diverged don't outweigh the
    rest. Each fold's forest never sees the trials that it is judged by. Always the same for the
    same trials.
    """
    from sklearn.model_selection import RepeatedKFold  # noqa: PLC0415  # a second to load

    columns = [_column(name, trials, space_params(study).get(name)) for name in names]
    groups = np.repeat(np.arange(len(names)), [c.shape[1] for c in columns])
    x = np.hstack(columns)
    y = scipy.stats.rankdata([trial.score for trial in trials]) / len(trials)
    folds = RepeatedKFold(n_splits=FOLDS, n_repeats=ROUNDS, random_state=0)
    losses = (
        np.array(
            [
                _fold(x, y, groups, seen, unseen, seed)
                for seed, (seen, unseen) in enumerate(folds.split(x))
            ]
        )
        / y.var()
    )
    explained = _interval("all", 1 - losses[:, 0])
    lost = [_interval(name, (losses[:, i + 1] - losses[:, 0]) / 2) for i, name in enumerate(names)]
    return explained, sorted(lost, key=lambda i: -i.mean)


def _fold(
    x: Floats,
    y: Floats,
    groups: NDArray[np.intp],
    seen: NDArray[np.intp],
    unseen: NDArray[np.intp],
    seed: int,
) -> list[float]:
    """Mean squared error on `unseen`: as they are, then with each group of columns shuffled."""
    from sklearn.ensemble import ExtraTreesRegressor  # noqa: PLC0415  # a second to load

    random = np.random.default_rng(seed)
    forest = ExtraTreesRegressor(TREES, min_samples_leaf=2, random_state=seed).fit(x[seen], y[seen])
    questions = [x[unseen]]
    for group in range(groups.max() + 1):
        for _ in range(_SHUFFLES):
            mixed = x[unseen].copy()
            mixed[:, groups == group] = x[random.permutation(unseen)][:, groups == group]
            questions.append(mixed)
    # One question for all: a forest answers many rows in hardly more time than one.
    errors = (
        (forest.predict(np.vstack(questions)).reshape(len(questions), -1) - y[unseen]) ** 2
    ).mean(axis=1)
    return [float(errors[0]), *errors[1:].reshape(-1, _SHUFFLES).mean(axis=1).tolist()]


def _column(name: str, trials: Sequence[TrialRecord], declared: Any) -> Floats:
    """A parameter as (n, k): a column for a number, one per value of a choice; -1 where unset."""
    values = [trial.params.get(name) for trial in trials]
    present = [v for v in values if v is not None]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in present):
        kinds = sorted({show(v) for v in present})
        return np.array(
            [[float(v is not None and show(v) == kind) for kind in kinds] for v in values]
        )
    is_log = isinstance(declared, dict) and declared.get("log") and min(present) > 0
    scale = math.log if is_log else float
    low = min(scale(v) for v in present)
    return np.array([[-1.0 if v is None else scale(v) - low] for v in values])


def _interval(name: str, values: Floats) -> Importance:
    """Nadeau and Bengio's corrected t interval, since the folds' trials overlap."""
    n = len(values)
    error = math.sqrt(float(values.var(ddof=1)) * (1 / n + 1 / (FOLDS - 1)))
    half = float(scipy.stats.t.ppf(0.975, n - 1)) * error
    mean = float(values.mean())
    return Importance(name, mean, mean - half, mean + half)
