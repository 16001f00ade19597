"""Settings as points that a model can measure distances between.

Every searched parameter is one column: a number's place in its range (0…1, by orders of magnitude
if `log`), or the index of a choice, between any two of which the distance is 1. NaN stands for a
parameter that is inactive.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.space.params import as_written, n_points
from search.space.space import ChoiceParam, ConstantParam, FloatParam, IntParam, Param, Space
from search.space.values import is_in
from search.strategies.learning_rates import rates_of

Floats = NDArray[np.float64]
_ALIKE = 1e-9
_MIDDLE = 0.5
"""Where an inactive number is taken to lie when it is compared with an active one."""


class Encoding:
    """Between settings of a space and rows of numbers, `epochs` clipped as the study does."""

    def __init__(self, space: Space, max_epochs: int) -> None:
        self._space = space
        self._max_epochs = max_epochs
        self._ordered = [(name, space.params[name]) for name in space.order]
        self.names = [name for name, param in self._ordered if n_points(param) > 1]
        self._params = [space.params[n] for n in self.names]
        self._is_choice = np.array([isinstance(p, ChoiceParam) for p in self._params], dtype=bool)
        self._conditions = self._find_conditions()
        self._rates = rates_of(space, self.names)

    @property
    def width(self) -> int:
        """Columns."""
        return len(self.names)

    def encode(self, settings: Sequence[Mapping[str, Any]]) -> Floats:
        """Rows for `settings`; a value that the space has no more reads as its nearest."""
        rows = np.full((len(settings), self.width), np.nan)
        for row, params in zip(rows, settings, strict=True):
            for i, (name, param) in enumerate(zip(self.names, self._params, strict=True)):
                if name in params:
                    row[i] = _place(param, self._clip(name, params[name]))
        return rows

    def spread(self, uniform: Floats, *, settle: bool = True) -> Floats:
        """Rows for points of the unit cube: even points are even draws of each parameter."""
        columns = [_drawn(p, uniform[:, i]) for i, p in enumerate(self._params)]
        rows = np.column_stack(columns) if columns else np.empty((len(uniform), 0))
        return self.settle(rows) if settle else rows

    def customary(self, uniform: Floats) -> Floats:
        """Rows as of `spread`, but learning rates near the optimizer's customary ones."""
        rows = self.spread(uniform)
        if self._rates is not None:
            rows[:, self._rates.column] = self._rates.drawn(rows, uniform[:, self._rates.column])
        return rows

    def settle(self, rows: Floats) -> Floats:
        """`rows` with numbers on the nearest allowed value, NaN for inactive parameters."""
        columns = [_snapped(p, rows[:, i]) for i, p in enumerate(self._params)]
        settled = np.column_stack(columns) if columns else rows.copy()
        for i, parents in self._conditions:
            for parent, allowed in parents:
                is_on = (np.abs(settled[:, parent, None] - allowed) < _ALIKE).any(axis=1)
                settled[~is_on, i] = np.nan
        return settled

    def decode(self, row: Floats) -> dict[str, Any]:
        """The setting at a settled row."""
        at = dict(zip(self.names, row.tolist(), strict=True))
        setting: dict[str, Any] = {}
        for name, param in self._ordered:
            if not math.isnan(at.get(name, 0.0)) and _is_on(param, setting):
                setting[name] = _value(param, at.get(name, 0.0))
        return setting

    def features(self, rows: Floats) -> Floats:
        """Coordinates in which the distance of two choices is 1, and `groups` tells which belong to
        one parameter.

        Learning rates are measured from what is customary for the optimizer.
        """
        numbers = np.where(np.isnan(rows), _MIDDLE, rows)
        if self._rates is not None:
            numbers[:, self._rates.column] -= self._rates.customary(rows)
        columns = [numbers[:, ~self._is_choice]]
        columns += [
            (rows[:, i, None] == np.arange(n_points(self._params[i]))) * math.sqrt(0.5)
            for i in np.flatnonzero(self._is_choice)
        ]
        return np.column_stack(columns)

    @property
    def groups(self) -> NDArray[np.int64]:
        """For each coordinate of `features` the number of its parameter, from 0, without gaps."""
        n_numbers = int((~self._is_choice).sum())
        sizes = [n_points(self._params[i]) for i in np.flatnonzero(self._is_choice)]
        return np.concatenate(
            [np.arange(n_numbers), np.repeat(np.arange(len(sizes)) + n_numbers, sizes)]
        ).astype(np.int64)

    @property
    def n_alternatives(self) -> int:
        """How many choices there are beside the first of each parameter that has choices."""
        return sum(n_points(p) - 1 for p in self._params if isinstance(p, ChoiceParam))

    @property
    def is_choice(self) -> NDArray[np.bool_]:
        """Which columns are choices."""
        return self._is_choice

    def _clip(self, name: str, value: Any) -> Any:
        return min(value, self._max_epochs) if name == "epochs" else value

    def _find_conditions(self) -> list[tuple[int, list[tuple[int, Floats]]]]:
        """For each conditional column its columns to depend on, with places that activate it."""
        conditions = []
        for i, param in enumerate(self._params):
            parents = []
            for name, allowed in (param.when or {}).items():
                if name in self.names:
                    parent = self._space.params[name]
                    places = [_place(parent, as_written(parent, v)) for v in allowed]
                    parents.append((self.names.index(name), np.array(places)))
            if parents:
                conditions.append((i, parents))
        return conditions


