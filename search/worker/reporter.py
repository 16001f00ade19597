"""Carries what a trial reports to the storage, so that training never waits for it."""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from search.errors import GridlessError, RetryLaterError, StudyError
from search.records import Epoch
from search.retry_limits import grace_s
from search.study.storage.claim import Claim
from search.study.storage.ledger import Ledger
from search.study.storage.queue import QueueState
from search.worker.outages import Outages

logger = logging.getLogger(__name__)


@dataclass
class Unsent:
    """What has not reached the storage yet."""

    epochs: list[Epoch] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.epochs or self.facts)


class Reporter:
    """Sends one claim's reports and beats, and brings back its study's state. A context manager."""

    def __init__(self, ledger: Ledger, claim: Claim, outages: Outages) -> None:
        self._ledger = ledger
        self._claim = claim
        self._outages = outages
        self._pace = outages.pace
        self._unsent = Unsent()
        self._changed = threading.Condition()
        self._in_haste = self._ended = self._is_away = False
        self._error: Exception | None = None
        self._state = QueueState.OPEN
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.take()

    def put(self, epoch: Epoch | None = None, facts: Mapping[str, Any] | None = None) -> None:
        """Send an epoch and facts of the trial, soon."""
        with self._changed:
            self._unsent.epochs += [epoch] if epoch else []
            self._unsent.facts |= facts or {}
            self._changed.notify_all()

    def state(self) -> QueueState:
        """The study's state as last seen. Raises ClaimLostError if the trial was taken over."""
        with self._changed:
            if self._error:
                raise self._error
            return self._state

    def flush(self) -> None:
        """Wait until all that was put is stored.

        Raises ClaimLostError when the trial has been taken over, and StudyError when the storage
        stays away.
        """
        self._outages.call(self._flush)

    def _flush(self) -> None:
        with self._changed:
            self._in_haste = True
            self._changed.notify_all()
            while (
                self._unsent
                and not self._error
                and not (self._is_away and self._outages.stop.is_set())
            ):
                self._changed.wait(self._pace.first_report_retry)
            self._in_haste = False
            if self._error:
                raise self._error
            if self._unsent:
                raise RetryLaterError("a stop was asked for while the storage is out of reach")

    def take(self) -> Unsent:
        """End the thread and return what it has not sent."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()
        return self._unsent

    def _work(self) -> None:
        beat_s = grace_s() / 6
        next_beat = time.monotonic() + beat_s
        next_look = time.monotonic() + self._pace.state_look
        not_before = 0.0
        pause = self._pace.first_report_retry
        while (unsent := self._wait(min(next_beat, next_look), not_before)) is not None:
            now = time.monotonic()
            try:
                if unsent or now >= next_beat:
                    self._ledger.report(self._claim, unsent.epochs, **unsent.facts)
                    self._drop(unsent)
                    next_beat = now + beat_s
                if now >= next_look:
                    self._see(self._ledger.place().state)
                    next_look = now + self._pace.state_look
                self._is_away = False
                not_before = 0.0
                pause = self._pace.first_report_retry
            except RetryLaterError as error:
                self._is_away = True
                self._outages.note_outage()
                logger.warning("kept for later, trying again in %.1f s: %s", pause, error)
                not_before = time.monotonic() + pause
                pause = min(pause * 2, self._pace.longest_retry)
            except Exception as error:
                # Raised in the thread that waits for this one, which must not wait for ever.
                if not isinstance(error, GridlessError):
                    error = StudyError(f"{type(error).__name__}: {error}")
                with self._changed:
                    self._error = error
                    self._changed.notify_all()
                return

    def _wait(self, until: float, not_before: float) -> Unsent | None:
        """What to send once there is reason to act; None at the end."""
        with self._changed:
            gathered = None
            while not self._ended:
                now = time.monotonic()
                if self._unsent and gathered is None:
                    gathered = now + self._pace.gather
                due = min(
                    until, gathered or until, 0.0 if self._in_haste and self._unsent else until
                )
                due = max(due, not_before)
                if now >= due:
                    return Unsent(list(self._unsent.epochs), dict(self._unsent.facts))
                self._changed.wait(due - now)
            return None

    def _drop(self, sent: Unsent) -> None:
        with self._changed:
            del self._unsent.epochs[: len(sent.epochs)]
            for name, value in sent.facts.items():
                if self._unsent.facts.get(name) == value:
                    del self._unsent.facts[name]
            self._changed.notify_all()

    def _see(self, state: QueueState) -> None:
        with self._changed:
            self._state = state
