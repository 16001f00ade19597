"""Trials compared at rungs: those behind wait there, and go on later if they earn it."""

import bisect
import itertools
import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np

from search.records import TrialRecord
from search.strategies.protocol import Decision, derive_seed, is_paused

REDUCTION = 3
"""Rungs lie at a third, a ninth, … of the largest total (Jamieson & Talwalkar, 2016)."""
MIN_RUNG = 3
KEEP = 0.5
"""The fraction of a rung's trials that goes on: keeping half, not a third, spares slow starters."""


class Settings(Protocol):
    """What chooses settings."""

    @property
    def looks(self) -> bool:
        """Whether it heeds other trials."""
        ...

    def ask(self, trials: Sequence[TrialRecord], number: int) -> dict[str, Any]:
        """The setting of trial `number`."""
        ...


def rungs(max_epochs: int, *, least: int = MIN_RUNG) -> tuple[int, ...]:
    """Steps at which trials are compared, ascending; empty where training is short."""
    steps, rung = set(), max_epochs / REDUCTION
    while rung >= 1:
        step = max(least, round(rung))
        if step <= 0.75 * max_epochs:
            steps.add(step)
        rung /= REDUCTION
    return tuple(sorted(steps))


def hyperband_brackets(max_epochs: int) -> dict[tuple[int, ...], float]:
    """Hyperband's brackets with their parts of the trials: rungs from 1, from 3, …, none."""
    all_rungs = rungs(max_epochs, least=1)
    n = len(all_rungs)
    sizes = [math.ceil((n + 1) / (s + 1) * REDUCTION**s) for s in range(n, -1, -1)]
    return {all_rungs[i:]: size / sum(sizes) for i, size in enumerate(sizes)}


class HalvingStrategy:
    """Asynchronous successive halving over any choice of settings, which pauses where others prune
    for good.

    A trial pauses at each rung of its bracket unless it is among the best of those that reached it;
    a paused trial is promoted as soon as it is. Trial 0, the document's setting, is never paused.
    Without brackets every trial is trained to its end.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        seed: int = 0,
        keep: float = KEEP,
        brackets: Mapping[tuple[int, ...], float] | None = None,
    ) -> None:
        """`brackets` are rungs, ascending, with the part of the trials that is compared at them."""
        self._settings = settings
        self._seed = seed
        self._keep = keep
        self._brackets: dict[tuple[int, ...], float] = dict(brackets) if brackets else {(): 1.0}
        self._bracket_of: dict[int, tuple[int, ...]] = {}
        """A cache: the draw of each trial's bracket is always the same."""
        self._rungs = sorted(set(chain.from_iterable(self._brackets)))

    def ask(self, trials: Sequence[TrialRecord], number: int) -> dict[str, Any]:
        """Params of trial `number`."""
        return self._settings.ask(trials, number)

    def is_rung(self, step: int) -> bool:
        """Whether trials are compared at `step`."""
        return step in self._rungs

    @property
    def has_rungs(self) -> bool:
        """Whether training is long enough to be paused."""
        return bool(self._rungs)

    @property
    def looks(self) -> bool:
        """Whether settings are chosen by what other trials showed."""
        return self._settings.looks

    def decide(self, trials: Sequence[TrialRecord], number: int, step: int) -> Decision:
        """Pause at a rung, unless the trial is already among those that earn to go on."""
        trial = next(t for t in trials if t.number == number)
        bracket = self._bracket(number)
        if step not in bracket or number == 0 or step >= (trial.total_epochs or step + 1):
            return Decision.GO_ON
        return Decision.GO_ON if number in self._earners(trials, bracket, step) else Decision.PAUSE

    def promote(self, trials: Sequence[TrialRecord]) -> int | None:
        """The best trial paused at the highest rung where one earns to go on."""
        paused = {t.number: t for t in trials if is_paused(t)}
        for rung in reversed(self._rungs if paused else ()):
            for bracket in self._brackets:
                earners = self._earners(trials, bracket, rung) if rung in bracket else []
                best = next((n for n in earners if n in paused and paused[n].epochs == rung), None)
                if best is not None:
                    return best
        return None

    def _earners(
        self, trials: Sequence[TrialRecord], bracket: tuple[int, ...], rung: int
    ) -> list[int]:
        """Numbers of the best part of a bracket's trials that reached `rung`, best first."""
        here = (
            t
            for t in trials
            if t.epochs >= rung and not t.is_infeasible and self._bracket(t.number) == bracket
        )
        reached = sorted((-t.best_so_far[rung - 1], t.number) for t in here)
        return [number for _, number in reached[: int(len(reached) * self._keep)]]

    def _bracket(self, number: int) -> tuple[int, ...]:
        if number not in self._bracket_of:
            parts = list(itertools.accumulate(self._brackets.values()))
            # Not the generator that settings are drawn from: a bracket must not go with the first
            # parameter.
            drawn = np.random.default_rng([derive_seed(self._seed, number), 1]).random() * parts[-1]
            self._bracket_of[number] = list(self._brackets)[bisect.bisect_right(parts, drawn)]
        return self._bracket_of[number]
