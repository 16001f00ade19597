"""Listens to one trial process: passes its epochs on, answers it, and says how it ended."""

import math
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from search.records import Ending, Epoch, Evaluation, TrialRecord
from search.strategies import Decision, Strategy
from search.study.storage.claim import Claim
from search.study.storage.ledger import CANCELLED_REASON, Ledger
from search.study.storage.queue import QueueState
from search.training.memory import Memory, address_space_note
from search.worker.outages import Outages
from search.worker.reporter import Reporter, Unsent
from search.worker.trial.messages import Built, Ended, EpochDone, Evaluated, Measured, Started
from search.worker.trial.oom import KILLED
from search.worker.trial.sandbox import CrashedError, Segment


@dataclass(frozen=True)
class Outcome:
    """How a segment ended."""

    ending: Ending
    trial: TrialRecord
    """The trial with all its epochs, those too that the storage has not got yet."""
    reason: str = ""
    untrainable: bool = False
    disk_full: bool = False
    unsent: Unsent | None = None
    """What is to be stored with the end."""


class SegmentRunner:
    """Runs one segment of a trial."""

    def __init__(
        self,
        ledger: Ledger,
        strategy: Strategy,
        outages: Outages,
        claim: Claim,
        trial: TrialRecord,
    ) -> None:
        self._ledger = ledger
        self._strategy = strategy
        self._outages = outages
        self._claim = claim
        self._trial = trial
        self._n_stored = trial.epochs
        """Epochs that the storage held before."""

    def run(self, segment: Segment, reporter: Reporter) -> Outcome:
        """Listen to the end. Raises ClaimLostError, with the process ended, if it was taken."""
        try:
            outcome = self._listen(segment, reporter)
        except CrashedError as error:
            outcome = self._crashed(error)
        finally:
            segment.close()
        return replace(outcome, trial=self._trial, unsent=reporter.take())

    def _listen(self, segment: Segment, reporter: Reporter) -> Outcome:
        limit_s = self._ledger.spec.trial_timeout_s or math.inf
        stop_at: float | None = None
        began: float | None = None
        opened = time.monotonic()
        pace = self._outages.pace
        while True:
            message = segment.receive(pace.poll)
            if isinstance(message, Ended):
                self._note_memory(reporter, message.memory)
                return Outcome(
                    message.ending,
                    self._trial,
                    message.reason,
                    message.untrainable,
                    message.disk_full,
                )
            if isinstance(message, Started):
                began = time.monotonic() - self._trial.train_s
            elif message is not None and (ended := self._take(segment, reporter, message)):
                return ended
            if began is None and time.monotonic() - opened > pace.start:
                return Outcome(
                    Ending.HALT,
                    self._trial,
                    f"its process did not begin within {pace.start:.0f} s",
                )
            if began is not None and time.monotonic() - began > limit_s:
                return Outcome(Ending.FAIL, self._trial, limit_reason(limit_s))
            if ended := self._interrupted(reporter):
                wait_s = pace.last_epoch if ended.ending == Ending.INTERRUPTED else 0.0
                stop_at = stop_at or time.monotonic() + wait_s
                if time.monotonic() >= stop_at:
                    return ended

    def _take(
        self,
        segment: Segment,
        reporter: Reporter,
        message: Built | Measured | Evaluated | EpochDone,
    ) -> Outcome | None:
        """Pass a message on; how the segment ends, if it should end here."""
        match message:
            case Built(n_params):
                reporter.put(facts={"n_params": n_params})
            case Measured(facts):
                self._trial = replace(self._trial, latency_ms=facts["latency_ms"])
                reporter.put(facts=dict(facts))
            case Evaluated(evaluation):
                self._evaluated(reporter, evaluation)
            case EpochDone(metrics, memory):
                self._note_memory(reporter, memory)
                answer = self._on_epoch(reporter, Epoch.of(metrics))
                if answer == Decision.GO_ON and (ended := self._interrupted(reporter)):
                    return ended
                segment.answer(answer)
        return None

    def _interrupted(self, reporter: Reporter) -> Outcome | None:
        """Why the segment should end before its time, if it should."""
        state = reporter.state()
        if state is QueueState.CANCELLED:
            return Outcome(Ending.CANCEL, self._trial, CANCELLED_REASON)
        if state is QueueState.PAUSED or self._outages.stop.is_set():
            return Outcome(Ending.INTERRUPTED, self._trial)
        return None

    def _evaluated(self, reporter: Reporter, evaluation: Mapping[str, Any]) -> None:
        scored = {**evaluation, "at": time.time()}
        self._trial = replace(self._trial, evaluation=Evaluation(**scored))
        reporter.put(facts={"evaluation": scored})
        reporter.flush()  # the network is scored once: whatever comes, this is not lost

    def _note_memory(self, reporter: Reporter, memory: Memory | None) -> None:
        """Keep the largest memory of all segments."""
        if memory is None:
            return
        for name, now_mb in (
            ("peak_host_mb", memory.host_mb),
            ("peak_device_mb", memory.device_mb),
        ):
            if now_mb is not None and now_mb > (getattr(self._trial, name) or 0.0):
                changes: dict[str, Any] = {name: now_mb}
                self._trial = replace(self._trial, **changes)
                reporter.put(facts={name: now_mb})

    def _on_epoch(self, reporter: Reporter, epoch: Epoch) -> Decision:
        if epoch.step > self._n_stored:
            self._trial = replace(self._trial, curve=(*self._trial.curve, epoch))
            reporter.put(epoch)
        # Of the steps stored before an interruption, the last may still want its decision.
        wants_decision = epoch.step > self._n_stored or (
            epoch.step == self._n_stored and not self._claim.promoted
        )
        if not wants_decision or not self._strategy.is_rung(epoch.step):
            return Decision.GO_ON
        if self._interrupted(reporter):
            return Decision.GO_ON
        reporter.flush()
        return self._strategy.decide(
            self._outages.call(self._ledger.trials), self._claim.number, epoch.step
        )

    def _crashed(self, error: CrashedError) -> Outcome:
        return Outcome(
            Ending.FAIL, self._trial, crash_reason(error), untrainable=error.out_of_memory
        )


def limit_reason(limit_s: float) -> str:
    """Why a trial fails that took more than `limit_s` seconds."""
    return f"time limit of {limit_s:g} s reached"


def crash_reason(error: CrashedError) -> str:
    """Why a trial fails whose process ended with `error`."""
    exitcode = error.exitcode
    if error.out_of_memory:
        return KILLED
    if exitcode is None:
        return "its process ended without a word"
    if exitcode >= 0:
        return f"its process ended with exit code {exitcode}"
    return f"its process was killed by {signal.Signals(-exitcode).name}{address_space_note()}"
