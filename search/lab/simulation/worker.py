"""The real worker, with what it would send by a thread of its own sent when it is wanted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from search.datasets.split import Prepared
from search.lab.simulation.sandbox import SurrogateSandbox, WorkerLostError
from search.lab.simulation.surrogate import Surrogate
from search.records import TrialRecord
from search.study.storage.claim import Claim, WorkerIdentity
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import QueueState
from search.worker.claiming import Claiming
from search.worker.outages import Outages
from search.worker.reporter import Reporter, Unsent
from search.worker.segment import Outcome
from search.worker.study_worker import StudyWorker
from search.worker.trial_files import TrialFiles

GRACE_S = 1e6
"""Wall-clock seconds of silence after which a simulated worker is lost: never reached."""
NO_DATA = Prepared(Path(), None, "surrogate", "", (1, 1, 1), 2, (), 1, 1, 1)


class SharedLedger(Ledger):
    """The ledger of all simulated workers of a study.

    A real worker's epochs are in the storage half a second after they end. Here that is so whenever
    somebody looks, and only then: most epochs are stored together with the end of their segment.
    """

    def __init__(self, storage: LedgerStorage, name: str) -> None:
        super().__init__(storage, name)
        self._reporters: dict[str, PromptReporter] = {}

    def trials(self) -> list[TrialRecord]:
        """All trials, with every epoch that has ended."""
        for reporter in self._reporters.values():
            reporter.send()
        return super().trials()

    def reporter(self, claim: Claim, outages: Outages) -> "PromptReporter":
        """The reporter of a claim. A context manager."""
        return PromptReporter(self, claim, outages, self._reporters)


class PromptReporter(Reporter):
    """A reporter without a thread."""

    def __init__(
        self, ledger: Ledger, claim: Claim, outages: Outages, on_duty: "dict[str, PromptReporter]"
    ) -> None:
        super().__init__(ledger, claim, outages)
        self._on_duty = on_duty

    def __enter__(self) -> Self:
        self._on_duty[self._claim.token] = self
        return self

    def state(self) -> QueueState:
        """Open: nobody pauses or cancels a simulation."""
        return QueueState.OPEN

    def flush(self) -> None:
        """Store all that was put."""
        self.send()

    def send(self) -> None:
        """Store all that was put."""
        if self._unsent:
            sent, self._unsent = self._unsent, Unsent()
            self._ledger.report(self._claim, sent.epochs, **sent.facts)

    def take(self) -> Unsent:
        """Leave, and return what was not sent."""
        self._on_duty.pop(self._claim.token, None)
        return self._unsent


class NoOutages(Outages):
    """The outages of a worker whose database can't be away, and whose clock is not the wall's."""

    @property
    def grace_s(self) -> float:
        """Wall-clock seconds for which another worker may be silent: GRACE_S from the start."""
        return GRACE_S


class NoFiles(TrialFiles):
    """Of trials that write nothing: nothing is looked for in a user's folders and stores."""

    @property
    def evidence(self) -> str:
        """No folder."""
        return ""

    def checkpoint(self, number: int) -> str:
        """A file that nobody ever makes."""
        return f"/nonexistent/{self.study}/{number}"


class SimulatedClaiming(Claiming):
    """The real one, without a tracker and without checkpoints."""

    any_lost = False
    """Whether workers of the study are lost at all."""

    def _sweep(self) -> None:
        if self.any_lost:
            self._next_sweep = 0.0  # the real one's few seconds are often within an epoch
            super()._sweep()

    def _conclude(self, trials: Sequence[TrialRecord]) -> None:
        """Do nothing."""


class SimulatedWorker(StudyWorker):
    """The real worker: it claims, asks, decides, settles and closes by the same code."""

    def __init__(
        self,
        ledger: SharedLedger,
        owner: WorkerIdentity,
        sandbox: SurrogateSandbox,
        surrogate: Surrogate,
        outages: Outages,
        *,
        any_lost: bool,
    ) -> None:
        anything: Any = sandbox  # what starts trials has no base class
        super().__init__(ledger, NO_DATA, "simulated", owner, anything, outages)
        self._shared = ledger
        self._strategy = surrogate.adapted(self._strategy)
        self._claiming = SimulatedClaiming(
            ledger,
            self._strategy,
            owner,
            outages,
            n_validation=NO_DATA.n_val,
            device="simulated",
        )
        self._claiming.any_lost = any_lost
        self._code = {}
        self._environment_name = "simulated"
        self._files = NoFiles(ledger.name)

    def run(self, claim: Claim) -> Outcome:
        """Run a segment of a claimed trial and store how it ended.

        Raises WorkerLostError when this worker is lost, with the trial's epochs stored; and
        whatever a strategy raises, which costs a real worker's trial only, but would spoil a
        comparison unseen.
        """
        with self._shared.reporter(claim, self._outages) as reporter:
            trial = self._started(claim, reporter, {})
            try:
                outcome = self._run(claim, trial, reporter)
            except WorkerLostError:
                reporter.send()
                raise
        self._settle(claim, outcome)
        return outcome
