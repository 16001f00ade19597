"""A worker in this process: its day, its storage and what it trains."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from search.datasets.image_data import ImageData, from_arrays
from search.errors import RetryLaterError, StudyError
from search.records import TrialRecord
from search.study.storage.claim import WorkerIdentity
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from search.training.job import Job
from search.worker.engines.work_order import WorkOrder
from search.worker.outages import Outages
from search.worker.pace import Pace
from search.worker.service import Service
from tests.worker.helpers import HASTE, Sandbox

ME = WorkerIdentity.me("me")
DEAD = replace(ME, worker="dead", pid=2**22 + 1)
OTHER = replace(ME, worker="far", host="another machine")
Put = Callable[..., Ledger]


class Training:
    """Trains nothing, but goes on from checkpoints as the real one; calls `before(job, step)` amid
    every epoch.
    """

    def __init__(self, before: Callable[[Job, int], None] = lambda _job, _step: None) -> None:
        self.trained: list[tuple[str, int, int]] = []
        """Study, trial and step of each epoch that came to its end, in that order."""
        self._before = before
        self._checkpoints: dict[str, list[dict[str, Any]]] = {}

    def __call__(self, job: Job, *, on_built: Any, on_epoch: Any, on_evaluated: Any) -> str:
        on_built(7)
        history = self._checkpoints.setdefault(job.checkpoint, [])
        for metrics in list(history):
            if (answer := on_epoch(metrics["step"], metrics)) != "go on":
                return str(answer)
        for step in range(len(history) + 1, job.last_epoch + 1):
            self._before(job, step)
            self.trained.append((study_of(job), job.number, step))
            value = len(self.trained) / 1000
            metrics = {
                "step": step,
                "loss": 1.0,
                "accuracy": value,
                "val_loss": 1.0,
                "val_accuracy": value,
                "lr": 0.1,
            }
            history.append(metrics | {"seconds": 1.0, "at": 1.7e9})
            if (answer := on_epoch(step, history[-1])) != "go on":
                return str(answer)
        return "done"


def study_of(job: Job) -> str:
    return Path(job.checkpoint).parents[1].name


class Stop(threading.Event):
    """Counts how often a worker found nothing to do, and lets it look again soon."""

    n_naps = 0

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is not None and timeout < 3:
            self.n_naps += 1
            timeout = 0.01
        return super().wait(timeout)


class Flaky(LedgerStorage):
    """Out of reach for the next `n_left` transactions."""

    n_left = 0
    n_refused = 0

    @contextmanager
    def session(self) -> Iterator[Any]:
        self._refuse()
        with super().session() as session:
            yield session

    def read_trials(self, *arguments: Any) -> Any:
        self._refuse()
        return super().read_trials(*arguments)

    def _refuse(self) -> None:
        if self.n_left > 0:
            self.n_left, self.n_refused = self.n_left - 1, self.n_refused + 1
            raise RetryLaterError("the database is away")


def until_told(day: Service) -> None:
    with suppress(StudyError):  # a study that can't be served as the stop comes
        day.run()


def images(name: str) -> ImageData:
    labels = np.arange(8) % 2
    pixels = np.arange(8 * 4, dtype=np.uint8).reshape(8, 2, 2)
    return from_arrays(
        name, {"x_train": pixels, "y_train": labels, "x_test": pixels, "y_test": labels}
    )


def a_day(
    storage: LedgerStorage,
    sandbox: Sandbox,
    *names: str,
    stop: threading.Event,
    until_idle: bool = True,
    pace: Pace = HASTE,
    allows_pickled: bool = False,
) -> Service:
    order = WorkOrder(storage.url, names or None, until_idle, allows_pickled=allows_pickled)
    outages = Outages(stop, pace=pace)
    return Service(storage, order, ME, "CPU", sandbox, outages)  # type: ignore[arg-type]


def states(ledger: Ledger) -> list[str]:
    return [t.state for t in ledger.trials()]


def n_running(storage: LedgerStorage) -> int:
    with storage.reading(), storage.session() as session:
        return len(storage.silent_for(session, 1))


def steps(trial: TrialRecord) -> list[int]:
    return [e.step for e in trial.curve]
