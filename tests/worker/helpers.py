"""A suite's workers in this process: trials run in a thread instead of a process of their own."""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from search.errors import TrialError
from search.study.ledger import Owner
from search.tracking.tracker import NullTracker
from search.training.job import Job
from search.worker.loop import Place, Worker, serve
from search.worker.messages import Built, Ended, EpochDone, Evaluated, Message, Started
from search.worker.prepare import Plan
from search.worker.suite import Bench, open_suite

Train = Callable[..., str]
"""As `search.training.trainer.train`."""
DEAD = replace(Owner.me("dead"), pid=2**22 + 1)
"""A worker whose process is gone."""


class PowerCut(BaseException):
    """The worker ends where it stands."""


class _ClosedError(Exception):
    pass


class Recorder(NullTracker):
    """Remembers the metrics that it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int, dict[str, float]]] = []

    def metrics(self, trial: int, step: int, values: Any, *, at: float) -> None:
        self.told.append((trial, step, dict(values)))


class Sandbox:
    """Remembers the jobs that it was given; the power goes off before the first message that `cut` is true of."""

    def __init__(self, train: Train, cut: Callable[[Message], bool] = lambda _message: False) -> None:
        self.jobs: list[Job] = []
        self._train = train
        self._cut = cut

    def start(self, job: Job, log: Path) -> "_Segment":
        self.jobs.append(job)
        return _Segment(job, self._train, self._cut)


class _Segment:
    def __init__(self, job: Job, train: Train, cut: Callable[[Message], bool]) -> None:
        self._job, self._train, self._cut = job, train, cut
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
            tell(Ended(how))
        except _ClosedError:
            return
        except TrialError as error:
            tell(Ended("fail", error.reason, untrainable=True))
        except Exception as error:
            tell(Ended("fail", repr(error)))

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
        self._answers.put(None)
        self._thread.join()


def pretend(job: Job, *, on_built: Any, on_epoch: Any, on_evaluated: Any) -> str:
    """Train nothing: a curve that rises by epochs, and a score that depends on the seed."""
    on_built(7)
    for step in range(1, job.last_epoch + 1):
        value = None if job.train_on == "all" else step / 100
        metrics = {"loss": 1 / step, "accuracy": step / 100, "val_loss": value, "val_accuracy": value}
        if (answer := on_epoch(step, metrics | {"step": step, "lr": 0.1, "seconds": 1.0, "at": 1.7e9})) != "go on":
            return str(answer)
    if job.evaluate:
        on_evaluated({"split": job.evaluate, "accuracy": 0.5 + job.seed % 100 / 1000, "loss": 1.0, "n": 9})
    return "done"


def workers(
    bench: Bench, plans: Sequence[Plan], sandbox: Any, *, owner: Owner | None = None, tracker: Any = None
) -> list[Worker]:
    """Make or resume the studies of `plans`: a worker for each, which knows where the test images are."""
    return [
        Worker(
            ledger, plan.data, tracker or NullTracker(), Place(plan.folder, "here"), owner or Owner.me("me"), sandbox,
            threading.Event(),
        )
        for plan, ledger in zip(plans, open_suite(bench, plans), strict=True)
    ]  # fmt: skip


def run_all(bench: Bench, train: Train, *, tracker: Any = None) -> Sandbox:
    """Run a suite to its end, as `gridless bench` does."""
    sandbox = Sandbox(train)
    for plans in (bench.first_plans, bench.final_plans):
        if todo := plans():
            serve(workers(bench, todo, sandbox, tracker=tracker), threading.Event())
    return sandbox
