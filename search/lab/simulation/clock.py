"""Simulated time that several threads share, of which exactly one runs at any moment."""

import heapq
import itertools
import threading
from collections.abc import Callable, Sequence


class _StoppedError(BaseException):
    """Another thread failed: this one ends where it stands."""


class Clock:
    """Wakes threads in the order of their times, one at a time; of equal times, whoever went to
    sleep first.

    What the threads do is therefore the same each time, however the machine schedules them.
    """

    def __init__(self) -> None:
        self.now = 0.0
        """Simulated seconds since the start."""
        self._sleepers: list[tuple[float, int, threading.Lock]] = []
        self._waiting: list[threading.Lock] = []
        self._numbers = itertools.count()
        self._error: BaseException | None = None

    def run(self, threads: Sequence[Callable[[], None]]) -> None:
        """Run these at the same time until all have ended.

        Raises what the first of them to fail has raised; the others end then where they are.
        """
        waiting = []
        for work in threads:
            gate = self._lie_down(0.0, _closed())
            waiting.append(threading.Thread(target=self._live, args=(work, gate), daemon=True))
        for thread in waiting:
            thread.start()
        self._wake_next()
        for thread in waiting:
            thread.join()
        if self._error is not None:
            raise self._error

    def sleep(self, seconds: float) -> None:
        """Let `seconds` (0 or more) pass while others work. For threads that `run` started."""
        until = self.now + seconds
        if not self._sleepers or until < self._sleepers[0][0]:
            self.now = until
            return
        self._change_over(self._lie_down(until, _closed()))

    def wait(self) -> bool:
        """Sleep until `notify`; False at once if nobody else is awake or will be."""
        if not self._sleepers:
            return False
        gate = _closed()
        self._waiting.append(gate)
        self._change_over(gate)
        return True

    def notify(self) -> None:
        """Wake all that `wait`, after whoever is to wake now."""
        for gate in self._waiting:
            self._lie_down(self.now, gate)
        self._waiting.clear()

    def _lie_down(self, until: float, gate: threading.Lock) -> threading.Lock:
        heapq.heappush(self._sleepers, (until, next(self._numbers), gate))
        return gate

    def _change_over(self, gate: threading.Lock) -> None:
        self._wake_next()
        gate.acquire()
        if self._error is not None:
            raise _StoppedError

    def _wake_next(self) -> None:
        if self._sleepers:
            self.now, _, gate = heapq.heappop(self._sleepers)
            gate.release()

    def _live(self, work: Callable[[], None], gate: threading.Lock) -> None:
        gate.acquire()
        try:
            if self._error is None:
                work()
        except _StoppedError:
            return
        except BaseException as error:  # raised again by the thread that waits for all
            self._error = self._error or error
        finally:
            self.notify()
            self._wake_next()


def _closed() -> threading.Lock:
    gate = threading.Lock()
    gate.acquire()
    return gate
