"""Means over replicates and how far they can be trusted."""

import math
from collections.abc import Callable, Sequence
from statistics import fmean, stdev
from typing import NamedTuple

from scipy.stats import t


class Interval(NamedTuple):
    """A mean of `n` values with the ends of its interval, all fractions in 0…1; None where n = 1 leaves no interval."""

    mean: float
    low: float | None
    high: float | None
    n: int


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Student's t interval of the mean of `values` (fractions in 0…1), clipped to 0…1.

    Half its width is t(1 − (1 − level)/2, n − 1) · s / √n, s the standard deviation with n − 1 degrees of freedom.
    One value has no interval (both ends None); values that are all the same have one of width zero.
    Raises ValueError without values, for a value outside 0…1 or NaN, and for a level outside (0, 1).
    Source: Student, "The probable error of a mean", Biometrika 6 (1908), 1–25; `scipy.stats.t`.
    """
    return _interval(values, level, lambda n: 1 / math.sqrt(n))


def single_run_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Where one more run would fall, if its value came from the same normal distribution as `values`.

    Like `mean_interval`, with √(1 + 1/n) in place of 1/√n: a single run varies more than a mean. The right yardstick
    for a figure that was itself measured once. Source: Hahn and Meeker, Statistical Intervals (1991), chapter 4.
    """
    return _interval(values, level, lambda n: math.sqrt(1 + 1 / n))


def _interval(values: Sequence[float], level: float, spread: Callable[[int], float]) -> Interval:
    n = len(values)
    if not n or not all(0 <= v <= 1 for v in values) or not 0 < level < 1:
        raise ValueError(f"an interval needs values in 0…1 and a level between 0 and 1, not {values!r} and {level!r}")
    if n == 1:
        return Interval(float(values[0]), None, None, 1)
    if min(values) == max(values):
        same = float(values[0])
        return Interval(same, same, same, n)
    mean = fmean(values)
    half = float(t.ppf((1 + level) / 2, n - 1)) * stdev(values) * spread(n)
    return Interval(mean, max(mean - half, 0.0), min(mean + half, 1.0), n)
