"""Means over replicates and the differences between them, and how far they can be trusted."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy  # which loads its parts when they are asked for
from numpy.typing import NDArray

RESAMPLES = 2000
"""Bootstrap resamples: the standard error that they give is good to 2 %."""
_CELLS = 2**22
"""Resampled numbers held in memory at a time, 32 MB."""
_DIGITS = 12
"""Means of the same fractions in another order differ only beyond these decimals."""

_FEWEST = 3
"""Values that leave an interval; the spread of two is half a guess."""

Chance = Literal["images and seeds", "images", "seeds", "nothing"]


class Interval(NamedTuple):
    """A mean of `n` values with the ends of its interval (None below 3)."""

    mean: float
    low: float | None
    high: float | None
    n: int


class Difference(NamedTuple):
    """A difference of means with its interval's ends; None for the untold."""

    value: float
    low: float | None
    high: float | None
    p_value: float | None
    """Two-sided, of no difference."""
    over: Chance = "nothing"
    """What was allowed to have come out otherwise by chance."""


@dataclass(frozen=True, eq=False)
class Runs:
    """One setting's replicates on one set of images."""

    values: tuple[float, ...]
    """What they scored, one per replicate, one or more."""
    shares: NDArray[np.float64] | None = None
    """(n,) what each image, or group of images, has to that, on average over the replicates; of
    accuracies the part of them that got it right. None without predictions.
    """
    is_fraction: bool = True
    """Whether values lie in 0…1."""


def mean_interval(
    values: Sequence[float], level: float = 0.95, *, is_fraction: bool = True
) -> Interval:
    """Student's t interval of the mean of `values`, of fractions clipped to 0…1.

    Half its width is t(1 − (1 − level)/2, n − 1) · s / √n, s the standard deviation with n − 1
    degrees of freedom. One or two values have no interval (both ends None); values that are all the
    same have one of width zero. Raises ValueError without values, for a fraction outside 0…1, for
    what is not finite, and for a level outside (0, 1). Source: Student, "The probable error of a
    mean", Biometrika 6 (1908), 1–25; `scipy.stats.t`.
    """
    return _interval(values, level, lambda n: 1 / math.sqrt(n), is_fraction=is_fraction)


def single_run_interval(
    values: Sequence[float], level: float = 0.95, *, is_fraction: bool = True
) -> Interval:
    """Where one more run would fall, if normally distributed as `values`.

    Like `mean_interval`, with √(1 + 1/n) in place of 1/√n: a single run varies more than a mean.
    The right yardstick for a figure that was itself measured once. Source: Hahn and Meeker,
    Statistical Intervals (1991), chapter 4.
    """
    return _interval(values, level, lambda n: math.sqrt(1 + 1 / n), is_fraction=is_fraction)


def _interval(
    values: Sequence[float], level: float, spread: Callable[[int], float], *, is_fraction: bool
) -> Interval:
    n = len(values)
    least, most = (0.0, 1.0) if is_fraction else (-math.inf, math.inf)
    if (
        not n
        or not all(math.isfinite(v) and least <= v <= most for v in values)
        or not 0 < level < 1
    ):
        where = " in 0…1" if is_fraction else ""
        raise ValueError(
            f"an interval needs values{where} and a level between 0 and 1, not {values!r} and"
            f" {level!r}"
        )
    if n < _FEWEST:
        return Interval(fmean(values), None, None, n)
    if min(values) == max(values):
        same = float(values[0])
        return Interval(same, same, same, n)
    mean = fmean(values)
    half = float(scipy.stats.t.ppf((1 + level) / 2, n - 1)) * stdev(values) * spread(n)
    return Interval(mean, max(mean - half, least), min(mean + half, most), n)


def holm(p_values: Sequence[float]) -> list[float]:
    """`p_values` corrected by Holm's step-down method (Scand. J. Statist. 6 (1979), 65–70)."""
    from statsmodels.stats.multitest import multipletests  # noqa: PLC0415  half a second to load

    return [float(p) for p in multipletests(list(p_values), method="holm")[1]] if p_values else []


def compare_all(
    runs: Sequence[Runs], level: float = 0.95, n_resamples: int = RESAMPLES
) -> dict[tuple[int, int], Difference]:
    """Mean value of runs[i] minus that of runs[j], i < j; p values are not corrected.

    Other test images and other seeds could both have turned a difference around. So it is held
    against the seeds alone, by Welch's t test of the replicates' values, and against both
    together, the larger p and the wider interval counting (an intersection-union test: Berger,
    Technometrics 24 (1982), 295–300). Both together: the squares add up of the standard errors of
    the images, by a paired bootstrap (a resample draws the same images for all settings), and of
    the seeds, as in Welch's test; Student's t with Satterthwaite's degrees of freedom. A test of
    the images alone in its place would hold 5 % for new images, but not for new images and new
    seeds: where both err alike, one in ten differences of nothing passes both tests.

    Replicates that are all alike on both sides add no error. With one replicate on either side the
    seeds can't be judged: the images alone, with McNemar's exact p between two single replicates
    that were right or wrong. With two there is a p, but no interval. Without `shares` on both
    sides: the seeds alone, with a
    permutation test where all replicates of a side are alike and Welch's has no denominator. Always
    the same for the same values. Raises ValueError for runs without values and for shares of
    unlike shape.
    """
    if (
        not all(r.values for r in runs)
        or len({r.shares.shape for r in runs if r.shares is not None}) > 1
    ):
        raise ValueError(
            "a comparison needs a value of each setting, and shares of the same images"
        )
    shares = {i: r.shares for i, r in enumerate(runs) if r.shares is not None and len(r.shares) > 1}
    means = dict(zip(shares, _resampled_means(list(shares.values()), n_resamples), strict=True))
    return {
        (i, j): (
            _over_images(runs[i], runs[j], float(np.std(means[i] - means[j], ddof=1)), level)
            if i in means and j in means
            else _over_seeds(runs[i], runs[j], level)
        )
        for i, j in combinations(range(len(runs)), 2)
    }


