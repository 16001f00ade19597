"""One command's share of its studies: local workers, watched from start to stop."""

import time
from collections.abc import Callable, Sequence
from enum import StrEnum

from search.errors import RetryLaterError, StudyError
from search.study.control import pause
from search.study.ledger import TIME_OVER, Ledger
from search.study.queue import Place, QueueState
from search.study.records import TrialRecord
from search.worker.local import Workers
from search.worker.order import Order

TICK_S = 1.0


class End(StrEnum):
    """Why a command stopped working on its studies."""

    DONE = "done"
    TIMEOUT = "timeout"
    PAUSED = "paused"
    CANCELLED = "cancelled"


Show = Callable[[Sequence[Sequence[TrialRecord]]], None]
"""Is given the trials of each study every second."""


def run(ledgers: Sequence[Ledger], workers: Workers, *, mlflow: bool, show: Show) -> End:
    """Serve the studies of `ledgers`, which are on the queue, by `workers` until all are over.

    However it ends, KeyboardInterrupt included, the workers have given their trials back before it returns; when it
    is interrupted, studies that nobody else works on leave the queue until somebody asks for them again.
    Raises StudyError when workers ended before the studies were over.
    """
    names = tuple(ledger.name for ledger in ledgers)
    workers.go(Order(storage=ledgers[0].storage.url, studies=names, until_idle=True, mlflow=mlflow))
    try:
        while workers.check():
            _show(ledgers, show)
            time.sleep(TICK_S)
        trouble = workers.trouble()
    except BaseException:
        workers.stop()
        for ledger in ledgers:
            _leave(ledger)
        raise
    finally:
        workers.stop()
    _show(ledgers, show)
    places = [ledger.place() for ledger in ledgers]
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
    try:
        if not any(t.state == "RUNNING" for t in ledger.trials()):
            pause(ledger, "its command was stopped")
    except RetryLaterError:
        return  # it stays on the queue, which costs nothing until a worker asks


def _show(ledgers: Sequence[Ledger], show: Show) -> None:
    try:
        show([ledger.trials() for ledger in ledgers])
    except RetryLaterError:
        return  # the view stands still while the database is away; the workers wait for it themselves