def _is_on(param: Param, setting: Mapping[str, Any]) -> bool:
    return all(
        p in setting and is_in(setting[p], allowed) for p, allowed in (param.when or {}).items()
    )


def _scale(param: FloatParam | IntParam) -> tuple[float, float]:
    return (
        (math.log(param.low), math.log(param.high))
        if param.log
        else (float(param.low), float(param.high))
    )


def _place(param: Param, value: Any) -> float:
    match param:
        case ChoiceParam():
            return float(next((i for i, c in enumerate(param.choices) if is_in(value, (c,))), 0))
        case ConstantParam():
            return 0.0
    low, high = _scale(param)
    place = ((math.log(value) if param.log and value > 0 else float(value)) - low) / (high - low)
    return min(max(place, 0.0), 1.0)


def _drawn(param: Param, uniform: Floats) -> Floats:
    """Places of even draws: every value of a choice or of steps as likely as every other."""
    n = n_points(param)
    if isinstance(param, FloatParam) and param.step is None:
        return uniform
    index = np.minimum(np.floor(uniform * n), n - 1)
    if isinstance(param, ChoiceParam | ConstantParam):
        return index
    if not param.log:
        return index / max(1, n - 1)
    low, high = (
        math.log(param.low - 0.5 * (param.step or 1)),
        math.log(param.high + 0.5 * (param.step or 1)),
    )
    from_low, to_high = _scale(param)
    return np.clip((low + uniform * (high - low) - from_low) / (to_high - from_low), 0.0, 1.0)


def _snapped(param: Param, places: Floats) -> Floats:
    if isinstance(param, ChoiceParam | ConstantParam) or (
        isinstance(param, FloatParam) and param.step is None
    ):
        return places
    low, high = _scale(param)
    step = param.step or 1
    raw = np.clip(low + places * (high - low), low, high)
    value = np.exp(raw) if param.log else raw
    value = np.clip(param.low + np.rint((value - param.low) / step) * step, param.low, param.high)
    return ((np.log(value) if param.log else value) - low) / (high - low)


def _value(param: Param, place: float) -> Any:
    match param:
        case ChoiceParam():
            return param.choices[round(place)]
        case ConstantParam():
            return param.value
    if n_points(param) == 1:
        return as_written(param, param.low)
    low, high = _scale(param)
    raw = low + min(max(place, 0.0), 1.0) * (high - low)
    value = math.exp(raw) if param.log else raw
    if isinstance(param, IntParam):
        step = param.step or 1
        return min(max(param.low + round((value - param.low) / step) * step, param.low), param.high)
    if param.step:
        value = param.low + round((value - param.low) / param.step) * param.step
    return float(min(max(value, param.low), param.high))
