"""Finds what a model for KerasTuner can vary, by building it with a few settings.

As KerasTuner does: with the defaults, and again until every conditional scope was active. Beyond that, with every
choice and both ends of every range, one at a time, since most loops and branches over `hp` are in no scope.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from search.errors import InputError
from search.space.hyperparameters import space_of
from search.space.types import Space
from search.training.probe import ask

MAX_BUILDS = 100
"""A space that is not known after so many has more ways than one can build."""


@dataclass(frozen=True)
class Found:
    """A space, and what to tell of it."""

    space: Space
    notices: tuple[str, ...]


def find(model: str, *, input_shape: tuple[int, int, int], n_classes: int) -> Found | None:
    """The space of a model for KerasTuner, built in a fresh process; None for a model that is none.

    Raises InputError when it can't be loaded or built, or asks for what a space can't hold, and StudyError when the
    process breaks.
    """
    answer = ask({"discover": {"model": model, "input_shape": input_shape, "n_classes": n_classes}})
    if answer["hyperparameters"] is None:
        return None
    compiles = answer["compiles"]
    space = space_of(model, answer["hyperparameters"], compiles=compiles)
    n, own = (
        len(answer["hyperparameters"]),
        "its own optimizer and loss are kept" if compiles else "it is compiled here",
    )
    told = [f"{n} hyperparameters of {model} found by building it {answer['n_builds']} times; {own}"]
    if answer["cut"]:
        told.append(f"after {MAX_BUILDS} builds there were more ways to try: what was not found keeps its default")
    if answer["trains_itself"]:
        told.append("its own fit() is not called: batch_size and epochs are chosen here")
    return Found(space, tuple(told))


def explore(question: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to `find`'s question, in the process that builds."""
    import keras  # noqa: PLC0415  only the probe's own process loads it

    from search.training.hypermodel import HyperBuilder, builder_of, fitted  # noqa: PLC0415

    builder = builder_of(question["model"])
    if not isinstance(builder, HyperBuilder):
        return {"hyperparameters": None}
    shape, n_classes = tuple(question["input_shape"]), question["n_classes"]

    def build(hp: Any) -> bool:
        try:
            return bool(fitted(builder.build(hp, shape, n_classes), shape, n_classes).compiled)
        finally:
            keras.backend.clear_session()

    found = _Exploration(build)
    found.run()
    return {
        "hyperparameters": found.space.get_config()["space"],
        "compiles": found.compiles,
        "n_builds": found.n_builds,
        "cut": bool(found.ahead),
        "trains_itself": builder.trains_itself,
    }


class _Exploration:
    """Builds until nothing new is asked for."""

    def __init__(self, build: Callable[[Any], bool]) -> None:
        from search.training.hypermodel import keras_tuner  # noqa: PLC0415  only the probe's own process loads it

        self.space = keras_tuner().HyperParameters()
        self.compiles = False
        self.n_builds = 0
        self.ahead: deque[dict[str, Any]] = deque([{}])
        """Settings to build with, by what differs from the defaults."""
        self._build = build
        self._built: set[str] = set()
        self._known = 0
        self._active: list[Any] = []
        """Conditional scopes that were active once."""
        self._errors: list[str] = []

    def run(self) -> None:
        """Raises InputError when nothing can be built."""
        n_failed = 0
        while self.ahead and self.n_builds < MAX_BUILDS:
            wanted = self.ahead.popleft()
            hp = self._filled(wanted)
            key = json.dumps(hp.values, sort_keys=True)
            if key in self._built:
                continue
            self._built.add(key)
            self.n_builds += 1
            try:
                self.compiles |= self._build(hp)
            except BaseException as error:  # whatever a builder raises says that this setting can't be built
                n_failed += 1
                self._errors.append(str(error) or type(error).__name__)
            self._learn(hp, wanted)
        if n_failed == self.n_builds:
            raise InputError(f"the model can't be built on this data: {self._errors[0]}")

    def _filled(self, wanted: Mapping[str, Any]) -> Any:
        hp = self.space.copy()
        hp.values = {}
        for one in hp.space:  # parents come first
            if hp.is_active(one):
                hp.values[one.name] = wanted.get(one.name, one.default)
        return hp

    def _learn(self, hp: Any, wanted: Mapping[str, Any]) -> None:
        self.space.merge(hp, overwrite=False)
        new, self._known = self.space.space[self._known :], len(self.space.space)
        self._active += hp.active_scopes
        for scope in hp.inactive_scopes:
            if scope not in self._active:
                self.ahead.append({**wanted, **_holding(scope)})
        for one in new:
            self.ahead += ({**wanted, **_holding(one.conditions), one.name: value} for value in _ends(one))


def _holding(conditions: Any) -> dict[str, Any]:
    return {condition.name: condition.values[0] for condition in conditions}


def _ends(one: Any) -> Iterator[Any]:
    """The values of a hyperparameter that are tried: every choice, or both ends."""
    low = getattr(one, "min_value", None)
    yield from one.values if low is None else (low, one.max_value)
