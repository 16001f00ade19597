"""What runs in a trial's own process. It knows its worker only by two pipes, and ends when they close."""

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from search.errors import InputError, StudyError, TrialError
from search.training.job import Job
from search.training.trainer import train
from search.worker.messages import Built, Ended, EpochDone, Evaluated, Started

OUT_OF_MEMORY = "out of memory"
_MEMORY_SIGNS = ("RESOURCE_EXHAUSTED", "ResourceExhausted", "out of memory", "OOM when allocating")

_DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


def main(job: Job, pipe: Connection, lifeline: Connection, log: str) -> None:
    """Train `job`, reporting through `pipe`; output goes to the file `log`. Ends at once when `lifeline` closes."""
    _redirect_output(log)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with, args=(lifeline,), daemon=True).start()

    def on_epoch(_step: int, metrics: Mapping[str, Any]) -> str:
        pipe.send(EpochDone(dict(metrics)))
        answer: str = pipe.recv()
        return answer

    try:
        pipe.send(Started())
        how = train(
            job,
            on_built=lambda n_params: pipe.send(Built(n_params)),
            on_epoch=on_epoch,
            on_evaluated=lambda found: pipe.send(Evaluated(found)),
        )
        pipe.send(Ended(how))
    except (EOFError, BrokenPipeError):
        os._exit(1)
    except TrialError as error:
        traceback.print_exc()
        pipe.send(Ended("fail", error.reason, untrainable=True))
    except InputError as error:
        traceback.print_exc()
        pipe.send(Ended("fail", str(error)))
    except StudyError as error:
        traceback.print_exc()
        pipe.send(Ended("halt", str(error)))
    except Exception as error:  # whatever a user's builder raises ends this trial with that reason
        traceback.print_exc()
        pipe.send(_as_failure(error))
    sys.stdout.flush()
    sys.stderr.flush()


def _as_failure(error: Exception) -> Ended:
    text = f"{type(error).__name__}: {error}".strip()
    if isinstance(error, OSError) and error.errno in _DISK_FAULTS:
        return Ended("halt", f"the disk refused: {error}")
    if isinstance(error, MemoryError) or any(sign in text for sign in _MEMORY_SIGNS):
        return Ended("fail", OUT_OF_MEMORY, untrainable=True)
    return Ended("fail", text.splitlines()[0][:300])


def _redirect_output(log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _die_with(lifeline: Connection) -> None:
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(1)
