"""Each trial in a process of its own, forked from a server that has the framework loaded.

A crash, a leak or an out-of-memory kill ends the trial and not the worker, which itself never loads
a framework.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from search.errors import StudyError
from search.fork_server import fork
from search.processes import end_descendants
from search.training.job import Job
from search.training.model_process import PRELOAD
from search.worker.trial.entry import run
from search.worker.trial.messages import Message
from search.worker.trial.oom import count_kills, was_killed

logger = logging.getLogger(__name__)

END_WAIT_S = 2.0
"""How long the end of a process that ended by itself may take to be told."""
CLOSE_WAIT_S = 6.0
"""How long a process's keeper may take to end all, and then the kernel to end the keeper."""

Main = Callable[[Job, str, Connection, Connection], None]
"""What a trial's process does, given its job, its log, its pipe and its lifeline."""


class CrashedError(Exception):
    """The trial's process ended without a word. `exitcode` is negative for a signal, None if
    unknown.

    `out_of_memory` tells that the kernel's out-of-memory killer took it.
    """

    def __init__(self, exitcode: int | None, out_of_memory: bool = False) -> None:
        self.exitcode = exitcode
        self.out_of_memory = out_of_memory
        super().__init__(f"exit code {exitcode}")


class Segment:
    """A running trial process."""

    def __init__(self, job: Job, log: Path, main: Main, preload: Sequence[str]) -> None:
        self._kills_before = count_kills()
        self._pipe, their_pipe = Pipe()
        their_end, self._lifeline = Pipe(duplex=False)
        try:
            theirs = (their_pipe, their_end)
            self._process = fork(main, (job, str(log)), theirs, preload=preload)
        except BaseException:
            self._pipe.close()
            self._lifeline.close()
            raise
        finally:
            their_pipe.close()
            their_end.close()

    def receive(self, wait_s: float) -> Message | None:
        """The next message, or None after `wait_s` seconds without one.

        Raises CrashedError when the process is gone.
        """
        try:
            if not self._pipe.poll(wait_s):
                return None
            message: Message = self._pipe.recv()
        except (EOFError, ConnectionError) as error:
            self._process.join(END_WAIT_S)
            code = self._process.exitcode
            killed = was_killed(code, self._kills_before, count_kills())
            raise CrashedError(code, killed) from error
        return message

    def answer(self, decision: str) -> None:
        """Answer an EpochDone. A process that is gone shows at the next `receive`."""
        try:
            self._pipe.send(decision)
        except ConnectionError:
            return

    def close(self, wait_s: float = CLOSE_WAIT_S) -> None:
        """End the process, with all that it started, and free what it held."""
        self._lifeline.close()
        self._pipe.close()
        if not self._process.join(wait_s):  # its keeper is stopped
            end_descendants(self._process.pid)
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
        if not self._process.join(wait_s):
            logger.warning(
                "process %s of a trial does not end: a driver may hold on to it", self._process.pid
            )


class Sandbox:
    """Starts trial processes. The fork server loads the framework once, in a process without
    threads or devices.

    Device numbers and thread counts must be in os.environ before the first call: the server
    inherits them.
    """

    def __init__(self, main: Main = run, preload: Sequence[str] = PRELOAD) -> None:
        self._main, self._preload = main, preload

    def warm_up(self) -> threading.Event:
        """Start loading the framework; the event is set once trials need not wait for it."""
        warm = threading.Event()
        threading.Thread(target=self._try, args=(warm,), daemon=True).start()
        return warm

    def _try(self, warm: threading.Event) -> None:
        try:
            fork(os.getpid, preload=self._preload).join(None)
        except StudyError as error:
            logger.warning("%s", error)  # the first trial starts another server
        warm.set()

    def start(self, job: Job, log: Path) -> Segment:
        """A process that trains `job` and writes its output to `log`.

        Raises StudyError when the fork server dies again and again.
        """
        return Segment(job, log, self._main, self._preload)
