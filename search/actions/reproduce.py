"""Trains a stored trial again, from its record alone, and compares. Stores nothing."""

import importlib.util
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from search.actions.recorded_trial import Recorded
from search.analysis.reproduction import (
    Change,
    Compared,
    Reproduction,
    changes,
    compare,
    compare_epoch,
)
from search.datasets import load
from search.datasets.split import Prepared, prepare
from search.errors import InputError, StudyError
from search.paths import cache, check_home
from search.records import Ending, Epoch, Evaluation, State, TrialRecord
from search.secret import without_secrets
from search.strategies.protocol import Decision
from search.study.environment import backend, environment
from search.user_code import user_code
from search.worker.data import model_problem
from search.worker.engines.devices import Crew, environment_for, plan_crew
from search.worker.engines.gpu_locks import claim_crew
from search.worker.segment import crash_reason, limit_reason
from search.worker.trial.job_for import job_for
from search.worker.trial.messages import Built, Ended, EpochDone, Evaluated, Measured, Started
from search.worker.trial.sandbox import CrashedError, Sandbox, Segment
from search.worker.trial_files import log_tail

Show = Callable[[Compared], None]
"""Told of every recorded epoch as it has been trained again."""
_POLL_S = 0.2


@dataclass(frozen=True)
class Reproduced:
    """A trial that was trained again."""

    recorded: Recorded
    again: TrialRecord
    comparison: Reproduction
    changes: tuple[Change, ...]
    """What is not here as it was there."""


def reproduce(
    recorded: Recorded,
    *,
    tolerance: float,
    gpus: str | None = None,
    share_gpus: bool = False,
    show: Show = lambda _epoch: None,
) -> Reproduced:
    """Train a trial again in a process of its own and a folder that is gone afterwards, and
    compare.

    It trains as many epochs as are recorded, on a device like the recorded one if there is one
    here, unless `gpus` says which (as for a worker). `tolerance` is in points
    (`search.analysis.reproduction.points`).

    Raises InputError, with every problem, when this machine lacks the study's data, its model, its
    backend or a free GPU, and StudyError when no trial can be trained here.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise InputError(
            f"tolerance {tolerance}: must be 0 or more points; 0.5 is half a percentage point"
        )
    data = _data(recorded)
    with ExitStack() as stack:
        crew = _crew(recorded, gpus)
        if not share_gpus:
            crew, claims = claim_crew(crew, holder="gridless reproduce")
            stack.callback(claims.close)
        device = crew.devices[0]
        variables = environment_for(device, threads=crew.threads) | {
            "KERAS_BACKEND": _backend(recorded)
        }
        stack.enter_context(
            _environ({"TF_CPP_MIN_LOG_LEVEL": "2"} | without_secrets(os.environ) | variables)
        )
        here = environment(device.name, threads=crew.threads, code=user_code(recorded.spec.model))
        again = _train(recorded, data, tolerance, show)
    comparison = compare(recorded.trial, again, tolerance=tolerance)
    return Reproduced(recorded, again, comparison, changes(recorded.environment, here))


def _data(recorded: Recorded) -> Prepared:
    """The study's data, from its source; what was prepared before is compared by value."""
    spec = recorded.spec
    problems = [
        p for p in (model_problem(spec.model), _backend_problem(recorded), check_home()) if p
    ]
    try:
        images = load(spec.data_source)
    except InputError as error:
        raise InputError([*problems, *error.problems]) from error
    if images.digest != spec.data_digest:
        rule = (
            f"the data of study {spec.name!r} are not on this machine: {spec.data_source} has the"
            " digest"
        )
        problems.append(
            f"{rule} {images.digest} here and had {spec.data_digest} there; copy that data over"
        )
    if problems:
        raise InputError(problems)
    return prepare(
        images, seed=spec.seed, validation_fraction=spec.validation_fraction, cache=cache()
    )


def _backend(recorded: Recorded) -> str:
    """The recorded backend, unless the user named one."""
    return os.environ.get("KERAS_BACKEND") or recorded.environment.get("backend") or backend()


def _backend_problem(recorded: Recorded) -> str | None:
    if importlib.util.find_spec(name := _backend(recorded)):
        return None
    return (
        f"backend {name}: it is not installed here; install it, or choose another by KERAS_BACKEND"
    )


