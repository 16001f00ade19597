"""When what ended is started again: a few times in a row, after longer and longer pauses."""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from search.retry_limits import worker_restarts
from search.worker.engines.work_order import HOPELESS

RESTED_S = 20.0
"""What lived for so long may be started again as often as before."""
LONGEST_PAUSE_S = 30.0
_DOUBLINGS = 10
"""The pause is the longest by then, and Python has no number for 2.0**1024."""


@dataclass
class Restarts:
    """How often in a row something was started again, and when it may be once more."""

    most: int | None = field(default_factory=worker_restarts)
    """None: for ever, as a service should."""
    n: int = 0
    _began: float = 0.0
    _alive: float = 0.0
    """When it was last seen alive."""

    def begin(self) -> None:
        """Note that it is started."""
        self._began = self._alive = time.monotonic()

    def live(self) -> None:
        """Note that it lives."""
        self._alive = time.monotonic()
        if self._alive - self._began > RESTED_S:
            self.n = 0

    def again(self) -> None:
        """Note that it is started again, or that this was tried."""
        self.n += 1
        self.begin()

    @property
    def are_spent(self) -> bool:
        """Whether it is to be started no more."""
        return self.most is not None and self.n >= self.most

    @property
    def pause_s(self) -> float:
        """How long it has to stay dead before it is started again."""
        return min(2.0 ** min(self.n, _DOUBLINGS), LONGEST_PAUSE_S)

    @property
    def are_due(self) -> bool:
        """Whether it may be started again by now."""
        return not self.are_spent and time.monotonic() - self._alive >= self.pause_s


@dataclass
class Kept:
    """A process that is started again when it ends; it ends when its stdin closes."""

    restarts: Restarts = field(default_factory=Restarts)
    process: subprocess.Popen[bytes] | None = None

    def check(self, start: Callable[[], subprocess.Popen[bytes]]) -> bool:
        """Start it, or start it again once that is due; whether it was started now.

        Raises what `start` does, but for an OSError when it is started again: a full disk, too many
        processes, which is tried again as if it had died at once.
        """
        if self.process is None:
            self.restarts.begin()
            self.process = start()
            return True
        if self.process.poll() is None:
            self.restarts.live()
        elif self.restarts.are_due:
            self.restarts.again()
            self.close()
            with suppress(OSError):
                self.process = start()
                return True
        return False

    @property
    def code(self) -> int | None:
        """A worker's exit code once it is not to be started again; None before."""
        code = self.process.poll() if self.process else None
        is_last = self.restarts.most is not None and (
            code in {0, HOPELESS} or self.restarts.are_spent
        )
        return code if is_last else None

    def close(self) -> None:
        """Close its stdin; if it has ended, its stdout, too."""
        if self.process and self.process.stdin:
            with suppress(BrokenPipeError):
                self.process.stdin.close()
        if self.process and self.process.stdout and self.process.poll() is not None:
            self.process.stdout.close()
