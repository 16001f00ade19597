"""A suite's workers in this process: trials run in a thread instead of a process of their own."""

import errno
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from search.actions.plan_suite import Bench, open_suite
from search.errors import TrialError
from search.records import Ending
from search.study.storage.claim import WorkerIdentity
from search.study.storage.ledger import Ledger
from search.training.job import Job
from search.worker.engines.work_order import WorkOrder
from search.worker.outages import Outages
from search.worker.pace import Pace
from search.worker.service import Service
from search.worker.trial.messages import Built, Ended, EpochDone, Evaluated, Message, Started

Train = Callable[..., str]
"""As `search.training.trainer.train`."""
HASTE = Pace(
    look=0.0,
    refusal=0.0,
    shortest_rest=0.0,
    poll=0.01,
    last_epoch=0.0,
    gather=0.01,
    state_look=0.01,
    first_report_retry=0.01,
    first_retry=0.01,
    longest_retry=0.01,
)
"""Of a worker that waits for no longer than it must."""
DEAD = replace(WorkerIdentity.me("dead"), pid=2**22 + 1)
"""A worker whose process is gone."""


class PowerCut(BaseException):
    """The worker ends where it stands."""


class _ClosedError(Exception):
    pass


class Sandbox:
    """Remembers the jobs that it was given; the power goes off before the first message that `cut`
    is true of.
    """

    def __init__(
        self, train: Train, cut: Callable[[Message], bool] = lambda _message: False
    ) -> None:
        self.jobs: list[Job] = []
        self.closing = threading.Event()
        """Set once the worker ends the segment, of itself or as the last one's training has."""
        self._train = train
        self._cut = cut

    def start(self, job: Job, log: Path) -> "_Segment":
        self.jobs.append(job)
        self.closing = threading.Event()
        return _Segment(job, self._train, self._cut, self.closing)


class _Segment:
    def __init__(
        self, job: Job, train: Train, cut: Callable[[Message], bool], closing: threading.Event
    ) -> None:
        self._job, self._train, self._cut, self._closing = job, train, cut, closing
        self._messages: queue.Queue[Message] = queue.Queue()
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        tell = self._messages.put
        try:
            tell(Started())
            how = self._train(
                self._job,
                on_built=lambda n: tell(Built(n)),
                on_epoch=self._on_epoch,
                on_evaluated=lambda found: tell(Evaluated(found)),
            )
            tell(Ended(Ending(how)))
        except _ClosedError:
            return
        except TrialError as error:
            tell(Ended(Ending.FAIL, error.reason, untrainable=True))
        except Exception as error:
            disk_full = isinstance(error, OSError) and error.errno == errno.ENOSPC
            tell(Ended(Ending.FAIL, repr(error), disk_full=disk_full))

    def _on_epoch(self, _step: int, metrics: Any) -> str:
        self._messages.put(EpochDone(dict(metrics)))
        answer = self._answers.get()
        if answer is None:
            raise _ClosedError
        return answer

    def receive(self, wait_s: float) -> Message | None:
        try:
            message = self._messages.get(timeout=wait_s)
        except queue.Empty:
            return None
        if self._cut(message):
            raise PowerCut
        return message

    def answer(self, decision: str) -> None:
        self._answers.put(decision)

    def close(self) -> None:
        self._closing.set()
        self._answers.put(None)
        self._thread.join()


def pretend(job: Job, *, on_built: Any, on_epoch: Any, on_evaluated: Any) -> str:
    """Train nothing: a curve that rises by epochs, and a score that depends on the seed."""
    on_built(7)
    for step in range(1, job.last_epoch + 1):
        value = None if job.train_on == "all" else step / 100
        metrics = {
            "loss": 1 / step,
            "accuracy": step / 100,
            "val_loss": value,
            "val_accuracy": value,
        }
        if (
            answer := on_epoch(
                step, metrics | {"step": step, "lr": 0.1, "seconds": 1.0, "at": 1.7e9}
            )
        ) != "go on":
            return str(answer)
    if job.evaluate:
        on_evaluated(
            {"split": job.evaluate, "accuracy": 0.5 + job.seed % 100 / 1000, "loss": 1.0, "n": 9}
        )
    return "done"


def serve(ledgers: Sequence[Ledger], sandbox: Any, *, owner: WorkerIdentity | None = None) -> None:
    """Run these studies to their end, as one worker process does."""
    storage = ledgers[0].storage
    order = WorkOrder(storage.url, tuple(ledger.name for ledger in ledgers))
    stop = threading.Event()
    try:
        Service(
            storage,
            order,
            owner or WorkerIdentity.me("me"),
            "here",
            sandbox,
            Outages(stop, pace=Pace(gather=0.01)),
        ).run()
    finally:
        stop.set()  # its heart would beat for as long as this process lives


def wait_until(condition: Callable[[], object], limit_s: float = 60.0) -> None:
    """Until `condition` holds, which takes a moment; an error after `limit_s` seconds."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("waited for in vain")
        time.sleep(0.005)


def run_all(bench: Bench, train: Train) -> Sandbox:
    """Run a suite to its end, as `gridless bench` does."""
    sandbox = Sandbox(train)
    for plans in (bench.first_plans, bench.final_plans):
        if todo := plans():
            serve(open_suite(bench, todo), sandbox)
    return sandbox
