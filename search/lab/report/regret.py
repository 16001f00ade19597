"""How far strategies stay behind the best value known, for what they have spent. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, rankdata

from search.analysis.statistics import RESAMPLES
from search.lab.report.reading import Simulated, SimulatedRun

BASELINE = "random"
"""Whose regret at the end is 1."""
PARTS = (0.1, 0.2, 0.33, 0.5, 1.0)
"""Of the budget, where the table looks."""
EARLIEST = 1.0
"""Full trainings from which curves are drawn: the first setting alone tells little."""
N_POINTS = 80
_BATCH = 100
"""Resamples held in memory at a time."""

Floats = NDArray[np.float64]


class Level(NamedTuple):
    """A mean over tasks and seeds; NaN before every run has a value; ends need two seeds."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Standing:
    """One strategy's regret."""

    strategy: str
    n_runs: int
    at_parts: tuple[Level, ...]
    """After each of PARTS of the budget."""
    rank: float | None
    """Its final values' mean rank; None where no task and seed has runs of all."""
    spent: Floats
    """Full trainings of the curves, rising."""
    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Regrets:
    """Strategies that ran with the same number of workers, the lowest regret at the end first."""

    n_workers: int
    budget: float
    is_normalised: bool
    """Whether regret is in units of random search's at the end, else points (0…100)."""
    standings: tuple[Standing, ...]
    tasks: tuple[str, ...]
    n_seeds: tuple[int, int]
    """The fewest and the most runs of a strategy on a task."""
    left_out: tuple[str, ...]
    """Tasks that not all strategies ran on, or where random search found the best."""


def regrets(simulated: Simulated, runs: Sequence[SimulatedRun], n_workers: int) -> Regrets:
    """How the strategies of `runs`, all with `n_workers`, compare.

    A task's regret is (best - value) / (best - random's mean final value), best being the best
    value known; the mean is over tasks, of the means over seeds. Without random search it is 100
    (best - value).
    """
    strategies = sorted({r.strategy for r in runs})
    by = {
        pair: [run for run in runs if (run.strategy, run.task) == pair]
        for pair in product(strategies, simulated.best)
    }
    scales = {t: _scale(simulated.best[t], by.get((BASELINE, t), [])) for t in simulated.best}
    is_normalised = any(scales.values())
    shared = [t for t in simulated.best if all(by[s, t] for s in strategies)]
    tasks = [t for t in shared if scales[t] or not is_normalised]
    tasks_run = {r.task for r in runs}
    first = max([EARLIEST, *(float(r.spent[0]) for r in runs if r.task in tasks)])
    grid = np.geomspace(min(first, simulated.budget / 2), simulated.budget, N_POINTS)
    ranks = _ranks([r for r in runs if r.task in tasks], strategies)
    standings = []
    for s in strategies if tasks else ():
        matrices = [
            _matrix(by[s, t], simulated.best[t], scales[t] or 0.01, simulated.budget, grid)
            for t in tasks
        ]
        mean, low, high = mean_over_tasks(matrices)
        levels = tuple(Level(*map(float, level)) for level in zip(mean, low, high, strict=True))[
            : len(PARTS)
        ]
        n = sum(len(by[s, t]) for t in tasks)
        curves = (part[len(PARTS) :] for part in (mean, low, high))
        standings.append(Standing(s, n, levels, ranks.get(s), grid, *curves))
    standings.sort(key=lambda x: (x.at_parts[-1].mean, x.strategy))
    counts = [len(by[pair]) for pair in product(strategies, tasks)] or [0]
    return Regrets(
        n_workers,
        simulated.budget,
        is_normalised,
        tuple(standings),
        tuple(tasks),
        (min(counts), max(counts)),
        tuple(t for t in simulated.best if t in tasks_run and t not in tasks),
    )


def _scale(best: float, baseline: Sequence[SimulatedRun]) -> float:
    """Random search's mean regret at the end; 0 where it is unknown, or none is left."""
    return max(best - fmean(r.final for r in baseline), 0.0) if baseline else 0.0


def _matrix(
    runs: Sequence[SimulatedRun], best: float, scale: float, budget: float, grid: Floats
) -> Floats:
    """(points, runs) the regret of each run after each of PARTS, then along the grid."""
    points = np.concatenate([np.asarray(PARTS) * budget, grid])
    return np.stack([(best - r.at(points)) / scale for r in runs], axis=1)


def mean_over_tasks(matrices: Sequence[Floats]) -> tuple[Floats, Floats, Floats]:
    """The mean over tasks of the mean over seeds, for each point, with the ends of its 95 %
    interval.

    Each task's matrix is (points, seeds). The interval is a percentile bootstrap that draws seeds
    anew within each task: it says what other seeds may give on these tasks, not what other tasks
    may. One seed has no interval (NaN). Source: Efron and Tibshirani, An Introduction to the
    Bootstrap (1993), chapter 13; `scipy.stats.bootstrap`.
    """
    mean = np.mean([m.mean(axis=1) for m in matrices], axis=0)
    low, high = np.full((2, len(mean)), np.nan)
    is_finite = np.isfinite(mean)
    if is_finite.any() and all(m.shape[1] > 1 for m in matrices):
        resampled = bootstrap(
            [m[is_finite] for m in matrices],
            _mean_of_means,
            axis=-1,
            vectorized=True,
            method="percentile",
            n_resamples=RESAMPLES,
            batch=_BATCH,
            rng=np.random.default_rng(0),
        )
        low[is_finite], high[is_finite] = resampled.confidence_interval
    return mean, low, high


def _mean_of_means(*samples: Floats, axis: int) -> Any:
    return np.mean([s.mean(axis=axis) for s in samples], axis=0)


def _ranks(runs: Sequence[SimulatedRun], strategies: Sequence[str]) -> dict[str, float]:
    """Mean ranks by final value, 1 is best, ties shared, where all strategies have runs."""
    finals = {(r.task, r.seed, r.strategy): r.final for r in runs}
    places = dict.fromkeys((task, seed) for task, seed, _ in finals)
    rows = [[finals.get((*place, s), np.nan) for s in strategies] for place in places]
    whole = [row for row in rows if np.isfinite(row).all()]
    if not whole:
        return {}
    means = rankdata(-np.asarray(whole), axis=1).mean(axis=0)
    return {s: float(m) for s, m in zip(strategies, means, strict=True)}
