"""Listens to one trial process: stores its epochs, answers it, and says how it ended."""

import math
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from search.study.ledger import Claim, Ledger
from search.study.records import Epoch, TrialRecord
from search.study.strategy import Decision, Strategy
from search.tracking.tracker import Tracker
from search.worker.messages import Built, Ended, EpochDone, Evaluated, Started
from search.worker.sandbox import CrashedError, Segment

POLL_S = 0.2
STOP_GRACE_S = 3.0
"""How long a trial may take to finish its epoch once a stop is asked for; its last checkpoint is kept anyway."""


@dataclass(frozen=True)
class Outcome:
    """How a segment ended: done, pause (at a rung), interrupted (by a stop), stop (pruned), fail, or halt.

    After halt no trial can be trained here, for a reason that is not the trial's.
    """

    how: str
    reason: str = ""
    untrainable: bool = False


class SegmentRunner:
    """Runs segments of one study's trials."""

    def __init__(
        self,
        ledger: Ledger,
        strategy: Strategy,
        tracker: Tracker,
        stop: threading.Event,
        patiently: Callable[[Callable[[], Any]], Any],
    ) -> None:
        self._ledger = ledger
        self._strategy = strategy
        self._tracker = tracker
        self._stop = stop
        self._patiently = patiently

    def run(self, segment: Segment, claim: Claim, trial: TrialRecord) -> Outcome:
        """Listen until the segment is over. Raises ClaimLostError, with the process ended, if the trial was taken."""
        try:
            return self._listen(segment, claim, trial)
        except CrashedError as error:
            return Outcome("fail", _crash_reason(error.exitcode))
        finally:
            segment.close()

    def _listen(self, segment: Segment, claim: Claim, trial: TrialRecord) -> Outcome:
        limit_s = self._ledger.spec.trial_timeout_s or math.inf
        stop_at: float | None = None
        began: float | None = None
        while True:
            match segment.receive(POLL_S):
                case Started():
                    began = time.monotonic() - trial.train_s
                case Built() | Evaluated() as fact:
                    self._keep(claim, trial, fact)
                case EpochDone(metrics):
                    answer = self._on_epoch(claim, trial, Epoch(**metrics))
                    if answer == Decision.GO_ON and self._stop.is_set():
                        return Outcome("interrupted")
                    segment.answer(answer)
                case Ended(how, reason, untrainable):
                    return Outcome(how, reason, untrainable)
            if began is not None and time.monotonic() - began > limit_s:
                return Outcome("fail", f"time limit of {limit_s:g} s reached")
            if self._stop.is_set():
                stop_at = stop_at or time.monotonic() + STOP_GRACE_S
                if time.monotonic() > stop_at:
                    return Outcome("interrupted")

    def _keep(self, claim: Claim, trial: TrialRecord, fact: Built | Evaluated) -> None:
        if isinstance(fact, Built):
            self._patiently(partial(self._ledger.note, claim, n_params=fact.n_params))
            return
        found = fact.found
        self._patiently(partial(self._ledger.note, claim, evaluation=dict(found)))
        scores = {f"final_{found['split']}_{name}": float(found[name]) for name in ("accuracy", "loss")}
        self._tracker.metrics(claim.number, trial.total_epochs or 1, scores, at=time.time())

    def _on_epoch(self, claim: Claim, trial: TrialRecord, epoch: Epoch) -> Decision:
        if epoch.step > trial.epochs:
            self._tracker.metrics(claim.number, epoch.step, _values(epoch), at=epoch.at)
            self._patiently(lambda: self._ledger.report(claim, epoch))
        # Of the steps stored before an interruption, the last may still want its decision.
        wants_decision = epoch.step > trial.epochs or (epoch.step == trial.epochs and not claim.promoted)
        if not wants_decision or not self._strategy.is_rung(epoch.step):
            return Decision.GO_ON
        return self._strategy.decide(self._patiently(self._ledger.trials), claim.number, epoch.step)


def _values(epoch: Epoch) -> dict[str, float]:
    return {k: float(v) for k, v in asdict(epoch).items() if k not in {"step", "at"} and v is not None}


def _crash_reason(exitcode: int | None) -> str:
    if exitcode is None:
        return "its process ended without a word"
    if exitcode >= 0:
        return f"its process ended with exit code {exitcode}"
    name = signal.Signals(-exitcode).name
    hint = " (by the kernel for want of memory, or by a person)" if name == "SIGKILL" else ""
    return f"its process was killed by {name}{hint}"
