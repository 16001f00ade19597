"""One simulated study: a strategy on a task, with some workers, until its budget is spent."""

import math
import shutil
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from search.errors import StudyError
from search.lab.simulation.clock import Clock
from search.lab.simulation.sandbox import Meter, SurrogateSandbox, WorkerLostError
from search.lab.simulation.surrogate import Surrogate
from search.lab.simulation.worker import NO_DATA, NoOutages, SharedLedger, SimulatedWorker
from search.records import TrialRecord
from search.study.spec import StudySpec
from search.study.storage.claim import Claim, WorkerIdentity
from search.study.storage.database import models
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage

_NAME = "simulation"
_NO_LIMIT = 1_000_000
"""More trials than any budget pays for."""
_LONG_AGO = datetime(2000, 1, 1)


@dataclass(frozen=True)
class Setup:
    """What one run simulates. The same setup gives the same run."""

    strategy: str
    task: str
    seed: int
    n_workers: int
    budget: float
    """Full trainings."""
    lose: float = 0.0
    """The chance that a segment which would train to the end loses its worker on the way."""


@dataclass(frozen=True)
class Run:
    """What came of a setup."""

    setup: Setup
    improvements: tuple[tuple[float, float], ...]
    """(full trainings spent by all workers, best validation accuracy), per improvement."""
    trials: tuple[TrialRecord, ...]


def make_template(folder: Path) -> Path:
    """An empty database in `folder` to copy: making tables takes longer than a short run."""
    path = folder / "template.db"
    LedgerStorage(f"sqlite:///{path}").engine.dispose()
    return path


def simulate(setup: Setup, surrogate: Surrogate, template: Path) -> Run:
    """Run a study to its end, as the budget makes it: what is trained by then is trained out.

    Its database is a copy of `template`, beside that, and is removed. Raises StudyError when the
    workers wait for each other, and whatever the strategy raises.
    """
    with TemporaryDirectory(dir=template.parent) as folder:
        path = Path(folder, "studies.db")
        shutil.copyfile(template, path)
        storage = LedgerStorage(f"sqlite:///{path}")
        try:
            return _Simulation(setup, surrogate, storage).run()
        finally:
            storage.remove_session()
            storage.engine.dispose()


class _Simulation:
    def __init__(self, setup: Setup, surrogate: Surrogate, storage: LedgerStorage) -> None:
        self._setup, self._surrogate, self._storage = setup, surrogate, storage
        spec = _spec(setup, surrogate)
        Ledger.open(storage, spec, {})
        self._ledger = SharedLedger(storage, spec.name)
        self._clock = Clock()
        self._meter = Meter(spec.epochs, limit=math.floor(setup.budget * spec.epochs + 1e-9))
        self._sandbox = SurrogateSandbox(
            surrogate, setup.task, self._clock, self._meter, lose=setup.lose, seed=setup.seed
        )
        self._outages = NoOutages(threading.Event())

    def run(self) -> Run:
        numbers = range(self._setup.n_workers)
        self._clock.run([lambda number=number: self._work(number) for number in numbers])  # type: ignore[misc]
        return Run(self._setup, tuple(self._meter.improvements), tuple(self._ledger.trials()))

    def _work(self, number: int) -> None:
        """What a worker process does for a study, and its successor when it is lost."""
        n_lost = 0
        worker = self._worker(number, n_lost)
        while True:
            claim = worker.claim()
            if claim is None:
                if worker.is_over():
                    return
                if not self._clock.wait():
                    raise StudyError("no worker has anything to do, and the study is not over")
                continue
            try:
                worker.run(claim)
            except WorkerLostError:
                self._fall_silent(claim)
                n_lost += 1
                worker = self._worker(number, n_lost)
            self._clock.notify()

    def _worker(self, number: int, n_lost: int) -> SimulatedWorker:
        # On a machine of their own: whether they live is told by their heartbeats alone.
        owner = WorkerIdentity(f"simulated/{number}.{n_lost}", "simulated", number, float(n_lost))
        any_lost = self._setup.lose > 0
        return SimulatedWorker(
            self._ledger, owner, self._sandbox, self._surrogate, self._outages, any_lost=any_lost
        )

    def _fall_silent(self, claim: Claim) -> None:
        """Let the heartbeat of a claim be long ago."""
        with self._storage.session() as session:
            beats = session.query(models.TrialHeartbeatModel).filter_by(trial_id=claim.trial_id)
            beats.update({"heartbeat": _LONG_AGO})


def _spec(setup: Setup, surrogate: Surrogate) -> StudySpec:
    space = surrogate.space
    return StudySpec(
        name=_NAME,
        model=space.model,
        data=setup.task,
        data_source=setup.task,
        n_trials=surrogate.n_settings or _NO_LIMIT,
        epochs=surrogate.max_epochs,
        seed=setup.seed,
        strategy=setup.strategy,
        workers=setup.n_workers,
        threads=1,
        timeout_s=None,
        budget=setup.budget,
        trial_timeout_s=None,
        validation_fraction=0.5,
        data_digest=NO_DATA.digest,
        space_digest=space.digest,
        first=tuple(dict(setting) for setting in surrogate.first),
        space=space.as_dict(),
    )
