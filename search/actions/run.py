"""One command's share of its studies: local workers, watched from start to stop."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum

from search.errors import RetryLaterError, StudyError
from search.paths import room_problem
from search.records import State, TrialRecord
from search.study.spec import StudySpec
from search.study.storage.ledger import TIME_OVER, Ledger, finals_of
from search.study.storage.queue import Place, QueueState
from search.study.storage.study_state import pause
from search.study.storage.workers import WorkerRoster
from search.worker.engines.protocol import Workers
from search.worker.engines.work_order import WorkOrder


class End(StrEnum):
    """Why a command stopped working on its studies."""

    DONE = "done"
    TIMEOUT = "timeout"
    PAUSED = "paused"
    CANCELLED = "cancelled"


Shown = Sequence[tuple[StudySpec, Sequence[TrialRecord]]]
Show = Callable[[Shown], None]
"""Is given each study and its trials every second; studies of finalists come after the others."""
Warn = Callable[[str], None]
"""Is told every second what holds workers up, if something does."""


def run(
    ledgers: Sequence[Ledger],
    workers: Workers,
    *,
    show: Show,
    warn: Warn,
    tick_s: float = 1.0,
) -> End:
    """Serve the studies of `ledgers`, which are on the queue, then their finalists, by `workers`
    until all are over; look at them every `tick_s` seconds.

    However it ends, KeyboardInterrupt included, the workers have given their trials back before it
    returns; when it is interrupted, studies that nobody else works on leave the queue until
    somebody asks for them again. Raises StudyError when workers ended before the studies were over.
    """
    names = tuple(ledger.name for ledger in ledgers)
    order = WorkOrder(ledgers[0].storage.url, names, until_idle=True, allows_pickled=True)
    workers.go(order)
    watch = _Watch(ledgers)
    try:
        while workers.check():
            watch.show(show)
            watch.warn(warn)
            time.sleep(tick_s)
        trouble = workers.trouble()
    except BaseException:
        workers.stop()
        with suppress(
            RetryLaterError
        ):  # it stays on the queue, which costs nothing until a worker asks
            for ledger in watch.look():
                _leave(ledger)
        raise
    finally:
        workers.stop()
    watch.show(show)
    places = [ledger.place() for ledger in watch.look()]
    if trouble and any(place.state is QueueState.OPEN for place in places):
        raise StudyError(trouble)
    return max((_end(place) for place in places), key=list(End).index)


def _end(place: Place) -> End:
    if place.state is QueueState.CANCELLED:
        return End.CANCELLED
    if place.state is QueueState.PAUSED:
        return End.TIMEOUT if place.reason == TIME_OVER else End.PAUSED
    return End.DONE


def _leave(ledger: Ledger) -> None:
    if not any(t.state == State.RUNNING for t in ledger.trials()):
        pause(ledger, "its command was stopped")


class _Watch:
    """The studies, and those of their finalists once they are there."""

    def __init__(self, ledgers: Sequence[Ledger]) -> None:
        self._ledgers = list(ledgers)
        self._roster = WorkerRoster(ledgers[0].storage)

    def look(self) -> Sequence[Ledger]:
        """Raises RetryLaterError when the storage is away."""
        storage = self._ledgers[0].storage
        names = [ledger.name for ledger in self._ledgers]
        self._ledgers += [
            Ledger(storage, name) for name in finals_of(storage, names) if name not in names
        ]
        return self._ledgers

    def show(self, show: Show) -> None:
        # The view stands still while it is away; the workers wait for it themselves.
        with suppress(RetryLaterError):
            ledgers = self.look()
            for ledger in ledgers:
                ledger.place()  # reads the spec again: trials may have been added since
            show([(ledger.spec, ledger.trials()) for ledger in ledgers])

    def warn(self, warn: Warn) -> None:
        notes = [room_problem()]
        with suppress(RetryLaterError):
            names = {ledger.name for ledger in self.look()}
            notes += [
                f"{w.worker}: {w.note}" for w in self._roster.read() if w.note and w.study in names
            ]
        for note in filter(None, notes):
            warn(note)