def pooled_error(*errors: tuple[float, float]) -> tuple[float, float]:
    """Standard error and degrees of freedom of a sum of independent parts, each such a pair.

    Source: Satterthwaite (1946), as in the ISO Guide to the expression of uncertainty in
    measurement, G.4.1.
    """
    whole = math.hypot(*(error for error, _ in errors))
    return whole, whole**4 / sum(error**4 / df for error, df in errors) if whole else math.inf


def _resampled_means(
    shares: Sequence[NDArray[np.float64]], n_resamples: int
) -> Sequence[NDArray[np.float64]]:
    if not shares:
        return []
    stacked = np.stack(shares)
    resampled = scipy.stats.bootstrap(
        (stacked,),
        np.mean,
        axis=-1,
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=n_resamples,
        batch=max(1, _CELLS // stacked.size),
        rng=np.random.default_rng(0),
    )
    means: NDArray[np.float64] = resampled.bootstrap_distribution
    return list(means)


def _over_images(a: Runs, b: Runs, image_error: float, level: float) -> Difference:
    value = _apart(a.values, b.values)
    both = min(len(a.values), len(b.values)) > 1
    seed_error, seed_df = _seed_error(a.values, b.values) if both else (0.0, 1.0)
    image_df = float(len(a.shares) - 1 if a.shares is not None else 1)
    error, df = pooled_error((image_error, image_df), (seed_error, seed_df))
    p_value = 2 * float(scipy.stats.t.sf(abs(value) / error, df)) if error else float(not value)
    half = float(scipy.stats.t.ppf((1 + level) / 2, df)) * error if error else 0.0
    if seed_error:
        p_value = max(p_value, 2 * float(scipy.stats.t.sf(abs(value) / seed_error, seed_df)))
        half = max(half, float(scipy.stats.t.ppf((1 + level) / 2, seed_df)) * seed_error)
    if len(a.values) == len(b.values) == 1 and _are_hits(a) and _are_hits(b):
        p_value = _mcnemar(a, b)
    if both and not _enough(a.values, b.values):
        return Difference(value, None, None, p_value, "images and seeds")
    over: Chance = "images and seeds" if both else "images"
    whole = Difference(value, value - half, value + half, p_value, over)
    return _bounded(whole, is_fraction=a.is_fraction)


def _over_seeds(a_runs: Runs, b_runs: Runs, level: float) -> Difference:
    a = a_runs.values
    b = b_runs.values
    value = _apart(a, b)
    if min(len(a), len(b)) < 2:
        return Difference(value, None, None, None)
    if min(a) == max(a) and min(b) == max(b):
        permuted = scipy.stats.permutation_test(
            (a, b),
            lambda x, y, axis: np.mean(x, axis) - np.mean(y, axis),
            rng=np.random.default_rng(0),
        )
        return Difference(value, None, None, float(permuted.pvalue), "seeds")
    test = _welch(a, b)
    if not _enough(a, b):
        return Difference(value, None, None, float(test.pvalue), "seeds")
    ends = test.confidence_interval(level)
    whole = Difference(value, float(ends.low), float(ends.high), float(test.pvalue), "seeds")
    return _bounded(whole, is_fraction=a_runs.is_fraction)


def _enough(a: Sequence[float], b: Sequence[float]) -> bool:
    return min(len(a), len(b)) >= _FEWEST


def _apart(a: Sequence[float], b: Sequence[float]) -> float:
    return round(fmean(a) - fmean(b), _DIGITS)


def _bounded(difference: Difference, *, is_fraction: bool) -> Difference:
    low, high = difference.low, difference.high
    if not is_fraction or low is None or high is None:
        return difference
    return difference._replace(low=max(low, -1.0), high=min(high, 1.0))


def _are_hits(runs: Runs) -> bool:
    return runs.shares is not None and bool(np.isin(runs.shares, (0.0, 1.0)).all())


def _seed_error(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    spread = [float(scipy.stats.sem(x)) for x in (a, b) if min(x) < max(x)]
    return (math.hypot(*spread), float(_welch(a, b).df)) if spread else (0.0, 1.0)


def _welch(a: Sequence[float], b: Sequence[float]) -> Any:
    with warnings.catch_warnings():
        # SciPy warns of cancellation where one side's values are all the same; their variance is
        # then rightly zero.
        warnings.simplefilter("ignore", RuntimeWarning)
        return scipy.stats.ttest_ind(a, b, equal_var=False)


def _mcnemar(a: Runs, b: Runs) -> float:
    from statsmodels.stats.contingency_tables import mcnemar  # noqa: PLC0415  half a second to load

    right = [np.asarray(r.shares) > 0 for r in (a, b)]
    table = [
        [np.count_nonzero((right[0] == x) & (right[1] == y)) for y in (True, False)]
        for x in (True, False)
    ]
    return float(mcnemar(table, exact=True).pvalue)
