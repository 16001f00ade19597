"""What trials say of all settings: a Gaussian process over their values at their end."""

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from search.records import TrialRecord
from search.strategies.bayes.acquisition import log_improvement
from search.strategies.bayes.curve_ends import extrapolate, unit
from search.strategies.bayes.gaussian_process import GaussianProcess
from search.strategies.encoding import Encoding

Floats = NDArray[np.float64]

N_BEST, N_NEWEST, N_OTHERS = 60, 30, 30
N_MODELLED = N_BEST + N_NEWEST + N_OTHERS
"""Of many trials the model takes so many of each kind, to answer in constant time."""
FLAT = 0.2
"""The worst fifth counts as this quantile: how bad it is tells nothing of good ones."""
_LEAST_SPREAD = 1e-6


class Outlook:
    """What `trials` with params let expect; of failed ones, those at fault by their setting."""

    def __init__(
        self,
        trials: Sequence[TrialRecord],
        encoding: Encoding,
        steps: Sequence[int],
        required: Collection[int] = (),
    ) -> None:
        """`steps`: rungs and, last, the largest total; trials numbered `required` are taken."""
        self._encoding = encoding
        self.trials = modelled(trials, steps[0], required)
        self.rows = encoding.encode([t.params for t in self.trials])
        self._points = encoding.features(self.rows)
        self._unit = unit(self.trials, steps[0]) if self.trials else 1.0
        ends, self._doubts = extrapolate(self.trials, steps, self._points, self._unit)
        failed = np.array([t.is_infeasible for t in self.trials], dtype=bool)
        valued = np.isfinite(ends) & ~failed
        self.n_valued = int(valued.sum())
        self.means = np.zeros(len(self.trials))
        self.gains: dict[int, float] = {}
        """The logarithm of each trial's expected improvement over the best value so far."""
        if self.n_valued:
            self._learn(ends, valued, failed)

    def _learn(self, ends: Floats, valued: NDArray[np.bool_], failed: NDArray[np.bool_]) -> None:
        values = ends[valued]
        low = float(np.quantile(values, FLAT))
        flat = np.maximum(values, low)
        mean, spread = float(flat.mean()), max(float(flat.std()), _LEAST_SPREAD)
        # A setting that could not be trained is as bad as the worst.
        scores = np.full(len(self.trials), (low - mean) / spread)
        scores[valued] = (flat - mean) / spread
        noise = np.where(valued, self._doubts / spread**2, 0.0)
        have = valued | failed
        groups = self._encoding.groups
        self._process = GaussianProcess(self._points[have], groups, scores[have], noise[have])
        self.means, variances = self._process.predict(self._points)
        self._best_mean = float(self.means[valued].max())
        scores_shown = [t.score for t in self.trials if not t.is_infeasible]
        best = max(score for score in scores_shown if score is not None) / self._unit
        gains = log_improvement(self.means, np.sqrt(variances), (best - mean) / spread)
        numbers = [t.number for t in self.trials]
        self.gains = dict(zip(numbers, gains.tolist(), strict=True))
        if not have.all():
            # What runs is taken to end as expected, so that other workers look elsewhere.
            scores = np.where(have, scores, self.means)
            self._process.condition(self._points, scores, noise)

    def gain(self, rows: Floats) -> Floats:
        """The logarithm of the expected improvement of new settings over the best mean.

        As if what runs and what is paused were known exactly: who doubts it should promote it, not
        try it twice.
        """
        mean, variance = self._process.predict(self._encoding.features(rows), if_clear=True)
        return log_improvement(mean, np.sqrt(variance), self._best_mean)


def modelled(
    trials: Sequence[TrialRecord], first: int, required: Collection[int] = ()
) -> list[TrialRecord]:
    """The trials that a model takes of many: best, newest, `required`, and some others."""
    if len(trials) <= N_MODELLED:
        return list(trials)
    older, newest = trials[:-N_NEWEST], trials[-N_NEWEST:]
    ranked = sorted(
        older,
        key=lambda t: (
            -t.epochs if t.epochs > first else 0,
            -(t.best_so_far[-1] if t.curve else math.inf),
            t.number,
        ),
    )
    others = ranked[N_BEST:]
    spread = [others[round(i)] for i in np.linspace(0, len(others) - 1, min(N_OTHERS, len(others)))]
    chosen = {
        t.number: t
        for t in (*ranked[:N_BEST], *spread, *newest, *(t for t in trials if t.number in required))
    }
    return [chosen[number] for number in sorted(chosen)]
