"""How much compute one system takes to what another ends with. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from search.analysis.statistics import RESAMPLES
from search.lab.report.reading import Simulated, SimulatedRun
from search.lab.report.regret import Level

REFERENCES = ("gridless", "default")
"""Whose compute is told, the first of them that a file has runs of."""

MIN_PAIRS = 6
"""A median's interval from fewer pairs can't hold 95 %: 2 · 0.5⁵ = 6 % lie on one side."""


@dataclass(frozen=True)
class Reach:
    """What the reference takes to another system's final value, where both have runs."""

    other: str
    n: int
    n_reached: int
    final: float
    """The other's mean final accuracy, a fraction."""
    reference_final: float
    """The reference's, on the same tasks and seeds."""
    of_all: Level
    """What the reference spent to get there, as a part of all that the other spent: the median,
    infinite where it never got there, with the ends of its 95 % interval, NaN for fewer than
    MIN_PAIRS.
    """
    of_first: Level
    """The same as a part of what the other had spent when it first had its final value."""


def reference_of(runs: Sequence[SimulatedRun]) -> str | None:
    """The system whose compute is told; None where there is nothing to hold it against."""
    names = {r.strategy for r in runs}
    return next((name for name in REFERENCES if name in names and len(names) > 1), None)


def reaches(simulated: Simulated, runs: Sequence[SimulatedRun]) -> list[Reach]:
    """What the reference of `runs` takes to other systems' final values, highest first."""
    name = reference_of(runs)
    mine = {(r.task, r.seed): r for r in runs if r.strategy == name}
    others = sorted({r.strategy for r in runs} - {name}) if name else []
    pairs = {
        o: [(mine[r.task, r.seed], r) for r in runs if r.strategy == o and (r.task, r.seed) in mine]
        for o in others
    }
    return sorted(
        (_reach(o, simulated, p) for o, p in pairs.items() if p), key=lambda r: (-r.final, r.other)
    )


def _reach(
    other: str, simulated: Simulated, pairs: Sequence[tuple[SimulatedRun, SimulatedRun]]
) -> Reach:
    took = [_spent_to(a, b.final) for a, b in pairs]
    whole = [t / simulated.spent_by(b) for t, (_, b) in zip(took, pairs, strict=True)]
    first = [t / _spent_to(b, b.final) for t, (_, b) in zip(took, pairs, strict=True)]
    return Reach(
        other,
        len(pairs),
        sum(map(math.isfinite, took)),
        fmean(b.final for _, b in pairs),
        fmean(a.final for a, _ in pairs),
        _median(whole),
        _median(first),
    )


def _spent_to(run: SimulatedRun, value: float) -> float:
    """What `run` had spent when it first had `value`; infinity if it never had."""
    place = int(np.searchsorted(run.value, value - 1e-9))
    return float(run.spent[place]) if place < len(run.spent) else math.inf


def _median(ratios: Sequence[float]) -> Level:
    """The median and its 95 % bootstrap interval over pairs (Efron, Tibshirani 1993, ch. 13)."""
    values = np.asarray(ratios)
    median = float(np.median(values))
    if len(values) < MIN_PAIRS:
        return Level(median, math.nan, math.nan)
    draws = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    medians = np.sort(np.median(values[draws], axis=1))
    # No interpolation, which infinite values would not survive.
    return Level(
        median,
        float(medians[int(0.025 * RESAMPLES)]),
        float(medians[math.ceil(0.975 * RESAMPLES) - 1]),
    )
