"""What is to be done next in a study: a trial that a worker may claim, or nothing any more."""

import logging
import time
from collections.abc import Callable, Sequence

from search.analysis.forecast import forecast
from search.records import State, TrialRecord
from search.strategies import Strategy
from search.study.environment import environment
from search.study.failing import alike_failure
from search.study.storage.claim import Claim, WorkerIdentity
from search.study.storage.final_study import grow_finals, open_finals
from search.study.storage.ledger import Ledger
from search.study.storage.lost_trials import requeue_lost
from search.study.storage.queue import Place, QueueState
from search.study.storage.study_state import close, finish
from search.worker.outages import Outages
from search.worker.trial_files import drop_checkpoints

logger = logging.getLogger(__name__)


class Claiming:
    """Claims the trials of one study for the worker `owner`, and closes it once it is over.

    Methods raise RetryLaterError when the database is out of reach.
    """

    def __init__(
        self,
        ledger: Ledger,
        strategy: Strategy,
        owner: WorkerIdentity,
        outages: Outages,
        *,
        n_validation: int,
        device: str,
    ) -> None:
        """With `n_validation` images to validate on; the finalists' study begins on `device`."""
        self._ledger = ledger
        self._strategy = strategy
        self._owner = owner
        self._outages = outages
        self._n_validation = n_validation
        self._device = device
        self._next_sweep = 0.0
        self._is_concluded = False
        self._is_sound = False
        """Whether a trial has come to an epoch since the study was opened."""

    def claim(self) -> Claim | None:
        """The next trial to run a segment of; None when none is to be had now."""
        self._sweep()
        if self._is_sound and not self._heeds_trials():
            return self._ledger.claim(self._owner)
        trials = self._ledger.trials()
        if self._end_reason(trials, self._ledger.place):
            return self._ledger.claim(self._owner, new=False)
        return self._ledger.claim(self._owner, promote=self._strategy.promote(trials))

    def is_over(self) -> bool:
        """Whether no worker is to run a trial of the study any more; closes it if that is so."""
        self._sweep()
        trials = self._ledger.trials()
        place = self._ledger.place()
        if place.state is not QueueState.OPEN:
            return self._has_ended(trials)
        if any(_is_to_run(trial) for trial in trials):
            return False
        if reason := self._end_reason(trials, lambda: place):
            self._open_finals(trials)
            finish(self._ledger, reason, place.n_before)
            return True
        if len(trials) < self._ledger.spec.n_trials or self._strategy.promote(trials) is not None:
            return False
        self._open_finals(trials)
        if close(self._ledger) is None:
            return False
        self._conclude(self._ledger.trials())
        return True

    def _heeds_trials(self) -> bool:
        """Whether the trials so far have a say in which one is claimed next."""
        spec = self._ledger.spec
        return self._strategy.has_rungs or spec.budget is not None or spec.stop_when_flat

    def _sweep(self) -> None:
        """Take back the trials of lost workers, every few seconds."""
        if time.monotonic() < self._next_sweep:
            return
        if numbers := requeue_lost(self._ledger, self._owner, grace_s=self._outages.grace_s):
            logger.info("took back trials %s of %s from lost workers", numbers, self._ledger.name)
        self._next_sweep = time.monotonic() + self._outages.pace.sweep

    def _end_reason(self, trials: Sequence[TrialRecord], place: Callable[[], Place]) -> str | None:
        """Why no new trial is to be started although fewer than n_trials were; None to go on."""
        spec = self._ledger.spec
        if not self._is_sound:
            n_before = place().n_before
            self._is_sound = any(t.curve for t in trials if t.number >= n_before)
            if reason := alike_failure(trials, n_before=n_before, n_trials=spec.n_trials):
                return reason
        if spec.budget is not None and sum(t.epochs for t in trials) >= spec.budget * spec.epochs:
            return "its budget is spent"
        if spec.stop_when_flat and len(trials) < spec.n_trials:
            outlook = forecast(trials, n_validation=self._n_validation, n_workers=spec.workers)
            if outlook and outlook.is_flat:
                return "more compute promises less than noise"
        return None

    def _has_ended(self, trials: Sequence[TrialRecord]) -> bool:
        """Whether no trial runs any more of a study that is not open; concludes it then."""
        has_ended = not any(t.state == State.RUNNING for t in trials)
        if has_ended and not self._is_concluded:
            self._conclude(trials)
        return has_ended

    def _open_finals(self, trials: Sequence[TrialRecord]) -> None:
        """Put the finalists' study on the queue, before a crash could leave it out."""
        here = environment(self._device, code=self._ledger.spec.code)
        if grow_finals(self._ledger, here):
            logger.info("%s has replicates of its baseline", self._ledger.name)
        elif open_finals(self._ledger, trials, here):
            logger.info("the finalists of %s are on the queue", self._ledger.name)

    def _conclude(self, trials: Sequence[TrialRecord]) -> None:
        """Drop what none of the trials needs any more."""
        self._is_concluded = True
        drop_checkpoints(self._ledger.name, trials)


def _is_to_run(trial: TrialRecord) -> bool:
    """Whether a trial runs, or waits to go on without a promotion."""
    return trial.state == State.RUNNING or (trial.state == State.WAITING and not trial.paused)
