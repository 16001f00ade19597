"""What is known of learning rates before any trial: which ones are alike under different
optimizers.

A rate of 0.1 is usual with plain SGD, ruins Adam, and is little for Adadelta; with momentum m,
SGD's steps add up to 1 / (1 − m) of a single one (Sutskever et al., ICML 2013). Measured from what
is customary, rates of all optimizers lie on one scale, so that a trial with one of them tells of
the others, and a search need not begin with rates that never work.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.space.optimizers import OPTIMIZERS
from search.space.space import ChoiceParam, ConstantParam, FloatParam, Param, Space

Floats = NDArray[np.float64]

_SPREAD = math.log(10.0) * 0.75
"""Standard deviation of a customary rate's logarithm: three quarters of an order of magnitude."""


class Rates:
    """The column of `lr` in a space, and what its values are to be measured from."""

    def __init__(self, column: int, param: FloatParam, space: Space, names: Sequence[str]) -> None:
        self.column = column
        self._low, self._range = math.log(param.low), math.log(param.high) - math.log(param.low)
        self._optimizers = np.log(
            [OPTIMIZERS[name].customary_lr for name in _values(space.params["optimizer"])]
        )
        self._optimizer = names.index("optimizer") if "optimizer" in names else None
        momentum = space.params.get("momentum")
        self._momentum = (
            names.index("momentum")
            if isinstance(momentum, FloatParam) and "momentum" in names
            else None
        )
        self._momenta = (
            (momentum.low, momentum.high) if isinstance(momentum, FloatParam) else (0.0, 0.0)
        )
        # Only SGD has any.
        self._pinned = float(momentum.value) if isinstance(momentum, ConstantParam) else 0.0  # type: ignore[arg-type]
        self._is_sgd = np.array([name == "sgd" for name in _values(space.params["optimizer"])])

    def customary(self, rows: Floats) -> Floats:
        """Where in the range of `lr` each row's customary rate lies; outside 0 to 1 if beyond."""
        which = (
            np.zeros(len(rows), dtype=np.int64)
            if self._optimizer is None
            else rows[:, self._optimizer].astype(int)
        )
        logs = self._optimizers[which]
        momentum = np.full(len(rows), self._pinned)
        if self._momentum is not None:
            low, high = self._momenta
            column = rows[:, self._momentum]
            momentum = np.where(np.isnan(column), 0.0, low + np.nan_to_num(column) * (high - low))
        logs = logs + np.where(self._is_sgd[which], np.log1p(-momentum), 0.0)
        places: Floats = (logs - self._low) / self._range
        return places

    def drawn(self, rows: Floats, uniform: Floats) -> Floats:
        """Places near those customary for `rows`, normal within the range, by `uniform`."""
        from scipy.stats import truncnorm  # noqa: PLC0415  # half a second to load

        spread = _SPREAD / self._range
        centre = np.clip(self.customary(rows), 0.0, 1.0)
        places: Floats = truncnorm.ppf(
            uniform, -centre / spread, (1.0 - centre) / spread, loc=centre, scale=spread
        )
        return np.clip(places, 0.0, 1.0)


def rates_of(space: Space, names: Sequence[str]) -> Rates | None:
    """For the searched parameters `names`; None where `lr` is none of them, or it is not known what
    it is for.

    Momentum, if there is any, must be pinned or a number on an even scale.
    """
    param, optimizer = space.params.get("lr"), space.params.get("optimizer")
    if (
        not isinstance(param, FloatParam)
        or not param.log
        or param.step
        or param.when
        or "lr" not in names
    ):
        return None
    if optimizer is None or optimizer.when:
        return None
    if not set(_values(optimizer)) <= set(OPTIMIZERS):
        return None
    momentum = space.params.get("momentum")
    if not (momentum is None or isinstance(momentum, ConstantParam) or _is_even(momentum)):
        return None
    return Rates(list(names).index("lr"), param, space, list(names))


def _is_even(param: Param) -> bool:
    return isinstance(param, FloatParam) and not param.log


def _values(optimizer: Param) -> tuple[Any, ...]:
    return (
        tuple(optimizer.choices)
        if isinstance(optimizer, ChoiceParam)
        else (getattr(optimizer, "value", None),)
    )
