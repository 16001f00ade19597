"""The full grid, in the order in which nested loops would walk it."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from search.records import TrialRecord
from search.space.params import GRID_POINTS, as_written, n_points
from search.space.space import ChoiceParam, ConstantParam, FloatParam, IntParam, Param, Space
from search.strategies.protocol import identity
from search.strategies.random_tpe import RandomSettings


class _Steps(Sequence[Any]):
    """The values of a float with steps, made one by one: there may be millions."""

    def __init__(self, param: FloatParam) -> None:
        self._param = param

    def __len__(self) -> int:
        return n_points(self._param)

    def __getitem__(self, index: Any) -> Any:
        step = range(len(self))[index] * (self._param.step or 0.0)
        return as_written(self._param, min(self._param.low + step, self._param.high))


def points(param: Param) -> Sequence[Any]:
    """A grid's values of `param`, in order: all, or 10 even ones of a float without a step."""
    match param:
        case ConstantParam():
            return (param.value,)
        case ChoiceParam():
            return tuple(param.choices)
        case IntParam():
            return range(param.low, param.high + 1, param.step or 1)
        case FloatParam(step=None):
            even = np.geomspace if param.log else np.linspace
            return tuple(
                np.clip(even(param.low, param.high, GRID_POINTS), param.low, param.high).tolist()
            )
        case FloatParam():
            return _Steps(param)


def walk(space: Space, max_epochs: int) -> Iterator[dict[str, Any]]:
    """Every combination once, the last parameter changing fastest; inactive parameters left out.

    Of more `epochs` than `max_epochs`, which train alike, only the least are taken.
    """
    values = {name: points(space.params[name]) for name in space.order}
    if "epochs" in values:
        ordered = sorted(values["epochs"])
        n = sum(v < max_epochs for v in ordered)
        values["epochs"] = tuple(ordered[: n + 1])
    return combinations(space, values)


def combinations(space: Space, values: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Every setting of these `values`, the last parameter fastest; inactive ones left out."""

    def extend(names: Sequence[str], setting: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        if not names:
            yield dict(setting)
        elif names[0] not in space.active(setting):
            yield from extend(names[1:], setting)
        else:
            for value in values[names[0]]:
                yield from extend(names[1:], {**setting, names[0]: value})

    return extend(space.order, {})


class GridSettings:
    """Every point of a full grid, one after the other; beyond it, random settings."""

    looks = False

    def __init__(
        self, space: Space, *, seed: int, max_epochs: int, first: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self._first = [dict(s) for s in first] or [dict(space.document)]
        given = {identity(s, max_epochs) for s in self._first}
        self._rest = (s for s in walk(space, max_epochs) if identity(s, max_epochs) not in given)
        self._settings: list[dict[str, Any]] = []
        self._beyond = RandomSettings(space, seed=seed, max_epochs=max_epochs)

    def ask(self, trials: Sequence[TrialRecord], number: int) -> dict[str, Any]:
        """The grid's next point; the document's setting comes first, wherever it lies."""
        if number < len(self._first):
            return dict(self._first[number])
        place = number - len(self._first)
        self._settings += itertools.islice(self._rest, max(0, place + 1 - len(self._settings)))
        return (
            dict(self._settings[place])
            if place < len(self._settings)
            else self._beyond.ask(trials, number)
        )
