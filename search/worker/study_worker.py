"""A worker in one study: claims a trial, runs a segment of it, settles it."""

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

from search import artifacts
from search.analysis.forecast import forecast
from search.datasets.split import Prepared
from search.errors import ClaimLostError, GridlessError, StudyError
from search.paths import artifacts as artifacts_of
from search.paths import cache, home
from search.records import Ending, State, TrialRecord
from search.strategies import derive_seed, make_strategy
from search.study.environment import code_version, environment
from search.study.failing import alike_failure
from search.study.storage.claim import Claim, Owner
from search.study.storage.ledger import CANCELLED_REASON, Ledger
from search.study.storage.queue import Place, QueueState
from search.study.storage.steering import close, finish, grow_finals, open_finals, requeue_lost
from search.study.storage.trial_rows import DamagedError
from search.study.user_code import code_in, user_code
from search.tracking.mirror import tell_ends
from search.tracking.protocol import Tracker
from search.training.job import Job
from search.worker.data import code_problem
from search.worker.outages import Patience
from search.worker.reporter import Courier, Unsent
from search.worker.segment import Outcome, SegmentRunner
from search.worker.trial.job_for import job_for
from search.worker.trial.sandbox import Sandbox

logger = logging.getLogger(__name__)

LOG_TAIL_CHARS = 3000


@dataclass(frozen=True)
class Places:
    """Where a study's trials write."""

    study: str
    device: str
    """What trials run on, for people."""

    def log(self, number: int) -> Path:
        """The output of a trial's process, on this machine."""
        return home() / self.study / "logs" / f"trial-{number:04d}.log"

    @property
    def evidence(self) -> str:
        """What is kept of trials for people to look at."""
        return artifacts.join(artifacts_of(self.study), "evidence")

    @property
    def checkpoints(self) -> str:
        """The folder of all checkpoints."""
        return artifacts.join(artifacts_of(self.study), "checkpoints")

    def checkpoint(self, number: int) -> str:
        """The state of a trial after its last epoch."""
        return artifacts.join(self.checkpoints, f"trial-{number:04d}.npz")


def drop_checkpoints(study: str, trials: Sequence[TrialRecord]) -> None:
    """Remove the checkpoints of `study` if none of its `trials` goes on, and what killed processes
    left there.
    """
    if all(t.ended for t in trials):
        with suppress(OSError):
            artifacts.remove_tree(Places(study, "").checkpoints)


