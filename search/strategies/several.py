"""Several objectives made one, a different one for each decision."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.records import Epoch, Objective, TrialRecord
from search.strategies.protocol import Decision, Strategy, derive_seed

Floats = NDArray[np.float64]

_TOGETHER = Objective("together", title="all objectives together", is_fraction=False)
_RHO = 0.05
"""How much the sum of what is missing counts beside the worst, as in ParEGO."""
_FLAT = 0.2
"""The worst fifth of values by an objective is cut: how bad they are tells nothing of good ones."""


class SeveralObjectives:
    """Any strategy, to find the Pareto front of several objectives.

    For each setting that is asked for, and for each choice of a paused trial, weights are drawn
    evenly, and what trials show is made one value by the augmented Tchebycheff function of what
    they lack to the best by each objective. So the strategy looks for one point of the front each
    time, pauses and promotes as ever, and all points together spread over the front.

    Knowles, "ParEGO", IEEE Trans. Evol. Comput. 10 (2006), 50–66; with pauses at rungs as Schmucker
    et al., "Multi-objective asynchronous successive halving", arXiv:2106.12639 (2021), who draw
    weights likewise.
    """

    looks = True

    def __init__(self, strategy: Strategy, *, seed: int) -> None:
        self._strategy = strategy
        self._seed = seed

    def ask(self, trials: Sequence[TrialRecord], number: int) -> dict[str, Any]:
        """Params of trial `number`."""
        return self._strategy.ask(self._together(trials, [0, number]), number)

    def decide(self, trials: Sequence[TrialRecord], number: int, step: int) -> Decision:
        """What trial `number` does after `step`."""
        return self._strategy.decide(self._at_rungs(trials), number, step)

    def promote(self, trials: Sequence[TrialRecord]) -> int | None:
        """The number of a paused trial that should go on now, or None."""
        return self._strategy.promote(self._at_rungs(trials))

    def is_rung(self, step: int) -> bool:
        """Whether trials are compared at `step`."""
        return self._strategy.is_rung(step)

    @property
    def has_rungs(self) -> bool:
        """Whether trials may be paused at all."""
        return self._strategy.has_rungs

    def _at_rungs(self, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
        # Other weights once another trial has come to a rung, and the same until then.
        n_passed = sum(sum(map(self.is_rung, range(1, t.epochs + 1))) for t in trials)
        return self._together(trials, [1, n_passed])

    def _together(self, trials: Sequence[TrialRecord], draw: list[int]) -> list[TrialRecord]:
        n_objectives = 1 + max((len(t.others) for t in trials), default=0)
        rng = np.random.default_rng([derive_seed(self._seed, draw[0]), draw[1]])
        return together(trials, rng.dirichlet(np.ones(n_objectives)))


def together(trials: Sequence[TrialRecord], weights: Floats) -> list[TrialRecord]:
    """`trials` as of one objective, the more the better: 0 for the best by all of theirs.

    `weights` (n_objectives,) add up to 1.
    """
    curves = [_scores(trial) for trial in trials]
    shown = [curve for curve in curves if len(curve)]
    if not shown:
        return [_as_one(trial, np.empty(0)) for trial in trials]
    ends = np.array([np.where(np.isfinite(c), c, -np.inf).max(axis=0) for c in shown])
    finite = [column[np.isfinite(column)] for column in ends.T]
    best = np.array([column.max() if len(column) else 0.0 for column in finite])
    low = np.array([np.quantile(column, _FLAT) if len(column) else 0.0 for column in finite])
    middle = np.array([np.median(column) if len(column) else 0.0 for column in finite])
    spread = np.where(best > low, best - low, 1.0)
    made = []
    for trial, curve in zip(trials, curves, strict=True):
        lacks = (best - np.where(np.isfinite(curve), curve, middle)) / spread
        weighted = weights * np.clip(lacks, 0.0, 1.0 + 1.0 / _FLAT)
        made.append(_as_one(trial, -(weighted.max(axis=1) + _RHO * weighted.sum(axis=1))))
    return made


def _scores(trial: TrialRecord) -> Floats:
    """What each epoch of `trial` shows by each objective, (epochs, n_objectives), more is better.

    Facts are the trial's, by their logarithm: of ten times the parameters, it says the same
    whatever the size. NaN where nothing is known yet.
    """
    columns = [[trial.value_at(epoch) for epoch in trial.curve]]
    for objective in trial.others:
        if objective.is_fact:
            columns.append([trial.value_of(objective)] * trial.epochs)
        else:
            columns.append([epoch.values.get(objective.key) for epoch in trial.curve])
    scores = np.full((trial.epochs, len(columns)), np.nan)
    for place, (objective, column) in enumerate(
        zip((trial.objective, *trial.others), columns, strict=True)
    ):
        for row, value in enumerate(column):
            if value is not None:
                size = math.log(max(value, 1e-9)) if objective.is_fact else value
                scores[row, place] = objective.score(size)
    return scores


def _as_one(trial: TrialRecord, values: Floats) -> TrialRecord:
    curve = tuple(
        Epoch(epoch.step, {_TOGETHER.key: value}, epoch.seconds, epoch.at)
        for epoch, value in zip(trial.curve, values.tolist(), strict=True)
    )
    return replace(trial, objective=_TOGETHER, others=(), curve=curve)
