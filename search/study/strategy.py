"""What to try next, and for how long: pure functions of the study's trials.

A strategy never reads storage, clocks or global random state. Its randomness comes from (study seed, trial number),
so two workers never draw the same start-up points and a study can be replayed.
"""

import heapq
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage

from search.registry import nearest
from search.space.types import Space
from search.study.distributions import as_optuna, suggest
from search.study.records import TrialRecord

REDUCTION = 3
"""Rungs lie at a third, a ninth, … of the largest total (Jamieson & Talwalkar, 2016, with eta = 3)."""
MIN_RUNG = 3
KEEP = 0.5
"""The fraction of a rung's trials that goes on: keeping half, not a third, spares slow starters."""
N_STARTUP = 8
N_BEST, N_NEWEST = 40, 60
"""Of many trials a sampler is told only the best and the newest, so that its answers take no longer and longer."""


class Decision(StrEnum):
    """What a trial should do after an epoch."""

    GO_ON = "go on"
    PAUSE = "pause"
    STOP = "stop"


class Strategy(Protocol):
    """How a study chooses settings and shares epochs out among them."""

    def ask(self, trials: Sequence[TrialRecord], number: int) -> dict[str, Any]:
        """Params of trial `number`, valid in the study's space."""
        ...

    def decide(self, trials: Sequence[TrialRecord], number: int, step: int) -> Decision:
        """What trial `number` does after `step`; `trials` already hold that step."""
        ...

    def promote(self, trials: Sequence[TrialRecord]) -> int | None:
        """The number of a paused trial that should go on now, or None."""
        ...

    def is_rung(self, step: int) -> bool:
        """Whether `decide` could answer anything but «go on» after `step`."""
        ...

    @property
    def has_rungs(self) -> bool:
        """Whether trials may be paused at all, so that `promote` has something to do."""
        ...

    @property
    def looks(self) -> bool:
        """Whether `ask` heeds other trials at all."""
        ...


def rungs(max_epochs: int) -> tuple[int, ...]:
    """Steps at which trials are compared, ascending; empty when training is too short to be worth pausing."""
    found, rung = set(), max_epochs / REDUCTION
    while rung >= 1:
        step = max(MIN_RUNG, round(rung))
        if step <= 0.75 * max_epochs:
            found.add(step)
        rung /= REDUCTION
    return tuple(sorted(found))


def derive_seed(seed: int, number: int) -> int:
    """A 31-bit seed for trial `number` of a study with `seed` ≥ 0."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)


class HalvingStrategy:
    """Asynchronous successive halving that pauses instead of pruning, over any Optuna sampler.

    Every trial pauses at a rung unless it is already in the better half of those that reached it; a paused trial is
    promoted as soon as it is. Rungs as in ASHA (Li et al., 2020); pausing loses no slow starter and misleads no
    sampler. Trial 0, the document's setting, is never paused.
    """

    def __init__(self, space: Space, *, seed: int, max_epochs: int, sampler: str, halving: bool) -> None:
        self._space = space
        self._seed = seed
        self._sampler = sampler
        self._rungs = rungs(max_epochs) if halving else ()

    def ask(self, trials: Sequence[TrialRecord], number: int) -> dict[str, Any]:
        """Params of trial `number` by the sampler, from what the other trials showed."""
        sampler = SAMPLERS[self._sampler](derive_seed(self._seed, number))
        study = optuna.create_study(storage=InMemoryStorage(), sampler=sampler, direction="maximize")
        if self.looks:
            study.add_trials(as_optuna(_telling([t for t in trials if t.number != number]), self._space))
        trial = study.ask()
        params: dict[str, Any] = {}
        for name in self._space.order:
            if name in self._space.active(params):
                params[name] = suggest(trial, name, self._space.params[name])
        return params

    def is_rung(self, step: int) -> bool:
        """Whether trials are compared at `step`."""
        return step in self._rungs

    @property
    def has_rungs(self) -> bool:
        """Whether training is long enough to be paused."""
        return bool(self._rungs)

    @property
    def looks(self) -> bool:
        """Whether the sampler learns from other trials."""
        return self._sampler != "random"

    def decide(self, trials: Sequence[TrialRecord], number: int, step: int) -> Decision:
        """Pause at a rung, unless the trial is already among those that earn to go on."""
        own = next(t for t in trials if t.number == number)
        if step not in self._rungs or number == 0 or step >= (own.total_epochs or step + 1):
            return Decision.GO_ON
        return Decision.GO_ON if number in _earners(trials, step) else Decision.PAUSE

    def promote(self, trials: Sequence[TrialRecord]) -> int | None:
        """The best trial paused at the highest rung where one earns to go on."""
        paused = {t.number: t for t in trials if t.state == "WAITING" and t.paused}
        for rung in reversed(self._rungs):
            here = (n for n in _earners(trials, rung) if n in paused and paused[n].epochs == rung)
            if (best := next(here, None)) is not None:
                return best
        return None


def _telling(trials: Sequence[TrialRecord]) -> Sequence[TrialRecord]:
    if len(trials) <= N_BEST + N_NEWEST:
        return trials
    older, newest = trials[:-N_NEWEST], trials[-N_NEWEST:]
    best = heapq.nlargest(N_BEST, older, key=lambda t: (-1.0 if t.val_accuracy is None else t.val_accuracy, -t.number))
    return [*sorted(best, key=lambda t: t.number), *newest]


def _earners(trials: Sequence[TrialRecord], rung: int) -> list[int]:
    """Numbers of the better half of all trials that reached `rung`, best first."""
    reached = [(-t.best_so_far[rung - 1], t.number) for t in trials if len(t.curve) >= rung and t.state != "FAIL"]
    return [number for _, number in sorted(reached)[: int(len(reached) * KEEP)]]


def _tpe(seed: int) -> BaseSampler:
    return TPESampler(seed=seed, n_startup_trials=N_STARTUP, multivariate=True, constant_liar=True)


def _random(seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


SAMPLERS = {"tpe": _tpe, "random": _random}
STRATEGIES = {
    "halving": {"sampler": "tpe", "halving": True},
    "tpe": {"sampler": "tpe", "halving": False},
    "random": {"sampler": "random", "halving": False},
}


def make_strategy(name: str, space: Space, *, seed: int, max_epochs: int) -> Strategy:
    """The strategy called `name`. Raises ValueError for an unknown name."""
    if name not in STRATEGIES:
        raise ValueError(f"strategy: {name!r} is not known; {nearest(name, STRATEGIES)}")
    options: dict[str, Any] = dict(STRATEGIES[name])
    return HalvingStrategy(space, seed=seed, max_epochs=max_epochs, **options)
