"""A worker in one study: claims a trial, runs a segment of it, settles it."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from search import artifacts
from search.datasets.split import Prepared
from search.errors import ClaimLostError, GridlessError, StudyError
from search.paths import cache
from search.records import Ending, State, TrialRecord
from search.strategies import derive_seed, make_strategy
from search.study.environment import environment
from search.study.storage.claim import Claim, WorkerIdentity
from search.study.storage.ledger import Ledger
from search.study.storage.trial_rows import DamagedError
from search.training.job import Job
from search.user_code import code_in, user_code
from search.worker.claiming import Claiming
from search.worker.data import code_problem
from search.worker.outages import Outages
from search.worker.reporter import Reporter
from search.worker.segment import Outcome, SegmentRunner
from search.worker.segment_end import store_end
from search.worker.trial.job_for import job_for
from search.worker.trial.sandbox import Sandbox
from search.worker.trial_files import TrialFiles

logger = logging.getLogger(__name__)


class StudyWorker:
    """Serves one study with one device."""

    def __init__(
        self,
        ledger: Ledger,
        data: Prepared,
        device: str,
        owner: WorkerIdentity,
        sandbox: Sandbox,
        outages: Outages,
    ) -> None:
        self._ledger = ledger
        self._data = data
        self._device = device
        self._files = TrialFiles(ledger.name)
        self._owner = owner
        self._sandbox = sandbox
        self._outages = outages
        self._code: Mapping[str, str] | None = None
        self._environment_name = ""
        """This machine among the study's environments, as it is with the user's `_code`."""
        spec = ledger.spec
        self._strategy = make_strategy(
            spec.strategy,
            spec.search_space,
            seed=spec.seed,
            max_epochs=spec.epochs,
            n_trials=spec.n_trials,
            first=spec.first,
            is_single=len(spec.objective) == 1,
        )
        self._claiming = Claiming(
            ledger,
            self._strategy,
            owner,
            outages,
            n_validation=data.n_val,
            device=device,
        )

    def claim(self) -> Claim | None:
        """The next trial to run a segment of; None when none is to be had now."""
        return self._outages.call(self._claiming.claim)

    def is_over(self) -> bool:
        """Whether no worker is to run a trial of the study any more; closes it if that is so."""
        return self._outages.call(self._claiming.is_over)

    def run(self, claim: Claim) -> Outcome | None:
        """Run a segment of a claimed trial and store how it ended; None if it was taken over
        meanwhile.

        Raises StudyError when no trial can be trained here, or the storage stays away.
        """
        try:
            code = user_code(self._ledger.spec.model)
            if problem := code_problem(self._ledger.spec, code):  # edited since it was taken up
                self._halt(claim, problem)
            with Reporter(self._ledger, claim, self._outages) as reporter:
                trial = self._started(claim, reporter, code)
                outcome = self._run(claim, trial, reporter)
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
                self._settle(claim, _outcome(claim, Ending.FAIL, reason))
        else:
            return outcome
        return None

    def _halt(self, claim: Claim, reason: str) -> None:
        """Give a trial back, and say that no other of the study can be run here."""
        with suppress(ClaimLostError):
            self._settle(claim, _outcome(claim, Ending.HALT, reason))

    def _run(self, claim: Claim, trial: TrialRecord, reporter: Reporter) -> Outcome:
        is_replicate = self._ledger.spec.replicate(trial.number) is not None
        awaits_evaluation = is_replicate and trial.evaluation is None
        if trial.epochs >= (trial.total_epochs or 0) and not awaits_evaluation:
            return Outcome(Ending.DONE, trial, unsent=reporter.take())
        runner = SegmentRunner(self._ledger, self._strategy, self._outages, claim, trial)
        segment = self._sandbox.start(self._job(trial), self._files.log(claim.number))
        return runner.run(segment, reporter)

    def _started(self, claim: Claim, reporter: Reporter, code: Mapping[str, str]) -> TrialRecord:
        """The claimed trial, with params if new; without epochs that other `code` trained."""
        trials: Sequence[TrialRecord] = ()
        if not claim.new or self._strategy.looks:
            trials = self._outages.call(self._ledger.trials)
        goal = self._ledger.spec.goal._asdict()
        unknown = TrialRecord(claim.number, State.RUNNING, {}, **goal)
        trial = next((t for t in trials if t.number == claim.number), unknown)
        here = self._environment(code)
        if trial.environments and self._is_other_code(trial.environments[-1], code):
            artifacts.remove(self._files.checkpoint(trial.number))
            self._outages.call(lambda: self._ledger.forget_epochs(claim))
            trial = dataclasses.replace(trial, curve=(), environments=())
        facts = {
            "device": self._device,
            "environments": [*(name for name in trial.environments if name != here), here],
        }
        if trial.total_epochs is None:
            trial = self._begin(claim, trial, trials, facts)
        else:
            reporter.put(facts=facts)
        return trial

    def _environment(self, code: Mapping[str, str]) -> str:
        """The name of this machine and the user's `code` among the study's environments."""
        if self._code != code:
            here = environment(self._device, code=code)
            self._environment_name = self._outages.call(lambda: self._ledger.note_environment(here))
            self._code = dict(code)
        return self._environment_name

    def _is_other_code(self, name: str, code: Mapping[str, str]) -> bool:
        """Whether what a trial ran on, by its `name`, had other code of the user's than `code`."""
        if name == self._environment_name:
            return False
        then = code_in(self._outages.call(lambda: self._ledger.environment(name)))
        return bool(then) and then != code

    def _begin(
        self, claim: Claim, trial: TrialRecord, trials: Sequence[TrialRecord], facts: dict[str, Any]
    ) -> TrialRecord:
        spec = self._ledger.spec
        params = spec.first_setting(claim.number) or self._strategy.ask(trials, claim.number)
        replicate = spec.replicate(claim.number)
        seed = replicate.seed if replicate else derive_seed(spec.seed, claim.number)
        self._outages.call(lambda: self._ledger.start(claim, params, seed=seed, **facts))
        total_epochs = spec.total_epochs(claim.number, params)
        return dataclasses.replace(trial, params=params, seed=seed, total_epochs=total_epochs)

    def _job(self, trial: TrialRecord) -> Job:
        return job_for(
            self._ledger.spec,
            self._data,
            trial,
            checkpoint=self._files.checkpoint(trial.number),
            evidence=self._files.evidence,
            cache=str(cache()),
        )

    def _settle(self, claim: Claim, outcome: Outcome) -> None:
        """Store how a segment ended, then drop what is no longer needed."""
        log = self._files.log(claim.number)
        state = self._outages.call(lambda: store_end(self._ledger, claim, outcome, log))
        if outcome.ending == Ending.HALT:
            raise StudyError(outcome.reason)
        if state != State.WAITING:
            with suppress(OSError):  # what stays behind goes when the study closes
                artifacts.remove(self._files.checkpoint(claim.number))


def _outcome(claim: Claim, ending: Ending, reason: str) -> Outcome:
    """The end of a segment of which nothing is known but `reason`."""
    return Outcome(ending, TrialRecord(claim.number, State.RUNNING, {}), reason)
