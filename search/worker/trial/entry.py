"""Where a trial's process begins: light to import, as its worker loads no framework."""

import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection

from search.processes import stay_kept
from search.registry import become_users
from search.training.job import Job
from search.worker.trial.messages import WorkerPipe
from search.worker.trial.oom import volunteer


def run(job: Job, log: str, pipe: Connection, lifeline: Connection) -> None:
    """Train `job` as `search.worker.trial.child.main` does; end at once when `lifeline` closes."""
    settle_in(lifeline)
    become_users()
    from search.worker.trial import (  # noqa: PLC0415  loads Keras, which the fork server already has
        child,
    )

    child.main(job, WorkerPipe(pipe), log)


def settle_in(lifeline: Connection) -> None:
    """Become a process that its worker alone stops, together with all that it starts."""
    stay_kept(lifeline)
    os.setpgid(0, 0)  # what it starts is not interrupted from a terminal, either
    # Whoever stops a machine or a container signals every process: the worker gives the trial back
    # in good order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _deaf(os.getpid()))
    volunteer()


def _deaf(trial: int) -> Callable[[int, object], None]:
    """A handler of SIGTERM that spares the process `trial` and ends those that it forked."""

    def handle(number: int, _frame: object) -> None:
        if os.getpid() != trial:
            os._exit(128 + number)

    return handle
