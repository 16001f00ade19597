"""A worker's loop: claim a trial, run a segment of it, settle it, until its studies are over or it is to stop."""

import dataclasses
import logging
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from search.datasets.split import Prepared
from search.errors import ClaimLostError, GridlessError, RetryLaterError, StudyError
from search.places import cache
from search.study.environment import code_version
from search.study.ledger import Claim, Ledger, Owner
from search.study.records import TrialRecord
from search.study.strategy import derive_seed, make_strategy
from search.tracking.tracker import Tracker
from search.training.job import Job
from search.worker.heartbeat import Heartbeat
from search.worker.sandbox import Sandbox
from search.worker.segment import Outcome, SegmentRunner

logger = logging.getLogger(__name__)
T = TypeVar("T")

IDLE_S = 0.5
GIVE_UP_S = 600.0
LOG_TAIL_CHARS = 3000


@dataclass(frozen=True)
class Place:
    """Where a worker runs: its folders and its device."""

    folder: Path
    """The study's folder, runs/<study>."""
    device: str
    """What trials run on, for people."""

    def log(self, number: int) -> Path:
        """The output of a trial's process."""
        return self.folder / "logs" / f"trial-{number:04d}.log"

    @property
    def evidence(self) -> Path:
        """What is kept of trials for people to look at."""
        return self.folder / "evidence"

    def checkpoint(self, number: int) -> Path:
        """The state of a trial after its last epoch."""
        return self.folder / "checkpoints" / f"trial-{number:04d}.npz"


def serve(workers: "Sequence[Worker]", stop: threading.Event) -> None:
    """Run trials of these studies until none is left or a stop is asked for.

    The first study that has a trial to hand out is served, so that no worker idles while another finishes the last
    trials of a study. Raises StudyError when the storage stays away.
    """
    with ExitStack() as stack:
        for worker in workers:
            stack.enter_context(worker.heartbeat)
        left = list(workers)
        while left and not stop.is_set():
            if not any(worker.run_one() for worker in left):
                left = [worker for worker in left if stop.is_set() or not worker.is_over()]
                stop.wait(IDLE_S if left else 0)