def _crew(recorded: Recorded, gpus: str | None) -> Crew:
    """One worker on the recorded device, or on one of its kind."""
    on_gpu = recorded.trial.peak_device_mb is not None
    threads = int(recorded.environment["threads"])
    crew = plan_crew(gpus=gpus or ("all" if on_gpu else "none"), workers=1, threads=threads)
    same = [device for device in crew.pool if device.name == recorded.environment.get("device")]
    return crew.limited_to(same) if same and gpus is None else crew


@contextmanager
def _environ(variables: Mapping[str, str]) -> Iterator[None]:
    """These environment variables only: the process that forks trials inherits them."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _train(recorded: Recorded, data: Prepared, tolerance: float, show: Show) -> TrialRecord:
    with tempfile.TemporaryDirectory(dir=cache(), prefix="reproduce-") as name:
        folder = Path(name)
        job = job_for(
            recorded.spec,
            data,
            recorded.trial,
            checkpoint=str(folder / "checkpoint.npz"),
            evidence=str(folder / "evidence"),
            cache=str(cache()),
        )
        log = folder / "log"
        with _stderr_to(log):
            segment = Sandbox().start(job, log)
        again = _Listener(recorded, tolerance, show).run(segment)
        return replace(again, log_tail=log_tail(log))


@contextmanager
def _stderr_to(log: Path) -> Iterator[None]:
    """Append stderr to `log`: the process that forks trials inherits it."""
    sys.stderr.flush()
    kept, file = os.dup(2), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(file)


class _Listener:
    """Listens to the process that trains again, and ends it where the record ends."""

    def __init__(self, recorded: Recorded, tolerance: float, show: Show) -> None:
        self._then = recorded.trial
        self._tolerance, self._show = tolerance, show
        self._again = TrialRecord(
            self._then.number, State.COMPLETE, self._then.params, seed=self._then.seed
        )
        # Another machine may well be slower: a limit is no part of a trial that did not reach it.
        limit_s = recorded.spec.trial_timeout_s if recorded.trial.state == State.FAIL else None
        self._limit_s = limit_s or math.inf

    def run(self, segment: Segment) -> TrialRecord:
        """The trial as it came out, FAIL or COMPLETE. Raises StudyError if it can't be trained."""
        began = math.inf
        try:
            while True:
                message = segment.receive(_POLL_S)
                if isinstance(message, Ended):
                    return self._ended(message)
                if isinstance(message, Started):
                    began = time.monotonic()
                elif isinstance(message, EpochDone):
                    segment.answer(self._on_epoch(Epoch.of(message.metrics)))
                elif message is not None:
                    self._note(message)
                if time.monotonic() - began > self._limit_s:
                    return self._failed(limit_reason(self._limit_s))
        except CrashedError as error:
            return self._failed(crash_reason(error))
        finally:
            segment.close()

    def _note(self, message: Built | Measured | Evaluated) -> None:
        if isinstance(message, Built):
            self._again = replace(self._again, n_params=message.n_params)
        elif isinstance(message, Evaluated):
            self._again = replace(self._again, evaluation=Evaluation(**message.evaluation))

    def _on_epoch(self, epoch: Epoch) -> str:
        then = self._then
        self._again = replace(self._again, curve=(*self._again.curve, epoch))
        if epoch.step <= then.epochs:
            self._show(compare_epoch(then.curve[epoch.step - 1], epoch, tolerance=self._tolerance))
        if then.evaluation:
            return Decision.GO_ON  # to the end, where it is scored
        # A failure is waited for until the epoch is over that it did not survive.
        n_epochs = then.epochs + 1 if then.state == State.FAIL else then.epochs
        return Decision.GO_ON if epoch.step < n_epochs else Decision.STOP

    def _ended(self, message: Ended) -> TrialRecord:
        if message.ending == Ending.HALT:
            raise StudyError(message.reason)
        return self._failed(message.reason) if message.ending == Ending.FAIL else self._again

    def _failed(self, reason: str) -> TrialRecord:
        return replace(self._again, state=State.FAIL, reason=reason)
