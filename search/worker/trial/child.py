"""What a trial's own process does: trains, reports through a pipe, and says how it ended."""

import errno
import os
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

# Under JAX, too: Keras' seeding loads it, and every trial's process would again if the fork server
# had not.
from search.errors import StudyError, TrialError, UnfitError
from search.failure_reason import reason_of
from search.records import Ending
from search.strategies.protocol import Decision
from search.text import cut, visible
from search.training.job import Job
from search.training.memory import limit_device_memory, out_of_memory, peak_memory
from search.training.trainer import train
from search.worker.trial.messages import (
    Built,
    Ended,
    EpochDone,
    Evaluated,
    Measured,
    Started,
    WorkerPipe,
)

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
_DISK_FULL_SIGNS = ("No space left on device", "Disk quota exceeded")
"""HDF5 and TensorFlow tell of it in words only."""
_DISK_FAULTS = {errno.EROFS, errno.EIO}


def main(job: Job, worker: WorkerPipe, log: str) -> None:
    """Train `job`, reporting to `worker`; output goes to the file `log`."""
    ended = _train(job, worker, log)
    # Before the word is out: after it, the worker may end this process at any moment. The log's
    # disk may be full.
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    worker.send(ended)


def as_failure(error: BaseException) -> Ended:
    """What to tell a worker of an `error` that ended the training."""
    match error:
        case UnfitError():
            return Ended(Ending.UNFIT, error.reason)
        case TrialError():
            return Ended(Ending.FAIL, error.reason, untrainable=True)
        case StudyError():
            return Ended(Ending.HALT, str(error))
    fault = _disk_failure(error) or _store_failure(error) or _memory_failure(error)
    return fault or Ended(Ending.FAIL, reason_of(error))


def _train(job: Job, worker: WorkerPipe, log: str) -> Ended:
    built = False

    def on_built(n_params: int) -> None:
        nonlocal built
        built = True
        worker.send(Built(n_params))

    def on_epoch(_step: int, metrics: Mapping[str, Any]) -> Decision:
        worker.send(EpochDone(dict(metrics), peak_memory()))
        return worker.hear()

    try:
        _redirect_output(log)
        limit_device_memory()
        worker.send(Started())
        ending = train(
            job,
            on_built=on_built,
            on_epoch=on_epoch,
            on_measured=lambda facts: worker.send(Measured(facts)),
            on_evaluated=lambda scores: worker.send(Evaluated(scores)),
        )
        return Ended(ending, memory=peak_memory())
    except (
        BaseException
    ) as error:  # whatever a user's builder raises ends this trial with that reason
        with suppress(OSError):
            traceback.print_exc()
        ended = as_failure(error)
        return replace(ended, reason=cut(visible(ended.reason)), memory=peak_memory(device=built))


def _disk_failure(error: BaseException) -> Ended | None:
    number = error.errno if isinstance(error, OSError) else None
    if number in _DISK_FAULTS:
        return Ended(Ending.HALT, f"the disk refused: {error}")
    if number in _DISK_FULL or any(sign in str(error) for sign in _DISK_FULL_SIGNS):
        return Ended(Ending.FAIL, f"the disk is full: {error}"[:300], disk_full=True)
    return None


def _store_failure(error: BaseException) -> Ended | None:
    if isinstance(error, ConnectionError | TimeoutError):
        return Ended(Ending.HALT, f"the store of checkpoints can't be reached: {error}"[:300])
    return None


def _memory_failure(error: BaseException) -> Ended | None:
    reason = out_of_memory(error)
    return Ended(Ending.FAIL, reason, untrainable=True) if reason else None


def _redirect_output(log: str) -> None:
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
