"""The thread by which a worker says that it lives, and knows when silence means that another is lost."""

import logging
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from search.errors import ClaimLostError, GridlessError, RetryLaterError
from search.study.ledger import GRACE_S, HEARTBEAT_S, Claim, Ledger

logger = logging.getLogger(__name__)


class Heartbeat:
    """Beats for the claim being worked on, every HEARTBEAT_S seconds, through outages."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._claim: Claim | None = None
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._judge_from = time.monotonic() + GRACE_S
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    @contextmanager
    def watching(self, claim: Claim) -> Iterator[None]:
        """Beat for `claim` inside the block."""
        with self._lock:
            self._claim = claim
        try:
            yield
        finally:
            with self._lock:
                self._claim = None

    @property
    def grace_s(self) -> float:
        """For how many seconds another worker may be silent before it is taken for lost.

        While the database was away nobody could beat, so after it came back, and when this worker has only just
        begun to look, everybody is spared for one grace period.
        """
        return GRACE_S if time.monotonic() >= self._judge_from else math.inf

    def note_outage(self) -> None:
        """The database was out of reach just now."""
        self._judge_from = time.monotonic() + GRACE_S

    def _beat(self) -> None:
        while not self._end.wait(HEARTBEAT_S):
            with self._lock:
                claim = self._claim
            if claim is None:
                continue
            try:
                self._ledger.beat(claim)
            except RetryLaterError as error:
                self.note_outage()
                logger.warning("no heartbeat: %s", error)
            except ClaimLostError:
                continue  # the next report of the trial finds out and drops it
            except GridlessError:
                logger.exception("no heartbeat")
