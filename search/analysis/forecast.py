"""What more compute may still gain, by the search's curve. Pure.

The best of a search is the largest of its trials' scores, so what it will become is a question of
their upper tail. The best fifth of the values, beyond a threshold, is taken for a sample of a
generalized Pareto distribution with an end (its shape from −1 to 0: no accuracy passes 1, no loss
0), and the times at which they came, in seconds of training, for a power-law Poisson process, so
that a sampler that finds good settings more and more often is expected to go on so. Shape and scale
are averaged over their posterior (flat in the shape and in the logarithm of the scale), the number
of values to come over its own. benchmarks/forecast.py compares such forecasts with what came
(docs/measurements.md).

Sources: Pickands, "Statistical inference using extreme order statistics", Ann. Statist. 3 (1975),
119–131, for the tail; Crow, "Reliability analysis for complex, repairable systems" (1974), for the
process; Coles, An Introduction to Statistical Modeling of Extreme Values (2001), chapters 4, 7 and
9.1, for both together and for predicting with them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.objectives import METRICS, is_mean
from search.records import ACCURACY, Objective, TrialRecord, epochs_of, has_rank

MIN_TRIALS = 10
"""Trials with a value that a forecast needs."""
FARTHEST = 10.0
"""How many times what has been spent a forecast may look ahead."""
FURTHER = 0.25
"""The part of what has been spent, once more, over which a flat search must not gain either."""
LEVEL = 0.9
"""Of ten gains, nine should lie between the ends, half of the others above."""

_TAIL = 0.2
_MOST = 50
_SHAPES = np.linspace(-1.0, 0.0, 11)
_SCALES = np.geomspace(0.2, 20.0, 56)
"""In units of the mean excess."""
_STEPS = np.concatenate([[0.0], np.geomspace(1e-3, 1.0, 60)])
"""Gains at which the forecast is computed, in units of what is left to the best possible."""

_LEAST = 1e-3
"""Of the spread of values that are no fractions: a mean excess below it is taken for it."""
_FAR = 10.0
"""How many times their spread values without a bound are followed."""
_TINY = 1e-6
_HUGE = 50.0
_NOTHING = (0.0, 0.0, 0.0, 0.0)

Why = Literal["no value", "few trials", "all the same", "early"]
Floats = NDArray[np.float64]


class Gain(NamedTuple):
    """By how much better the best validation value will get."""

    horizon_s: float
    """In so many seconds, in which all workers train."""
    expected: float
    low: float
    high: float
    """One gain in twenty should lie below `low`, one above `high`."""
    chance: float
    """That there is any gain at all."""


@dataclass(frozen=True)
class Forecast:
    """What a search may still gain, and below which a gain can't be told from luck."""

    n_trials: int
    """Trials with a value, their best so far: paused and pruned ones count."""
    n_workers: int
    n_validation: int
    spent_s: float
    """Seconds of training so far, summed over trials, failed ones too."""
    best: float | None = None
    """The best validation value; None before the first."""
    noise: float | None = None
    """The noise floor: the standard error of `best` where that can be told from it, or the spread
    over seeds if that is larger; None where neither is known.
    """
    noise_from: Literal["images", "seeds"] = "images"
    gain: Gain | None = None
    """Over the horizon asked for; None where there is too little to say."""
    further: Gain | None = None
    """Over FURTHER of what has been spent, or over the horizon if that is longer."""
    why: Why | None = None
    """Why there is no gain to tell."""
    objective: Objective = ACCURACY
    """What the values are of."""

    @property
    def is_perfect(self) -> bool:
        """Whether `best` is as good as a value can be."""
        if self.best is None or self.objective.name not in METRICS:
            return False
        return self.best >= 1 if self.objective.is_maximized else self.best <= 0

    @property
    def is_flat(self) -> bool:
        """Whether the gain's upper end lies below the noise floor, a good part further on, too."""
        return (
            self.further is not None and self.noise is not None and self.further.high < self.noise
        )


class _Tail(NamedTuple):
    """The best values of a search and what they may have been drawn from."""

    above: float
    """How far the best lies above the threshold."""
    n: int
    trend: float
    """The exponent of the process: 1 for values at an even pace, more for ever better ones."""
    shape: Floats
    scale: Floats
    weight: Floats
    """The posterior of each shape and scale; they add up to 1."""