class Worker:
    """Serves one study with one device."""

    def __init__(
        self, ledger: Ledger, data: Prepared, tracker: Tracker, place: Place, owner: Owner,
        sandbox: Sandbox, stop: threading.Event,
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._data = data
        self._tracker = tracker
        self._place = place
        self._owner = owner
        self._stop = stop
        self._sandbox = sandbox
        self.heartbeat = Heartbeat(ledger)
        spec = ledger.spec
        self._strategy = make_strategy(spec.strategy, spec.search_space, seed=spec.seed, max_epochs=spec.epochs)

    def run_one(self) -> bool:
        """Run a segment of the next trial; False when none is to be had now."""
        claim = self._patiently(self._next_claim)
        if claim is None:
            return False
        with self.heartbeat.watching(claim):
            self._run_and_settle(claim)
        return True

    def is_over(self) -> bool:
        """Whether every trial of the study has ended and none is to come."""
        return self._patiently(self._is_over)

    def _next_claim(self) -> Claim | None:
        self._ledger.refresh()
        if numbers := self._ledger.requeue_lost(self._owner, grace_s=self.heartbeat.grace_s):
            logger.info("took back trials %s from lost workers", numbers)
        if claim := self._ledger.take_waiting(self._owner):
            return claim
        trials = self._ledger.trials()
        if self._is_spent(trials):
            return None
        if (number := self._strategy.promote(trials)) is not None:
            return self._ledger.take_paused(number, self._owner)
        return self._ledger.take_new(self._owner)

    def _is_spent(self, trials: Sequence[TrialRecord]) -> bool:
        spec = self._ledger.spec
        return spec.budget is not None and sum(t.epochs for t in trials) >= spec.budget * spec.epochs

    def _is_over(self) -> bool:
        trials = self._ledger.trials()
        if any(t.state == "RUNNING" or (t.state == "WAITING" and not t.paused) for t in trials):
            return False
        if self._is_spent(trials):
            return True
        if len(trials) < self._ledger.spec.n_trials or self._strategy.promote(trials) is not None:
            return False
        closed = self._ledger.close()
        if closed is None:
            return False
        for number in closed:
            self._tracker.end(number, "PRUNED", at=time.time(), tags={"reason": "not promoted"})
        # Whatever a killed process left there belongs to no trial any more.
        shutil.rmtree(self._place.checkpoint(0).parent, ignore_errors=True)
        return True

    def _run_and_settle(self, claim: Claim) -> None:
        try:
            trial = self._started(claim)
            if trial.epochs >= (trial.total_epochs or 0) and not self._awaits_evaluation(trial):
                self._settle(claim, Outcome("done"))
                return
            runner = SegmentRunner(self._ledger, self._strategy, self._tracker, self._stop, self._patiently)
            segment = self._sandbox.start(self._job(trial), self._place.log(claim.number))
            self._settle(claim, runner.run(segment, claim, trial))
        except ClaimLostError:
            logger.warning("trial %d was taken over by another worker", claim.number)
        except GridlessError:
            raise
        except Exception as error:
            # A fault of ours, or of a strategy: it costs this trial, not the worker.
            logger.exception("trial %d", claim.number)
            with suppress(ClaimLostError):
                self._settle(claim, Outcome("fail", f"the worker failed: {type(error).__name__}: {error}"))

    def _awaits_evaluation(self, trial: TrialRecord) -> bool:
        return self._ledger.spec.replicate(trial.number) is not None and trial.evaluation is None

    def _started(self, claim: Claim) -> TrialRecord:
        """The claimed trial, its params chosen if it is new."""
        trials = self._patiently(self._ledger.trials)
        trial = next(t for t in trials if t.number == claim.number)
        if trial.total_epochs is None:
            spec = self._ledger.spec
            params = spec.first_setting(claim.number) or self._strategy.ask(trials, claim.number)
            replicate = spec.replicate(claim.number)
            seed = replicate.seed if replicate else derive_seed(spec.seed, claim.number)
            self._patiently(lambda: self._ledger.start(claim, params, seed=seed))
            trial = next(t for t in self._patiently(self._ledger.trials) if t.number == claim.number)
        n_segments = trial.n_segments + 1
        self._patiently(lambda: self._ledger.note(claim, n_segments=n_segments, device=self._place.device))
        tags = {
            "state": "RUNNING",
            "seed": str(trial.seed),
            "device": self._place.device,
            "worker": self._owner.worker,
            "code_version": code_version(),
            "data_digest": self._data.digest,
        }
        self._tracker.start(claim.number, at=time.time(), tags=tags)
        self._tracker.params(claim.number, trial.params)
        return trial

    def _job(self, trial: TrialRecord) -> Job:
        spec, data = self._ledger.spec, self._data
        job = Job(
            model=spec.model,
            params=dict(trial.params),
            seed=trial.seed or 0,
            total_epochs=trial.total_epochs or 1,
            data=str(data.folder),
            input_shape=data.input_shape,
            n_classes=data.n_classes,
            checkpoint=str(self._place.checkpoint(trial.number)),
            evidence=str(self._place.evidence),
            number=trial.number,
            cache=str(cache()),
            precision=spec.precision,
        )
        replicate = spec.replicate(trial.number)
        if replicate is None:
            return job
        return dataclasses.replace(
            job,
            total_epochs=replicate.epochs,
            stop_at=replicate.stop_at,
            rates=replicate.rates,
            train_on=replicate.train_on,
            evaluate=replicate.evaluate,
            test_data=str(data.test_folder) if replicate.evaluate == "test" else None,
        )

    def _settle(self, claim: Claim, outcome: Outcome) -> None:
        """Store how a segment ended, then tell the tracker, then drop what is no longer needed."""
        number, now = claim.number, time.time()
        trial = next(t for t in self._patiently(self._ledger.trials) if t.number == number)
        match outcome.how:
            case "pause" | "interrupted" | "halt":
                paused = outcome.how == "pause"
                self._patiently(lambda: self._ledger.give_back(claim, paused=paused))
                self._tracker.end(number, "WAITING", at=now, tags={})
                if outcome.how == "halt":
                    raise StudyError(outcome.reason)
                return
            case "done":
                value = trial.evaluation.accuracy if trial.evaluation else trial.val_accuracy
                self._patiently(lambda: self._ledger.complete(claim, value or 0.0))
                state = "COMPLETE"
            case "stop":
                self._patiently(lambda: self._ledger.prune(claim, trial.val_accuracy, "stopped by the strategy"))
                state = "PRUNED"
            case _:
                tail = _tail(self._place.log(number))
                self._patiently(
                    lambda: self._ledger.fail(claim, outcome.reason, log_tail=tail, untrainable=outcome.untrainable)
                )
                state = "FAIL"
        tags = {"reason": outcome.reason} if outcome.reason else {}
        self._tracker.end(number, state, at=now, tags=tags)
        self._place.checkpoint(number).unlink(missing_ok=True)

    def _patiently(self, call: Callable[[], T]) -> T:
        """`call()`, made again while the database is away, with growing pauses. Raises StudyError in the end."""
        deadline, pause = time.monotonic() + GIVE_UP_S, 0.2
        while True:
            try:
                return call()
            except RetryLaterError as error:
                self.heartbeat.note_outage()
                if time.monotonic() > deadline or self._stop.is_set():
                    raise StudyError(f"the storage stayed out of reach: {error}") from error
                logger.warning("the storage is out of reach, trying again in %.1f s: %s", pause, error)
                self._stop.wait(pause)
                pause = min(pause * 2, 10.0)


def _tail(log: Path) -> str:
    try:
        return log.read_text(errors="replace")[-LOG_TAIL_CHARS:]
    except OSError:
        return ""
