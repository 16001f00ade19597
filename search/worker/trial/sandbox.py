"""Each trial in a process of its own, forked from a server that has the framework loaded.

A crash, a leak or an out-of-memory kill ends the trial and not the worker, which itself never loads
a framework.
"""

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path

from search.errors import StudyError
from search.processes import end_descendants
from search.training.job import Job
from search.worker.trial.entry import run
from search.worker.trial.messages import Message
from search.worker.trial.oom import count_kills, was_killed

logger = logging.getLogger(__name__)

END_WAIT_S = 2.0
"""How long the end of a process that ended by itself may take to be told."""
CLOSE_WAIT_S = 6.0
"""How long a process's keeper may take to end all, and then the kernel to end the keeper."""
MAX_STARTS = 5
RESTART_WAIT_S = 0.2
_SERVER_LOST = 255
"""The exit code that multiprocessing gives when the fork server, which knows it, has died."""

Main = Callable[[Job, Connection, Connection, str], None]


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

    def __init__(self, context: ForkServerContext, job: Job, log: Path, main: Main) -> None:
        self._kills_before = count_kills()
        self._pipe, their_pipe = context.Pipe(duplex=True)
        their_end, self._lifeline = context.Pipe(duplex=False)
        self._process = context.Process(
            target=main, args=(job, their_pipe, their_end, str(log)), daemon=True
        )
        try:
            self._process.start()
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
            raise CrashedError(None if code == _SERVER_LOST else code, killed) from error
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
        self._process.join(wait_s)
        if self._process.is_alive() and self._process.pid is not None:  # its keeper is stopped
            end_descendants(self._process.pid)
            self._process.kill()
            self._process.join(wait_s)
        if self._process.is_alive():
            logger.warning(
                "process %s of a trial does not end: a driver may hold on to it", self._process.pid
            )
        else:
            self._process.close()


class Sandbox:
    """Starts trial processes. The fork server loads the framework once, in a process without
    threads or devices.

    Device numbers and thread counts must be in os.environ before the first call: the server
    inherits them.
    """

    def __init__(
        self, main: Main = run, preload: Sequence[str] = ("search.worker.trial.preload",)
    ) -> None:
        self._main = main
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))

    def warm_up(self) -> threading.Event:
        """Start loading the framework; the event is set once trials need not wait for it."""
        warm = threading.Event()
        threading.Thread(target=self._try, args=(warm,), daemon=True).start()
        return warm

    def _try(self, warm: threading.Event) -> None:
        try:
            process = self._context.Process(target=os.getpid, daemon=True)
            process.start()
            process.join()
        except (EOFError, OSError):
            logger.warning("the fork server died while it loaded")  # the first trial starts another
        warm.set()

    def start(self, job: Job, log: Path) -> Segment:
        """A process that trains `job` and writes its output to `log`.

        Raises StudyError when the fork server dies again and again.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return Segment(self._context, job, log, self._main)
            except (EOFError, ConnectionError) as error:
                # The server was killed while it was asked; multiprocessing starts another for the
                # next question.
                logger.warning("the fork server died, attempt %d of %d", attempt, MAX_STARTS)
                if attempt == MAX_STARTS:
                    raise StudyError(
                        "trials can't be started: their fork server dies again and again"
                    ) from error
                time.sleep(RESTART_WAIT_S)
