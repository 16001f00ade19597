"""Trials that take simulated time: what a trial's process would tell, read off a learning curve."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from search.lab.simulation.clock import Clock
from search.lab.simulation.surrogate import Curve, Surrogate
from search.records import Ending
from search.strategies import Decision
from search.training.job import Job
from search.worker.trial.messages import Ended, EpochDone, Message, Started


class WorkerLostError(Exception):
    """The worker is gone, with its trial's process."""


@dataclass
class Meter:
    """What all workers have spent, and what has come of it."""

    max_epochs: int
    """The epochs of a full training."""
    limit: int
    """The epochs that the budget pays for."""
    n_epochs: int = 0
    improvements: list[tuple[float, float]] = field(default_factory=list)
    """(full trainings spent, best validation accuracy from then on), within the budget."""

    def spend(self, value: float | None = None) -> None:
        """Count an epoch that has ended, with its accuracy; None for one that is lost."""
        self.n_epochs += 1
        if value is None or self.n_epochs > self.limit:
            return
        if not self.improvements or value > self.improvements[-1][1]:
            self.improvements.append((self.n_epochs / self.max_epochs, value))


class SurrogateSandbox:
    """Starts trials that train nothing. One serves all workers of a study."""

    def __init__(
        self,
        surrogate: Surrogate,
        task: str,
        clock: Clock,
        meter: Meter,
        *,
        lose: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._surrogate, self._task, self._clock, self._meter = surrogate, task, clock, meter
        self._lose = lose
        self._seed = seed
        self._trained: dict[int, int] = {}
        """The epochs that each trial's checkpoint holds."""
        self._n_started: dict[int, int] = {}

    def start(self, job: Job, _log: Path) -> "SurrogateSegment":
        """Begin a trial, or go on with it from its last epoch."""
        curve = self._surrogate.curve(self._task, job.params)[: job.last_epoch]
        done = self._trained.get(job.number, 0)
        lost_in = self._doom(job.number, done, len(curve))
        return SurrogateSegment(self, job.number, curve, done, lost_in)

    def _doom(self, number: int, done: int, last: int) -> int | None:
        """The epoch in which the segment's worker is lost, if it comes so far; None if it isn't."""
        self._n_started[number] = nth = self._n_started.get(number, 0) + 1
        if not self._lose or done >= last:
            return None
        chance = np.random.default_rng([self._seed, number, nth])
        return int(chance.integers(done, last)) + 1 if chance.random() < self._lose else None

    def train(self, number: int, curve: Curve, step: int) -> EpochDone:
        """Let an epoch take its time, and keep it in the checkpoint."""
        epoch = curve[step - 1]
        self._clock.sleep(epoch.seconds)
        self._meter.spend(epoch.val_accuracy)
        self._trained[number] = step
        return EpochDone({**epoch.report, "at": self._clock.now})

    def lose(self, curve: Curve, step: int) -> None:
        """Spend an epoch of which nothing is left. Raises WorkerLostError."""
        self._clock.sleep(curve[step - 1].seconds)
        self._meter.spend()
        raise WorkerLostError


class SurrogateSegment:
    """A trial's process, as its worker sees it."""

    def __init__(
        self, sandbox: SurrogateSandbox, number: int, curve: Curve, done: int, lost_in: int | None
    ) -> None:
        self._sandbox = sandbox
        self._number = number
        self._curve = curve
        self._done = done
        self._lost_in = lost_in
        self._stream = self._messages()
        self._ending = Ending.DONE

    def receive(self, _wait_s: float) -> Message:
        """The next message. Raises WorkerLostError where the worker is to be lost."""
        return next(self._stream)

    def answer(self, decision: Decision) -> None:
        """Go on, pause or stop."""
        if decision != Decision.GO_ON:
            self._ending = Ending(decision)

    def close(self) -> None:
        """Nothing to end."""

    def _messages(self) -> Iterator[Message]:
        yield Started()
        for step in range(1, len(self._curve) + 1):
            if step == self._lost_in:
                self._sandbox.lose(self._curve, step)
            if step <= self._done:  # told again, as a real trial tells what its checkpoint holds
                yield EpochDone(self._curve[step - 1].report)
            else:
                yield self._sandbox.train(self._number, self._curve, step)
            if self._ending != Ending.DONE:
                break
        yield Ended(self._ending)
