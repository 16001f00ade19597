"""Settings by chance or by Optuna's samplers, none of them twice."""

import heapq
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.samplers import TPESampler
from optuna.storages import InMemoryStorage

from search.records import TrialRecord, rank_key
from search.space.space import FloatParam, Space
from search.strategies.encoding import Encoding
from search.strategies.optuna_trials import as_optuna, suggest
from search.strategies.protocol import derive_seed, identity

N_STARTUP = 8
N_BEST, N_NEWEST = 40, 60
"""Of many trials a sampler takes the best and the newest, to answer in constant time."""
N_ATTEMPTS = 100
"""Draws after which a space counts as used up."""


class RandomSettings:
    """Uniform draws, by orders of magnitude where a parameter is `log`."""

    looks = False

    def __init__(
        self, space: Space, *, seed: int, max_epochs: int, first: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self._space, self._seed, self._max_epochs = space, seed, max_epochs
        self._encoding = Encoding(space, max_epochs)
        self._drawn = [dict(s) for s in first] or [dict(space.document)]
        self._taken = {identity(s, max_epochs) for s in self._drawn}
        # Draws of an unconditional real number never meet, so that the ones before need not be
        # drawn again.
        self._never_meet = any(
            isinstance(p, FloatParam) and not p.step and not p.when for p in space.params.values()
        )

    def ask(self, trials: Sequence[TrialRecord], number: int) -> dict[str, Any]:
        """The setting of trial `number`, whatever the others showed."""
        del trials
        if number == 0 or self._never_meet:
            return self.draw(number, ())
        while len(self._drawn) <= number:
            self._drawn.append(self.draw(len(self._drawn), self._taken))
            self._taken.add(identity(self._drawn[-1], self._max_epochs))
        return dict(self._drawn[number])

    def draw(self, number: int, taken: Collection[tuple[tuple[str, str], ...]]) -> dict[str, Any]:
        """A draw for trial `number` that is none of `taken`, if one can be found."""
        rng = np.random.default_rng(derive_seed(self._seed, number))
        for _ in range(N_ATTEMPTS):
            setting = self._encoding.decode(
                self._encoding.spread(rng.random((1, self._encoding.width)))[0]
            )
            if identity(setting, self._max_epochs) not in taken:
                break
        return setting


class TPESettings:
    """Settings by the tree-structured Parzen estimator, with a constant liar for running ones."""

    looks = True

    def __init__(
        self, space: Space, *, seed: int, max_epochs: int, first: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self._space, self._seed, self._max_epochs = space, seed, max_epochs
        self._random = RandomSettings(space, seed=seed, max_epochs=max_epochs, first=first)

    def ask(self, trials: Sequence[TrialRecord], number: int) -> dict[str, Any]:
        """The setting of trial `number`, from what the other trials showed."""
        others = [t for t in trials if t.number != number]
        taken = {identity(t.params, self._max_epochs) for t in others}
        frozen = as_optuna(_instructive(others), self._space)
        for attempt in range(3):
            seed = derive_seed(self._seed, number)
            setting = self._suggest(frozen, derive_seed(seed, attempt) if attempt else seed)
            if identity(setting, self._max_epochs) not in taken:
                return setting
        return self._random.draw(number, taken)

    def _suggest(self, frozen: Sequence[optuna.trial.FrozenTrial], seed: int) -> dict[str, Any]:
        sampler = TPESampler(
            seed=seed, n_startup_trials=N_STARTUP, multivariate=True, constant_liar=True
        )
        study = optuna.create_study(
            storage=InMemoryStorage(), sampler=sampler, direction="maximize"
        )
        study.add_trials(frozen)
        trial = study.ask()
        return self._space.setting(lambda name: suggest(trial, name, self._space.params[name]))


def _instructive(trials: Sequence[TrialRecord]) -> Sequence[TrialRecord]:
    if len(trials) <= N_BEST + N_NEWEST:
        return trials
    older, newest = trials[:-N_NEWEST], trials[-N_NEWEST:]
    best = heapq.nsmallest(N_BEST, older, key=rank_key)
    return [*sorted(best, key=lambda t: t.number), *newest]