def forecast(
    trials: Sequence[TrialRecord],
    *,
    n_validation: int,
    n_workers: int,
    horizon_s: float = 3600.0,
    seed_spread: float | None = None,
) -> Forecast:
    """What `trials` promise for the next `horizon_s` seconds of `n_workers` that only train.

    Time is counted in seconds of training, so pauses of a study don't matter. `n_validation` is the
    number of validation images, `seed_spread` the standard deviation of values over seeds where it
    is known. There is no gain, and `why` says so, without a value, with fewer than
    MIN_TRIALS, where all are the same, and where the horizon is more than FARTHEST times what has
    been spent. At the best value that there can be, nothing can be gained. Raises ValueError for
    counts below 1 and a horizon that is not above 0.
    """
    if n_validation < 1 or n_workers < 1 or not 0 < horizon_s < math.inf:
        raise ValueError(
            f"a forecast needs images, workers and time, not {n_validation}, {n_workers},"
            f" {horizon_s}"
        )
    valued = [t for t in trials if has_rank(t)]
    values = np.array([t.score for t in valued])
    came, spent_s = _came(trials, valued)
    if not valued:
        objective = trials[0].objective if trials else ACCURACY
        return Forecast(0, n_workers, n_validation, spent_s, why="no value", objective=objective)
    objective = valued[0].objective
    score = float(values.max())
    best = objective.score(score)
    noise, source = _noise(objective, best, n_validation, seed_spread)
    facts = Forecast(
        len(valued), n_workers, n_validation, spent_s, best, noise, source, objective=objective
    )
    further_s = max(horizon_s, FURTHER * spent_s / n_workers)
    if facts.is_perfect:
        return replace(facts, gain=Gain(horizon_s, *_NOTHING), further=Gain(further_s, *_NOTHING))
    if why := _too_little(values, horizon_s * n_workers, spent_s):
        return replace(facts, why=why)
    least = 1 / n_validation if objective.is_fraction else _LEAST * float(np.ptp(values))
    tail = _tail(values, came, spent_s, least=least)
    gain, further = (
        Gain(seconds, *_gain(tail, seconds * n_workers / spent_s, most=_most(objective, values)))
        for seconds in (horizon_s, further_s)
    )
    return replace(facts, gain=gain, further=further)


def _came(trials: Sequence[TrialRecord], valued: Sequence[TrialRecord]) -> tuple[Floats, float]:
    """Training seconds spent by all when each of `valued` reached its best, and until now."""
    epochs = list(epochs_of(trials))
    ends = np.array([e.at for e in epochs])
    order = np.argsort(ends, kind="stable")
    spent = np.cumsum(np.array([e.seconds for e in epochs])[order])
    bests = np.array([t.best.at for t in valued if t.best])
    gains: Floats = (
        spent[np.searchsorted(ends[order], bests, side="right") - 1] if len(bests) else bests
    )
    return gains, float(spent[-1]) if len(spent) else 0.0


def _most(objective: Objective, values: Floats) -> float:
    """How much better than the best of `values`, which are scores, any value can be."""
    score = float(values.max())
    if objective.is_maximized and objective.name in METRICS:
        return 1 - score
    if not objective.is_maximized and score < 0:
        return -score  # a loss that was never below 0
    return _FAR * float(np.ptp(values))


def _noise(
    objective: Objective, best: float, n_validation: int, seed_spread: float | None
) -> tuple[float | None, Literal["images", "seeds"]]:
    if not (objective.is_fraction and is_mean(objective)):
        return seed_spread, "seeds"
    from scipy.stats import binom  # noqa: PLC0415  # a second to load

    # Near 0 and 1 the formula knows less than an image, and no measurement does.
    images = max(float(binom.std(n_validation, best)), 1.0) / n_validation
    return (
        (seed_spread, "seeds")
        if seed_spread is not None and seed_spread > images
        else (images, "images")
    )


def _too_little(values: Floats, ahead_s: float, spent_s: float) -> Why | None:
    if len(values) < MIN_TRIALS:
        return "few trials"
    if values.min() == values.max():
        return "all the same"
    return "early" if ahead_s > FARTHEST * spent_s else None


def _tail(values: Floats, came: Floats, spent_s: float, *, least: float) -> _Tail:
    from scipy.stats import genpareto  # noqa: PLC0415  # a second to load

    n = min(max(MIN_TRIALS, math.ceil(_TAIL * len(values))), _MOST, len(values) - 1)
    order = np.argsort(-values, kind="stable")
    excess = values[order[:n]] - values[order[n]]
    ages = np.log(spent_s / np.clip(came[order[:n]], _TINY * spent_s, spent_s))
    shape, scale = (
        grid.ravel()
        for grid in np.meshgrid(_SHAPES, _SCALES * max(excess.mean(), least), indexing="ij")
    )
    fit = genpareto.logpdf(excess[:, None], shape, scale=scale).sum(axis=0)
    weight = np.exp(fit - fit.max())
    kept = weight > _TINY
    return _Tail(
        float(excess[0]),
        n,
        max(1.0, n / max(float(ages.sum()), _TINY)),
        shape[kept],
        scale[kept],
        weight[kept] / weight[kept].sum(),
    )


def _gain(tail: _Tail, ratio: float, *, most: float) -> tuple[float, float, float, float]:
    """The gain, its ends and its chance after `ratio` of the spent, once more; at most `most`."""
    from scipy.stats import genpareto  # noqa: PLC0415  # a second to load

    # Values to come over those that came, by the process Λ(t) = n (t / spent)^trend.
    to_come = math.expm1(min(tail.trend * math.log1p(ratio), _HUGE))
    gains = _STEPS * most
    beyond = genpareto.sf(tail.above + gains[:, None], tail.shape, scale=tail.scale)
    # Poisson's chance of no value so far beyond, averaged over Gamma(n): what n values tell of
    # their rate.
    chance = (-np.expm1(-tail.n * np.log1p(to_come * beyond)) * tail.weight).sum(axis=1)
    # How far beyond is the tail's to say; whether at all, only the count: all values are equally
    # likely the best.
    chance *= to_come / (1 + to_come) / chance[0]
    low, high = np.interp([-(1 + LEVEL) / 2, -(1 - LEVEL) / 2], -chance, gains)
    return float(np.trapezoid(chance, gains)), float(low), float(high), float(chance[0])
