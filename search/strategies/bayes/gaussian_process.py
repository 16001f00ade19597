"""A Gaussian process with a Matérn-5/2 kernel and a length scale for every parameter, on NumPy and
SciPy alone.

Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), chapters 2, 4.2 and 5.4.1.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

Floats = NDArray[np.float64]

N_ITERATIONS = 12
"""Of the search for the most probable length scales: they need not be exact to be useful."""
_SCALE, _SCALE_SD = 0.2, 0.8
"""Prior of the logarithm of a length scale, for parameters that run from 0 to 1."""
_NOISE, _NOISE_SD = -7.0, 1.5
"""Prior of the logarithm of the noise's variance, for values of variance 1."""
_JITTER = 1e-8
_BOUNDS = ((-3.0, 3.5), (-4.0, 4.0), (-14.0, 1.0))
"""Of the logarithms of length scales, of the variance of values, and of the noise's variance."""


class GaussianProcess:
    """What values of mean 0 and variance about 1 at `points` say about other points."""

    def __init__(
        self, points: Floats, groups: NDArray[np.int64], values: Floats, noise: Floats
    ) -> None:
        """Coordinates with one number in `groups` share a length scale; `noise` is the known
        variance of each value.

        Length scales, variance and the noise beyond the known one are the most probable ones, as
        far as some steps of L-BFGS from the same start find them: the same question has the same
        answer.
        """
        self._groups = groups
        n_groups = int(groups.max()) + 1 if len(groups) else 0
        squares = np.empty((n_groups, len(points) ** 2))
        for g in range(n_groups):
            group_points = np.ascontiguousarray(points[:, groups == g])
            squares[g] = cdist(group_points, group_points, "sqeuclidean").ravel()
        fitted = _fit(squares, values, noise)
        self._set_scales(np.exp(-2 * fitted[:n_groups]), math.exp(fitted[-2]), math.exp(fitted[-1]))
        self.condition(points, values, noise)

    def _set_scales(self, weights: Floats, variance: float, extra_noise: float) -> None:
        self._roots = np.sqrt(weights)[self._groups]
        self.variance, self.extra_noise = variance, extra_noise

    def condition(self, points: Floats, values: Floats, noise: Floats) -> None:
        """Take these values for the known ones, keeping length scales and variances."""
        self._points = points * self._roots
        kernel = self.variance * _matern(cdist(self._points, self._points, "sqeuclidean"))
        kernel.flat[:: len(points) + 1] += self.extra_noise + _JITTER
        self._clear, _ = dpotrf(kernel, lower=1)
        kernel.flat[:: len(points) + 1] += noise
        self._factor, _ = dpotrf(kernel, lower=1)
        self._weights, _ = dpotrs(self._factor, values, lower=1)

    def predict(self, points: Floats, *, if_clear: bool = False) -> tuple[Floats, Floats]:
        """Mean and noiseless variance at `points`; `if_clear` as if no value were in doubt."""
        kernel = self.variance * _matern(cdist(self._points, points * self._roots, "sqeuclidean"))
        factor = self._clear if if_clear else self._factor
        half = solve_triangular(factor, kernel, lower=True, check_finite=False)
        return self._weights @ kernel, np.maximum(
            self.variance - np.einsum("ij,ij->j", half, half), 1e-12
        )


def _matern(squares: Floats) -> Floats:
    r = np.sqrt(5.0 * squares)
    kernel: Floats = (1.0 + r + r * r / 3.0) * np.exp(-r)
    return kernel


def _fit(squares: Floats, values: Floats, noise: Floats) -> Floats:
    """The most probable logarithms of length scales, variance and noise."""
    n_groups, n = len(squares), len(values)
    centre = np.array([*[_SCALE] * n_groups, 0.0, _NOISE])
    width = np.array([*[_SCALE_SD] * n_groups, 1.0, _NOISE_SD])

    def loss(logs: Floats) -> tuple[float, Floats]:
        weights, variance, extra_noise = (
            np.exp(-2 * logs[:n_groups]),
            math.exp(logs[-2]),
            math.exp(logs[-1]),
        )
        r = np.sqrt(5.0 * (weights @ squares))
        decay = variance * np.exp(-r)
        kernel = ((1.0 + r + r * r / 3.0) * decay).reshape(n, n)
        noisy = kernel.copy()
        noisy.flat[:: n + 1] += noise + extra_noise + _JITTER
        factor, failed = dpotrf(noisy, lower=1)
        if failed:
            return 1e10, np.zeros_like(logs)
        solved, _ = dpotrs(factor, values, lower=1)
        inverse, _ = dpotri(factor, lower=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        pull = np.outer(solved, solved) - inverse
        z = (logs - centre) / width
        slope = z / width
        slope[:n_groups] -= (5.0 / 6.0) * weights * (squares @ (pull.ravel() * (1.0 + r) * decay))
        slope[-2] -= 0.5 * float(np.vdot(pull, kernel))
        slope[-1] -= 0.5 * float(np.trace(pull)) * extra_noise
        return float(0.5 * values @ solved + np.log(np.diag(factor)).sum() + 0.5 * z @ z), slope

    bounds = [_BOUNDS[0]] * n_groups + [_BOUNDS[1], _BOUNDS[2]]
    options = {"maxiter": N_ITERATIONS, "maxfun": N_ITERATIONS + 5}
    optimum: Floats = minimize(
        loss, centre, jac=True, method="L-BFGS-B", bounds=bounds, options=options
    ).x
    return optimum
