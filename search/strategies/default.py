"""The strategy that studies use unless told otherwise."""

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from search.records import State, TrialRecord
from search.space.space import Space
from search.strategies.bayes.acquisition import search
from search.strategies.bayes.outlook import N_MODELLED, N_OTHERS, Outlook
from search.strategies.encoding import Encoding, Floats
from search.strategies.protocol import Decision, derive_seed, identity, is_paused
from search.strategies.random_tpe import RandomSettings

MIN_RUNG = 3
RUNGS = (17, 6, 2)
"""Trials pause at the largest total over each of these."""
MOST_GO_ON = 2 / 3
"""Of the trials at a rung; less where the way to the next is long, to cost the same."""
N_STARTUP = 8
"""Trials spread evenly before a model is asked."""
EVERY = 8
"""Every so many-th setting is an even one: a model that is wrong is never alone."""
MIN_VALUED = 3
N_AROUND = 8
"""The best trials in whose neighbourhood new settings are looked for."""


class DefaultStrategy:
    """Bayesian optimisation of trials that pause at rungs and go on from their weights when they
    promise most.

    For every study, from five trials to thousands and from one epoch to hundreds, with one worker
    or many. Every trial pauses at max/17, max/6 and max/2 epochs. A ridge regression on the trials
    that went on tells what the others will be worth at their end, a Gaussian process over these
    values what a new setting will; the one with the largest expected improvement is tried next. Of
    the trials at a rung a fixed part goes on, those with the largest expected improvement of the
    best value shown yet; nothing is ever discarded before the study's end. What runs is taken to
    end as expected, so that many workers do not all try the same. The document's trial is never
    paused.

    Freeze and thaw: Swersky, Snoek & Adams, arXiv:1406.3896 (2014). Rungs: Li et al., "A system for
    massively parallel hyperparameter tuning", MLSys 2020. Expected improvement: Jones, Schonlau &
    Welch, J. Global Optim. 13 (1998), 455–492. What runs: Ginsbourger, Le Riche & Carraro (2010),
    the «kriging believer».
    """

    looks = True

    def __init__(
        self,
        space: Space,
        *,
        seed: int,
        max_epochs: int,
        n_trials: int | None = None,
        first: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """`n_trials`: settings to start, None for no limit. `first`: the first trials' own."""
        self._space, self._seed, self._max_epochs, self._n_trials = (
            space,
            seed,
            max_epochs,
            n_trials,
        )
        self._parts = shares(max_epochs)
        self._encoding = Encoding(space, max_epochs)
        self._n_more = max(0, len(first) - 1)
        """Settings that were given beside the document's."""
        self._random = RandomSettings(space, seed=seed, max_epochs=max_epochs)
        self._seen: tuple[Any, Outlook] | None = None
        """The last outlook, kept because the same trials are asked about several times."""

    def ask(self, trials: Sequence[TrialRecord], number: int) -> dict[str, Any]:
        """Params of trial `number`: even ones at first, then promising ones; none twice."""
        others = [t for t in trials if t.number != number and t.params]
        taken = {identity(t.params, self._max_epochs) for t in others}
        outlook = self._outlook(others)
        place = number - self._n_more
        is_early = place < N_STARTUP or outlook.n_valued < MIN_VALUED
        # A choice that no trial had can't be judged by its neighbours: there are none.
        is_open = place < N_STARTUP + self._encoding.n_alternatives and place % 2 == 1
        if is_early or is_open or number % EVERY == 0 or not self._encoding.width:
            candidates = self._even(number, is_early=is_early or is_open)
        else:
            rng = np.random.default_rng(derive_seed(self._seed, number))
            around = outlook.rows[np.argsort(-outlook.means, kind="stable")[:N_AROUND]]
            candidates = search(self._encoding, outlook.gain, around, rng)
        settings = (self._encoding.decode(row) for row in candidates)
        fresh = (s for s in settings if identity(s, self._max_epochs) not in taken)
        return next(fresh, None) or self._random.draw(number, taken)

    def _even(self, number: int, *, is_early: bool) -> Floats:
        """Row `number` of Sobol's shuffled sequence; early, learning rates are customary."""
        from scipy.stats import qmc  # noqa: PLC0415  # half a second to load

        sobol = qmc.Sobol(max(1, self._encoding.width), rng=np.random.default_rng(self._seed))
        if number:
            sobol.fast_forward(number)
        spread = self._encoding.customary if is_early else self._encoding.spread
        return spread(sobol.random(1)[:, : self._encoding.width])

    def decide(self, trials: Sequence[TrialRecord], number: int, step: int) -> Decision:
        """Pause at a rung, unless the trial is the one to be promoted now."""
        trial = next(t for t in trials if t.number == number)
        if (
            not self.is_rung(step)
            or step >= (trial.total_epochs or step + 1)
            or self._is_document(trial)
        ):
            return Decision.GO_ON
        return Decision.GO_ON if self._next(trials, running=number) == number else Decision.PAUSE

    def promote(self, trials: Sequence[TrialRecord]) -> int | None:
        """The most promising trial at the highest rung from which not enough have gone on."""
        return self._next(trials, running=None)

    def is_rung(self, step: int) -> bool:
        """Whether trials pause at `step`."""
        return step in self._parts

    @property
    def has_rungs(self) -> bool:
        """Whether training is long enough to be paused."""
        return bool(self._parts)

    def _next(self, trials: Sequence[TrialRecord], *, running: int | None) -> int | None:
        """The trial that should go on now, `running` among those that could."""
        waiting = {t.number for t in trials if is_paused(t) or t.number == running}
        for rung, part in reversed(self._parts.items()):
            here = [t for t in trials if t.epochs == rung and t.number in waiting]
            if here and self._n_gone(trials, rung, waiting) < self._n_to_go(trials, rung, part):
                return self._most_promising(trials, here)
        return None

    def _n_gone(self, trials: Sequence[TrialRecord], rung: int, waiting: set[int]) -> int:
        # What an earlier end of the study left pruned at the rung did not go on.
        return sum(
            t.epochs > rung
            or (t.epochs == rung and t.number not in waiting and t.state != State.PRUNED)
            for t in self._rivals(trials, rung)
        )

    def _n_to_go(self, trials: Sequence[TrialRecord], rung: int, part: float) -> int:
        share = part * sum(t.epochs >= rung for t in self._rivals(trials, rung))
        # Once all have started, the last place is filled too: of a few trials one at least comes to
        # its end.
        is_last = self._n_trials is not None and len(trials) >= self._n_trials
        return math.ceil(share - 1e-9) if is_last else math.floor(share + 1e-9)

    def _rivals(self, trials: Sequence[TrialRecord], rung: int) -> list[TrialRecord]:
        return [
            t
            for t in trials
            if not t.is_infeasible
            and (t.total_epochs or self._max_epochs) > rung
            and not self._is_document(t)
        ]

    def _is_document(self, trial: TrialRecord) -> bool:
        if trial.number:
            return False
        return identity(trial.params, self._max_epochs) == identity(
            self._space.document, self._max_epochs
        )

    def _most_promising(self, trials: Sequence[TrialRecord], here: Sequence[TrialRecord]) -> int:
        best = heapq.nlargest(N_OTHERS, here, key=lambda t: (t.best_so_far[-1], -t.number))
        gains = self._outlook(
            [t for t in trials if t.params], frozenset(t.number for t in best)
        ).gains
        return max(here, key=lambda t: (gains.get(t.number, -math.inf), -t.number)).number

    def _outlook(
        self, trials: Sequence[TrialRecord], required: frozenset[int] = frozenset()
    ) -> Outlook:
        """What `trials` tell; of many, those whose numbers are `required` are taken."""
        # A trial that crashed by no fault of its setting tells nothing.
        instructive = [t for t in trials if t.state != State.FAIL or t.untrainable]
        required = required if len(instructive) > N_MODELLED else frozenset()
        key = (
            required,
            [
                (t.number, t.is_infeasible, t.epochs, t.curve and t.best_so_far[-1])
                for t in instructive
            ],
        )
        if self._seen is None or self._seen[0] != key:
            steps = (*self._parts, self._max_epochs)
            self._seen = key, Outlook(instructive, self._encoding, steps, required)
        return self._seen[1]


def shares(max_epochs: int) -> dict[int, float]:
    """Rungs, ascending, with the part of trials that goes on; none if training is short."""
    steps = sorted({max(MIN_RUNG, round(max_epochs / divisor)) for divisor in RUNGS})
    rungs = [step for step in steps if step <= 0.75 * max_epochs]
    ends = [0, *rungs, max_epochs]
    return {
        b: min(MOST_GO_ON, (b - a) / (c - b))
        for a, b, c in zip(ends, ends[1:], ends[2:], strict=False)
    }
