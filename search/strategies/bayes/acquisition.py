"""Where a new setting promises most, by expected improvement.

Jones, Schonlau & Welch, "Efficient global optimization of expensive black-box functions", J. Global
Optim. 13 (1998), 455–492; its logarithm as in Ament et al., "Unexpected improvements to expected
improvement" (NeurIPS 2023).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from search.strategies.encoding import Encoding

Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]

N_RANDOM, N_BEST, N_NEAR = 300, 6, 12
STEPS = (0.15, 0.06, 0.02)
"""How far the search around the best candidates goes, round by round, in parts of a range."""
_LOG_ROOT_2PI = 0.5 * np.log(2 * np.pi)


def log_improvement(mean: Floats, deviation: Floats, best: float) -> Floats:
    """The logarithm of the expected gain over `best` by these means and deviations."""
    z = (mean - best) / deviation
    log_density = -0.5 * z * z - _LOG_ROOT_2PI
    near = np.log(np.maximum(np.exp(log_density) + z * ndtr(z), 1e-300))
    # Far below the best the two terms cancel; the first of the asymptotic series is exact enough
    # there.
    far = log_density - 2 * np.log(np.maximum(-z, 1.0))
    logs: Floats = np.log(deviation) + np.where(z > -6.0, near, far)
    return logs


def search(encoding: Encoding, score: Score, around: Floats, rng: np.random.Generator) -> Floats:
    """Settled rows, best first: random, near the rows `around`, then nearer to the best."""
    rows = [encoding.spread(rng.random((N_RANDOM, encoding.width)))]
    rows += [near(encoding, np.repeat(around, N_NEAR, axis=0), step, rng) for step in STEPS[:2]]
    candidates = np.concatenate(rows)
    scores = score(candidates)
    for step in STEPS:
        top = np.argsort(-scores, kind="stable")[:N_BEST]
        closer = near(encoding, np.repeat(candidates[top], N_NEAR, axis=0), step, rng)
        candidates, scores = (
            np.concatenate([candidates[top], closer]),
            np.concatenate([scores[top], score(closer)]),
        )
    return candidates[np.argsort(-scores, kind="stable")]


def near(encoding: Encoding, rows: Floats, step: float, rng: np.random.Generator) -> Floats:
    """Neighbours of `rows`, some parameters moved by about `step` within their ranges."""
    n, width = rows.shape
    moved = rng.random((n, width)) < max(0.4, 1.0 / max(width, 1))
    moved[np.arange(n), rng.integers(0, width, n)] = True
    fresh = encoding.spread(rng.random((n, width)), settle=False)
    jumps = encoding.is_choice | np.isnan(rows)
    # A choice has no neighbours: it is drawn anew, and less often than a number is moved.
    moved &= ~encoding.is_choice | (rng.random((n, width)) < 0.5)
    shifted = np.clip(rows + step * rng.normal(size=rows.shape), 0.0, 1.0)
    unsettled = np.where(jumps, fresh, shifted)
    return encoding.settle(np.where(moved | np.isnan(rows), unsettled, rows))