class StudyWorker:
    """Serves one study with one device."""

    def __init__(
        self,
        ledger: Ledger,
        data: Prepared,
        tracker: Tracker,
        device: str,
        owner: Owner,
        sandbox: Sandbox,
        patience: Patience,
    ) -> None:
        self._ledger = ledger
        self._data = data
        self._tracker = tracker
        self._places = Places(ledger.name, device)
        self._owner = owner
        self._sandbox = sandbox
        self._patience = patience
        self._next_sweep = 0.0
        self._is_concluded = False
        self._is_sound = False
        """Whether a trial has come to an epoch since the study was opened."""
        self._noted: tuple[Mapping[str, str] | None, str] = None, ""
        """The user's code, and the name of this machine as it is with that among the study's
        environments.
        """
        spec = ledger.spec
        self._strategy = make_strategy(
            spec.strategy,
            spec.search_space,
            seed=spec.seed,
            max_epochs=spec.epochs,
            n_trials=spec.n_trials,
            first=spec.first,
        )

    def claim(self) -> Claim | None:
        """The next trial to run a segment of; None when none is to be had now."""
        return self._patience.call(self._claim)

    def _claim(self) -> Claim | None:
        self._sweep()
        spec = self._ledger.spec
        if (
            self._is_sound
            and not self._strategy.has_rungs
            and spec.budget is None
            and not spec.stop_when_flat
        ):
            return self._ledger.claim(self._owner)
        trials = self._ledger.trials()
        if self._enough(trials, self._ledger.place):
            return self._ledger.claim(self._owner, new=False)
        return self._ledger.claim(self._owner, promote=self._strategy.promote(trials))

    def _sweep(self) -> None:
        if time.monotonic() < self._next_sweep:
            return
        if numbers := requeue_lost(self._ledger, self._owner, grace_s=self._patience.grace_s):
            logger.info("took back trials %s of %s from lost workers", numbers, self._ledger.name)
        self._next_sweep = time.monotonic() + self._patience.pace.sweep

    def _enough(self, trials: Sequence[TrialRecord], place: Callable[[], Place]) -> str | None:
        """Why no new trial is to be started, although fewer than n_trials were; None while there is
        no reason.
        """
        spec = self._ledger.spec
        if not self._is_sound:
            n_before = place().n_before
            self._is_sound = any(t.curve for t in trials if t.number >= n_before)
            if reason := alike_failure(trials, n_before=n_before, n_trials=spec.n_trials):
                return reason
        if spec.budget is not None and sum(t.epochs for t in trials) >= spec.budget * spec.epochs:
            return "its budget is spent"
        if spec.stop_when_flat and len(trials) < spec.n_trials:
            found = forecast(trials, n_validation=self._data.n_val, n_workers=spec.workers)
            if found and found.is_flat:
                return "more compute promises less than noise"
        return None

    def is_over(self) -> bool:
        """Whether no trial of the study is to be run any more, by any worker; closes it if that is
        so.
        """
        return self._patience.call(self._is_over)

    def _is_over(self) -> bool:
        self._sweep()
        trials, place = self._ledger.trials(), self._ledger.place()
        if place.state is not QueueState.OPEN:
            is_over = not any(t.state == State.RUNNING for t in trials)
            if is_over and not self._is_concluded:
                self._conclude(trials)
            return is_over
        if any(
            t.state == State.RUNNING or (t.state == State.WAITING and not t.paused) for t in trials
        ):
            return False
        if reason := self._enough(trials, lambda: place):
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

    def _open_finals(self, trials: Sequence[TrialRecord]) -> None:
        """Put the finalists' study on the queue; before this one is closed, so that no crash can
        leave it out.
        """
        here = environment(self._places.device, code=self._ledger.spec.code)
        if grow_finals(self._ledger, here):
            logger.info("%s has replicates of its baseline", self._ledger.name)
        elif open_finals(self._ledger, trials, here):
            logger.info("the finalists of %s are on the queue", self._ledger.name)

    def _conclude(self, trials: Sequence[TrialRecord]) -> None:
        """Tell how all trials ended, some by another worker's hand or by no worker's; drop what
        none needs any more.
        """
        self._is_concluded = True
        tell_ends(self._tracker, trials)
        drop_checkpoints(self._ledger.name, trials)

    def run(self, claim: Claim) -> Outcome | None:
        """Run a segment of a claimed trial and store how it ended; None if it was taken over
        meanwhile.

        Raises StudyError when no trial can be trained here, or the storage stays away.
        """
        try:
            code = user_code(self._ledger.spec.model)
            if problem := code_problem(
                self._ledger.spec, code
            ):  # edited since the study was taken up
                self._halt(claim, problem)
            with Courier(self._ledger, claim, self._patience) as courier:
                trial = self._started(claim, courier, code)
                outcome = self._run(claim, trial, courier)
            self._settle(claim, outcome)
        except ClaimLostError:
            logger.warning(
                "trial %d of %s was taken over by another worker", claim.number, self._ledger.name
            )
        except DamagedError as error:
            self._halt(claim, str(error))
        except GridlessError:
            raise
        except OSError as error:
            # A fault of this machine, such as too many open files: no other trial would fare
            # better.
            self._halt(claim, f"on this machine: {error}")
        except Exception as error:
            # A fault of ours, or of a strategy: it costs this trial, not the worker.
            logger.exception("trial %d", claim.number)
            reason = f"the worker failed: {type(error).__name__}: {error}"
            with suppress(ClaimLostError):
                self._settle(
                    claim,
                    Outcome(Ending.FAIL, TrialRecord(claim.number, State.RUNNING, {}), reason),
                )
        else:
            return outcome
        return None

    def _halt(self, claim: Claim, reason: str) -> None:
        """Give a trial back, and say that no other of the study can be run here."""
        with suppress(ClaimLostError):
            self._settle(
                claim, Outcome(Ending.HALT, TrialRecord(claim.number, State.RUNNING, {}), reason)
            )

    def _run(self, claim: Claim, trial: TrialRecord, courier: Courier) -> Outcome:
        awaits_evaluation = (
            self._ledger.spec.replicate(trial.number) is not None and trial.evaluation is None
        )
        if trial.epochs >= (trial.total_epochs or 0) and not awaits_evaluation:
            return Outcome(Ending.DONE, trial, unsent=courier.take())
        runner = SegmentRunner(
            self._ledger, self._strategy, self._tracker, self._patience, claim, trial
        )
        return runner.run(
            self._sandbox.start(self._job(trial), self._places.log(claim.number)), courier
        )

    def _started(self, claim: Claim, courier: Courier, code: Mapping[str, str]) -> TrialRecord:
        """The claimed trial, its params chosen if it is new; without its epochs if other `code`
        trained them.
        """
        trials: Sequence[TrialRecord] = ()
        if not claim.new or self._strategy.looks:
            trials = self._patience.call(self._ledger.trials)
        unknown = TrialRecord(claim.number, State.RUNNING, {})
        trial = next((t for t in trials if t.number == claim.number), unknown)
        here = self._environment(code)
        if trial.environments and self._is_other_code(trial.environments[-1], code):
            artifacts.remove(self._places.checkpoint(trial.number))
            self._patience.call(lambda: self._ledger.forget_epochs(claim))
            trial = dataclasses.replace(trial, curve=(), environments=())
        facts = {
            "device": self._places.device,
            "environments": [*(name for name in trial.environments if name != here), here],
        }
        if trial.total_epochs is None:
            trial = self._begin(claim, trial, trials, facts)
        else:
            courier.put(facts=facts)
        tags = {
            "state": State.RUNNING,
            "seed": str(trial.seed),
            "device": self._places.device,
            "worker": self._owner.worker,
            "code_version": code_version(),
            "data_digest": self._data.digest,
        }
        if (
            replicate := self._ledger.spec.replicate(claim.number)
        ) and replicate.source is not None:
            tags["source_trial"] = str(replicate.source)
        self._tracker.start(claim.number, at=time.time(), tags=tags)
        self._tracker.params(
            claim.number, trial.trained_params if replicate is None else trial.params
        )
        return trial

    def _environment(self, code: Mapping[str, str]) -> str:
        """The name of this machine, as it is with the user's `code`, among the study's
        environments.
        """
        if self._noted[0] != code:
            here = environment(self._places.device, code=code)
            self._noted = (
                dict(code),
                self._patience.call(lambda: self._ledger.note_environment(here)),
            )
        return self._noted[1]

    def _is_other_code(self, name: str, code: Mapping[str, str]) -> bool:
        """Whether what a trial ran on, by its `name`, had other code of the user's than `code`."""
        then = (
            {}
            if name == self._noted[1]
            else code_in(self._patience.call(lambda: self._ledger.environment(name)))
        )
        return bool(then) and then != code

    def _begin(
        self, claim: Claim, trial: TrialRecord, trials: Sequence[TrialRecord], facts: dict[str, Any]
    ) -> TrialRecord:
        spec = self._ledger.spec
        params = spec.first_setting(claim.number) or self._strategy.ask(trials, claim.number)
        replicate = spec.replicate(claim.number)
        seed = replicate.seed if replicate else derive_seed(spec.seed, claim.number)
        self._patience.call(lambda: self._ledger.start(claim, params, seed=seed, **facts))
        total_epochs = spec.total_epochs(claim.number, params)
        return dataclasses.replace(trial, params=params, seed=seed, total_epochs=total_epochs)

    def _job(self, trial: TrialRecord) -> Job:
        return job_for(
            self._ledger.spec,
            self._data,
            trial,
            checkpoint=self._places.checkpoint(trial.number),
            evidence=self._places.evidence,
            cache=str(cache()),
        )

    def _settle(self, claim: Claim, outcome: Outcome) -> None:
        """Store how a segment ended, then tell the tracker, then drop what is no longer needed."""
        now = time.time()
        state = self._patience.call(lambda: self._store(claim, outcome))
        tags = {"reason": outcome.reason} if outcome.reason and state != State.WAITING else {}
        self._tracker.end(claim.number, state, at=now, tags=tags)
        if outcome.ending == Ending.HALT:
            raise StudyError(outcome.reason)
        if state != State.WAITING:
            with suppress(OSError):  # what stays behind goes when the study closes
                artifacts.remove(self._places.checkpoint(claim.number))

    def _store(self, claim: Claim, outcome: Outcome) -> State:
        """Store how a segment ended; the state of its trial from now on."""
        ledger, trial = self._ledger, outcome.trial
        unsent = outcome.unsent or Unsent()
        epochs, facts = unsent.epochs, unsent.facts
        match outcome.ending:
            case Ending.PAUSE | Ending.INTERRUPTED | Ending.HALT:
                is_paused = outcome.ending == Ending.PAUSE
                return ledger.give_back(claim, epochs, **facts | {"paused": is_paused})
            case Ending.DONE:
                value = trial.evaluation.accuracy if trial.evaluation else trial.val_accuracy
                ledger.complete(claim, value or 0.0, epochs, **facts)
                return State.COMPLETE
            case Ending.STOP:
                ledger.prune(claim, trial.val_accuracy, "stopped by the strategy", epochs, **facts)
                return State.PRUNED
            case Ending.CANCEL:
                ledger.prune(claim, trial.val_accuracy, CANCELLED_REASON, epochs, **facts)
                return State.PRUNED
            case Ending.FAIL:
                tail = _tail(self._places.log(claim.number))
                ledger.fail(
                    claim,
                    outcome.reason,
                    epochs,
                    log_tail=tail,
                    untrainable=outcome.untrainable,
                    **facts,
                )
                return State.FAIL
            case never:
                assert_never(never)


def _tail(log: Path) -> str:
    try:
        return log.read_text(errors="replace")[-LOG_TAIL_CHARS:]
    except OSError:
        return ""
