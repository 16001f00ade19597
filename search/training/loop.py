"""A program's own training loop, `train(trial)`: what it is told, and what it tells."""

import contextlib
import logging
import math
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from search.artifacts import reading, whole
from search.errors import TrialError
from search.objectives import objective_of
from search.pickled import source_of
from search.records import Ending
from search.strategies.protocol import Decision
from search.training.job import Job

logger = logging.getLogger(__name__)
OnEpoch = Callable[[int, Mapping[str, Any]], Decision]
_UNKNOWN = {"loss": math.nan, "lr": math.nan}


class Trial:
    """What a loop sees of the trial that it trains."""

    def __init__(self, job: Job, on_epoch: OnEpoch) -> None:
        self.params = dict(job.params)
        """The setting."""
        self.seed = job.seed
        self.number = job.number
        """From 0."""
        self.folder = job.evidence
        """For what is to be kept of the study's trials, a path or a store's URL."""
        self._job, self._on_epoch = job, on_epoch
        self._objective = objective_of(job.objective)
        self._history: list[dict[str, Any]] = []
        self._state: Any = None
        self._decision = Decision.GO_ON
        self._began = time.perf_counter()
        self._restore()

    @property
    def ending(self) -> Ending:
        """How the segment ended, once the loop has returned.

        Raises TrialError where it has reported nothing.
        """
        if not self._history:
            raise TrialError(f"the loop reported no step; report {self._objective.key} of each")
        return Ending.DONE if self._decision is Decision.GO_ON else Ending(self._decision)

    def steps(self, total: int) -> Iterator[int]:
        """The steps that are left of `total`, from 1; they end early where the trial is paused or
        stopped.
        """
        for step in range(len(self._history) + 1, total + 1):
            if self._decision is not Decision.GO_ON:
                return
            yield step

    def report(self, step: int, **metrics: float) -> None:
        """Tell what was measured after `step`. What `save` was given before belongs to it.

        Raises TrialError for a step out of order, without the objective, or with a NaN of it.
        """
        if step != len(self._history) + 1:
            raise TrialError(f"step {step} was reported after step {len(self._history)}")
        key = self._objective.key
        value = metrics.get(key, metrics.get(self._objective.name))
        if value is None:
            names = ", ".join(metrics) or "nothing"
            raise TrialError(f"step {step} has no {self._objective.name}, but {names}")
        if math.isnan(value):
            raise TrialError(f"{self._objective.name} is NaN after step {step}")
        now = time.perf_counter()
        values = {**_UNKNOWN, **{n: float(v) for n, v in metrics.items()}, key: float(value)}
        times = {"seconds": now - self._began, "at": time.time()}
        self._history.append({**values, "step": step, **times})
        self._began = now
        if self._state is not None:
            self._keep()
        self._decision = self._on_epoch(step, self._history[-1])

    def save(self, state: Any) -> None:
        """Keep `state` with the next report: bytes, arrays, or whatever can be pickled."""
        self._state = state

    def restore(self) -> Any:
        """The state that was kept last; None at the beginning."""
        return self._state

    def _restore(self) -> None:
        with contextlib.suppress(FileNotFoundError), reading(self._job.checkpoint) as file:
            kept = pickle.load(file)  # noqa: S301  # our own
            if kept["job"] == self._job.fingerprint("loop"):
                self._history, self._state = kept["history"], kept["state"]
        for metrics in self._history:
            self._decision = self._on_epoch(metrics["step"], metrics)

    def _keep(self) -> None:
        kept = {"job": self._job.fingerprint("loop"), "history": self._history}
        try:
            with whole(self._job.checkpoint) as file:
                pickle.dump({**kept, "state": self._state}, file)
        except (ConnectionError, TimeoutError) as error:  # the last state leads to the same
            logger.warning("step %d could not be kept: %s", len(self._history), error)


def train_loop(job: Job, on_epoch: OnEpoch) -> Ending:
    """Run the loop of `job` from where it was stopped; DONE, or PAUSE or STOP as `on_epoch` said.

    Raises what the loop raises.
    """
    trial = Trial(job, on_epoch)
    source_of(job.model)(trial)
    return trial.ending
