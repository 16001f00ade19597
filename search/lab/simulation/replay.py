"""A real study's recorded curves as a surrogate: only its settings can be tried."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from search.errors import InputError
from search.lab.simulation.surrogate import Curve
from search.records import State, StudyRecord, TrialRecord
from search.space.params import FloatParam, IntParam, Param
from search.space.space import Space
from search.strategies import Decision, Strategy
from search.study.spec import stored_spec_of


@dataclass(frozen=True)
class Replay:
    """The trials of a study that were trained to their end."""

    tasks: tuple[str, ...]
    """The study's name alone."""
    space: Space
    max_epochs: int
    first: tuple[Mapping[str, Any], ...]
    settings: tuple[Mapping[str, Any], ...]
    """All different, by their trials' numbers."""
    curves: Mapping[str, Curve] = field(repr=False)
    """By `key_of` of the setting."""
    n_left_out: int = 0
    """Trials whose curve ends too early to be gone on with, or whose setting another has, too."""

    @property
    def n_settings(self) -> int | None:
        """How many settings were recorded."""
        return len(self.settings)

    def curve(self, task: str, params: Mapping[str, Any]) -> Curve:  # noqa: ARG002  # there is one task
        """What was recorded of `params`."""
        return self.curves[key_of(params)]

    def adapted(self, strategy: Strategy) -> Strategy:
        """`strategy`, whose wishes are met by the most similar setting that no trial has yet."""
        return Nearest(strategy, self.space, self.settings)

    def best(self, task: str, n_samples: int) -> float | None:  # noqa: ARG002
        """The best that was recorded."""
        epochs = chain.from_iterable(self.curves.values())
        return max(epoch.val_accuracy or 0.0 for epoch in epochs)


class Nearest:
    """A strategy that gets, of the settings that there are, the one most like what it asked for.

    The trial has that setting from then on, so the strategy learns from what was really trained.
    """

    looks = True

    def __init__(
        self, inner: Strategy, space: Space, settings: Sequence[Mapping[str, Any]]
    ) -> None:
        self._inner, self._space, self._settings = inner, space, settings

    def ask(self, trials: Sequence[TrialRecord], number: int) -> dict[str, Any]:
        """The free setting nearest to the one asked for; of equals the one recorded first."""
        used = {key_of(t.params) for t in trials if t.number != number}
        free = [s for s in self._settings if key_of(s) not in used]
        wish = self._inner.ask(trials if self._inner.looks else (), number)
        distances = [distance(self._space, wish, s) for s in free]
        return dict(free[distances.index(min(distances))])

    def decide(self, trials: Sequence[TrialRecord], number: int, step: int) -> Decision:
        """As the strategy does."""
        return self._inner.decide(trials, number, step)

    def promote(self, trials: Sequence[TrialRecord]) -> int | None:
        """As the strategy does."""
        return self._inner.promote(trials)

    def is_rung(self, step: int) -> bool:
        """As the strategy does."""
        return self._inner.is_rung(step)

    @property
    def has_rungs(self) -> bool:
        """As the strategy does."""
        return self._inner.has_rungs


def replay_of(study: StudyRecord) -> Replay:
    """The curves of `study`. Raises InputError when fewer than two were trained to the end."""
    spec = stored_spec_of(study.name, {"spec": study.spec})
    ended = [t for t in study.trials if t.state == State.COMPLETE and t.curve]
    by_key = {key_of(t.params): t for t in reversed(ended)}  # of the same setting, the first trial
    chosen = sorted(by_key.values(), key=lambda t: t.number)
    if len(chosen) < 2:
        rule = (
            f"--replay: {len(chosen)} of the {len(study.trials)} trials of {study.name!r} were"
            " trained to their end"
        )
        raise InputError(
            f"{rule}, too few to choose among; replay a study of `--strategy random`, say"
        )
    return Replay(
        (study.name,),
        spec.search_space,
        spec.epochs,
        tuple(s for s in spec.first if key_of(s) in by_key),
        tuple(dict(t.params) for t in chosen),
        {key_of(t.params): t.curve for t in chosen},
        len(study.trials) - len(chosen),
    )


def key_of(params: Mapping[str, Any]) -> str:
    """The same text for the same setting."""
    return json.dumps(dict(params), sort_keys=True)


def distance(space: Space, a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
    """How unlike two settings are, 0…1: the mean over parameters of their distance as a part of the
    range.

    A parameter that only one of them has counts 1, as do two choices that differ.
    Source: Gower, "A general coefficient of similarity", Biometrics 27 (1971).
    """
    names = [name for name in space.params if name in a or name in b]
    parts = [_apart(space.params[n], a[n], b[n]) if n in a and n in b else 1.0 for n in names]
    return sum(parts) / len(parts) if parts else 0.0


def _apart(param: Param, a: Any, b: Any) -> float:
    if not isinstance(param, FloatParam | IntParam):
        return float(a != b)
    low, high, x, y = (
        math.log(v) if param.log else float(v) for v in (param.low, param.high, a, b)
    )
    return min(abs(x - y) / (high - low), 1.0) if high > low else 0.0
