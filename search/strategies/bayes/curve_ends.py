"""What trials will be worth at their end, from the part of their curves that they have shown.

A trial's value is followed from rung to rung. What the trials that went on gained on the way is
explained by ridge regression on their settings, their values and their slopes, drawn so strongly
towards the mean gain that a handful of trials does no harm; the rest of the variance is kept as the
doubt about those that have not gone so far.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search.records import State, TrialRecord

Floats = NDArray[np.float64]

_RIDGE = 3.0
_REACH = 2.0
"""Standardised features are cut here: good trials say nothing of very bad ones."""
_SPREAD = 0.1
"""How far apart accuracies commonly lie."""
_MIN_TRAINED = 4
"""Trials that must have gone on before their gains are explained, not only averaged."""
_DOUBT = 0.6
"""Of the spread of values at the first rung: the doubt about a gain that no trial has shown yet."""


def end(trial: TrialRecord, largest: int) -> int:
    """The epochs after which `trial` is over: fewer than its total if it stopped early."""
    return trial.epochs if trial.state == State.COMPLETE else trial.total_epochs or largest


def levels(trials: Sequence[TrialRecord], steps: Sequence[int]) -> Floats:
    """Each trial's best value by each of `steps`, or by its end; NaN where not reached."""
    values = np.full((len(trials), len(steps)), np.nan)
    for row, trial in zip(values, trials, strict=True):
        for j, step in enumerate(steps):
            at = min(step, end(trial, step))
            if trial.epochs >= at > 0:
                row[j] = trial.best_so_far[at - 1]
    return values


def slopes(trials: Sequence[TrialRecord], steps: Sequence[int]) -> Floats:
    """Each trial's gain in the second half before each of `steps`; the mean where not there."""
    gains = np.zeros((len(trials), len(steps)))
    for j, step in enumerate(steps):
        half = max(step // 2, 1)
        there = np.array([t.epochs >= step for t in trials], dtype=bool)
        if there.any():
            measured = [
                t.best_so_far[step - 1] - t.best_so_far[half - 1]
                for t in trials
                if t.epochs >= step
            ]
            gains[there, j], gains[~there, j] = measured, float(np.mean(measured))
    return gains


def unit(trials: Sequence[TrialRecord], step: int) -> float:
    """In what values are counted, a power of 1024: 1 of fractions, and where values lie as far
    apart after `step` as those of fractions do.

    So the same constants are small beside losses in thousands and in thousandths, and dividing by
    it rounds nothing.
    """
    values = levels(trials, (step,))[:, 0]
    values = values[np.isfinite(values)]
    if trials[0].objective.is_fraction or not len(values):
        return 1.0
    # By the middle half: one trial that diverged must not say how far apart the others lie.
    spread = float(np.subtract(*np.quantile(values, (0.75, 0.25)))) or float(values.std())
    return 1024.0 ** round(math.log(spread / _SPREAD, 1024)) if spread else 1.0


def extrapolate(
    trials: Sequence[TrialRecord], steps: Sequence[int], features: Floats, unit: float = 1.0
) -> tuple[Floats, Floats]:
    """The expected value of each trial at its end, in `unit`, and the variance of that; NaN for
    trials before the first step.

    `steps` ascend and end with the largest total; `features` has a row for each trial.
    """
    reached, slope = levels(trials, steps) / unit, slopes(trials, steps) / unit
    totals = np.array([max(1, end(t, steps[-1])) for t in trials])
    value, doubt = reached[:, 0].copy(), np.zeros(len(trials))
    spread = float(np.nanstd(reached[:, 0])) if np.isfinite(reached[:, 0]).any() else 0.0
    for j in range(len(steps) - 1):
        goes_on = totals > steps[j]
        seen = np.isfinite(reached[:, j + 1]) & goes_on
        # A short trial makes only a part of the way to the next step.
        part = np.clip(
            np.log(np.minimum(totals, steps[j + 1]) / steps[j]) / np.log(steps[j + 1] / steps[j]),
            0.0,
            1.0,
        )
        shape = np.column_stack([features, value, slope[:, j]])
        gain, variance = _gain(
            shape, (reached[:, j + 1] - reached[:, j]) / np.maximum(part, 0.1), seen, spread
        )
        is_reached = np.isfinite(reached[:, j + 1])
        value = np.where(is_reached, reached[:, j + 1], value + part * gain)
        doubt = np.where(is_reached, 0.0, doubt + part * variance)
    return value, doubt


def _gain(
    features: Floats, gains: Floats, seen: NDArray[np.bool_], spread: float
) -> tuple[Floats, Floats]:
    """What every trial is expected to gain, and the variance of that."""
    n = len(features)
    least = (_DOUBT * max(spread, 1e-4)) ** 2
    if not seen.any():
        return np.zeros(n), np.full(n, least)
    y = gains[seen]
    middle = float(np.median(y))
    if len(y) < _MIN_TRAINED:
        return np.full(n, middle), np.full(n, max(float(y.var()), 0.25 * least))
    x = features[seen]
    width = x.std(axis=0) + 1e-9
    scaled = np.clip(np.nan_to_num((features - x.mean(axis=0)) / width), -_REACH, _REACH)
    a = scaled[seen]
    gram = a.T @ a + _RIDGE * np.eye(a.shape[1])
    weights = np.linalg.solve(gram, a.T @ (y - y.mean()))
    freedom = float(np.trace(np.linalg.solve(gram, a.T @ a)))
    rest = float(((y - y.mean() - a @ weights) ** 2).sum()) / max(len(y) - freedom - 1.0, 1.0)
    expected = np.clip(y.mean() + scaled @ weights, 0.0, max(float(y.max()), 0.0) * 1.25)
    leverage = np.einsum("ij,ij->i", scaled, np.linalg.solve(gram, scaled.T).T)
    return expected, (rest + 1e-8) * (1.0 + leverage)
