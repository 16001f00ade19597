"""How a worker lives with a database that is away: it tries again, and judges nobody."""

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from search.errors import RetryLaterError, StudyError
from search.retry_limits import database_wait_s, grace_s
from search.worker.pace import Pace

logger = logging.getLogger(__name__)
T = TypeVar("T")

_CLOCK_JUMP_S = 5.0


class Outages:
    """One per worker process; its threads share it."""

    def __init__(
        self,
        stop: threading.Event,
        *,
        give_up_s: float | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.stop = stop
        self.pace = pace or Pace()
        self._give_up_s = database_wait_s() if give_up_s is None else give_up_s
        self._offset = time.time() - time.monotonic()
        self._judge_from = time.monotonic() + grace_s()
        self._beaten = time.monotonic()

    def note_beat(self) -> None:
        """The database confirmed this worker's own heartbeat just now."""
        self._check_beat()
        self._beaten = time.monotonic()

    def _check_beat(self) -> None:
        """A database that hangs raises no error, but lets this worker beat no more than others."""
        if time.monotonic() - self._beaten > grace_s() * 2 / 3:
            self.note_outage()

    def call(self, function: Callable[[], T]) -> T:
        """`function()`, called again while the database is away, with growing pauses.

        Raises StudyError when it stays away, or when a stop is asked for meanwhile.
        """
        deadline = time.monotonic() + self._give_up_s
        pause = self.pace.first_retry
        while True:
            try:
                return function()
            except RetryLaterError as error:
                self.note_outage()
                if time.monotonic() > deadline or self.stop.is_set():
                    raise StudyError(f"the storage stayed out of reach: {error}") from error
                logger.warning(
                    "the storage is out of reach, trying again in %.1f s: %s", pause, error
                )
                self.stop.wait(pause)
                pause = min(pause * 2, self.pace.longest_retry)

    def note_outage(self) -> None:
        """The database was out of reach just now."""
        self._judge_from = time.monotonic() + grace_s()

    @property
    def grace_s(self) -> float:
        """For how many seconds another worker may be silent before this one takes it for lost.

        While the database was away, or the whole machine slept, nobody could beat; so after that,
        and when this worker has only just begun to look, everybody is spared for one grace period.
        """
        offset = time.time() - time.monotonic()
        if abs(offset - self._offset) > _CLOCK_JUMP_S:
            self._offset = offset
            self.note_outage()
        self._check_beat()
        return grace_s() if time.monotonic() >= self._judge_from else math.inf
