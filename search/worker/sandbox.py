"""Each trial in a process of its own, forked from a server that has the framework loaded.

A crash, a leak or an out-of-memory kill ends the trial and not the worker, which itself never loads a framework.
"""

import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path

from search.training.job import Job
from search.worker.entry import run
from search.worker.messages import Message

END_WAIT_S = 10.0


class CrashedError(Exception):
    """The trial's process ended without a word. `exitcode` is negative for a signal, None if unknown."""

    def __init__(self, exitcode: int | None) -> None:
        self.exitcode = exitcode
        super().__init__(f"exit code {exitcode}")


class Segment:
    """A running trial process."""

    def __init__(self, context: ForkServerContext, job: Job, log: Path) -> None:
        self._pipe, their_pipe = context.Pipe(duplex=True)
        their_end, self._lifeline = context.Pipe(duplex=False)
        self._process = context.Process(target=run, args=(job, their_pipe, their_end, str(log)), daemon=True)
        self._process.start()
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
            raise CrashedError(self._process.exitcode) from error
        return message

    def answer(self, decision: str) -> None:
        """Answer an EpochDone. A process that is gone shows at the next `receive`."""
        try:
            self._pipe.send(decision)
        except ConnectionError:
            return

    def close(self) -> None:
        """End the process, if it still runs, and free what it held."""
        self._lifeline.close()
        self._pipe.close()
        self._process.join(END_WAIT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self.close()


class Sandbox:
    """Starts trial processes. The fork server loads the framework once, in a process without threads or devices.

    Device numbers and thread counts must be in os.environ before the first call: the server inherits them.
    """

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["search.worker.child"])

    def warm_up(self) -> None:
        """Start loading the framework, without waiting for it."""
        forkserver.ensure_running()

    def start(self, job: Job, log: Path) -> Segment:
        """A process that trains `job` and writes its output to `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        return Segment(self._context, job, log)
