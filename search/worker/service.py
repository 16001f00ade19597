"""A worker process's day: it picks a study, runs a segment of a trial, and again, until told to
stop or idle.
"""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

from search.errors import GridlessError, InputError, RetryLaterError, StudyError
from search.files import unwritable
from search.limits import grace_s
from search.paths import MIN_FREE_MB, home
from search.records import Ending
from search.study.storage.claim import Owner
from search.study.storage.ledger import Ledger, finals_of
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import Served, open_studies, orphaned_studies
from search.study.storage.trial_rows import DamagedError
from search.study.storage.workers import Roster, WorkerRecord
from search.tracking.protocol import Tracker
from search.worker.data import data_for
from search.worker.engines.order import Order
from search.worker.final_report import Reporter
from search.worker.outages import Patience
from search.worker.study_worker import StudyWorker
from search.worker.trial.sandbox import Sandbox

logger = logging.getLogger(__name__)

SHORTEST_NAP_S, LONGEST_NAP_S = 0.2, 2.0
TIDY_S = 5.0
"""How often a busy worker looks for studies that nobody is at work on and that are to be closed."""
LOOK_S = 1.0
"""How long a worker goes by one look at the queue."""
RETRY_S = 60.0
"""When a study that can't be served here is tried again: its data may have been copied over."""
FIRST_REST_S, LONGEST_REST_S = 5.0, 600.0
_GOODBYE_S = 2.0
_NOTE_CHARS = 300

TrackerFor = Callable[[Ledger], Tracker]
"""Makes the tracker of a study."""


class Service:
    """Serves the studies of an order with one device, as the worker `owner`."""

    def __init__(
        self,
        storage: LedgerStorage,
        order: Order,
        owner: Owner,
        device: str,
        sandbox: Sandbox,
        patience: Patience,
        tracker_for: TrackerFor,
    ) -> None:
        self._storage, self._order, self._owner, self._device = storage, order, owner, device
        self._sandbox, self._patience, self._stop, self._tracker_for = (
            sandbox,
            patience,
            patience.stop,
            tracker_for,
        )
        self._workers: dict[str, StudyWorker] = {}
        self._named = list(order.studies or ())
        """The studies of the order, and those of their finalists once they are there."""
        self._over: set[str] = set()
        self._refused: dict[str, tuple[float, str]] = {}
        """Studies that can't be served here: when to try again, and why."""
        self._open: list[Served] = []
        self._served: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        """When a study was last served, and asked whether it is over."""
        self._looked = 0.0
        self._tidied = time.monotonic()
        self._rest_s = 0.0
        self._ended = threading.Event()
        self._record = WorkerRecord(owner.worker, device)
        self._reporter = (
            Reporter(storage, owner, order.studies, patience) if order.reports else None
        )

    def run(self) -> None:
        """Work until a stop is asked for or, if the order says so, nothing is left to do.

        Raises StudyError when a study that the order names can't be served here, or the storage
        stays away.
        """
        pulse = threading.Thread(target=self._beat, daemon=True)
        pulse.start()
        nap_s = SHORTEST_NAP_S
        try:
            while not self._stop.is_set():
                if self._run_one():
                    nap_s = SHORTEST_NAP_S
                    continue
                if (
                    self._is_idle()
                    and self._order.until_idle
                    and not (self._reporter and self._reporter.is_busy())
                ):
                    return
                self._stop.wait(nap_s)
                nap_s = min(2 * nap_s, LONGEST_NAP_S)
        finally:
            if self._reporter:
                self._reporter.stop()
            self._ended.set()
            pulse.join(_GOODBYE_S)
            with suppress(RetryLaterError):
                Roster(self._storage).leave(self._owner)

    def _run_one(self) -> bool:
        """Run a segment of the first trial that is to be had; whether there was one."""
        self._tidy()
        for name in self._candidates():
            worker = self._worker(name)
            try:
                claim = worker.claim() if worker else None
            except InputError as error:  # it was deleted, or is damaged
                self._forget(name, error)
                continue
            if worker is None or claim is None:
                self._looked = 0.0  # the queue is not as it was when looked at
                if worker is not None:
                    self._close(name, worker)
                continue
            self._served[name] = time.monotonic()
            self._record = self._busy(name, claim.number)
            try:
                outcome = worker.run(claim)
            except InputError as error:  # as above, in the middle of a trial
                self._forget(name, error)
                return True
            except StudyError as error:
                self._refuse(name, error)
                return True
            finally:
                self._record = self._busy()
            if outcome and outcome.ending == Ending.CANCEL:
                self._is_over(name, worker)
            if outcome and outcome.disk_full:
                self._rest(name)
            elif outcome and outcome.ending == Ending.DONE:
                self._rest_s = 0.0
            return True
        return False

    def _busy(self, study: str | None = None, trial: int | None = None) -> WorkerRecord:
        """What to tell of this worker."""
        note = "; ".join(f"can't serve {name}: {why}" for name, (_, why) in self._refused.items())
        return WorkerRecord(self._owner.worker, self._device, study, trial, note[:_NOTE_CHARS])

    def _close(self, name: str, worker: StudyWorker) -> None:
        """Close a study that has nothing to hand out, if it is over: others may keep this worker
        busy for long.
        """
        if time.monotonic() - self._asked.get(name, 0.0) > LOOK_S:
            self._is_over(name, worker)
            self._asked[name] = time.monotonic()

    def _is_over(self, name: str, worker: StudyWorker) -> bool:
        """Whether a study is over; it is forgotten then: a service meets studies without end."""
        try:
            is_over = worker.is_over()
        except InputError as error:  # it was deleted, or is damaged
            self._forget(name, error)
            return True
        if is_over and self._order.studies is None:
            self._workers.pop(name, None)
            self._asked.pop(name, None)
        return is_over

    def _forget(self, name: str, error: InputError) -> None:
        if self._order.studies is not None:
            raise error
        if isinstance(error, DamagedError):  # it is there still, and would be tried again at once
            self._refuse(name, error)
            return
        logger.warning("%s: %s", name, error)
        self._workers.pop(name, None)

    def _tidy(self) -> None:
        """However busy: close studies that nobody is at work on, end what lost workers left, have
        reports written.
        """
        if self._reporter:
            self._reporter.is_busy()
        if self._order.studies is not None or time.monotonic() - self._tidied < TIDY_S:
            return
        self._tidied = time.monotonic()
        quiet = [
            s.name
            for s in self._patience.call(lambda: open_studies(self._storage))
            if not s.n_running
        ]
        for name in [*quiet, *self._patience.call(lambda: orphaned_studies(self._storage))]:
            if worker := self._worker(name):
                self._is_over(name, worker)

    def _candidates(self) -> Iterable[str]:
        if self._order.studies is not None:
            return [name for name in self._named if name not in self._over]
        if time.monotonic() - self._looked > LOOK_S:
            self._open = self._patience.call(lambda: open_studies(self._storage))
            self._looked = time.monotonic()
        # Of studies with as many trials running, the one that this worker served longest ago.
        fair = sorted(
            self._open,
            key=lambda s: (-s.place.priority, s.n_running, self._served.get(s.name, 0.0)),
        )
        return [study.name for study in fair]

    def _worker(self, name: str) -> StudyWorker | None:
        """The worker of study `name`; None while that can't be served here."""
        if name in self._workers:
            return self._workers[name]
        if name in self._refused and self._refused[name][0] > time.monotonic():
            return None
        try:
            self._workers[name] = self._make(name)
            self._refused.pop(name, None)
        except (InputError, StudyError) as error:
            self._refuse(name, error)
            return None
        except OSError as error:
            self._refuse(name, InputError(unwritable(home(), error)))
            return None
        return self._workers[name]

    def _make(self, name: str) -> StudyWorker:
        ledger = self._patience.call(lambda: Ledger(self._storage, name))
        data = data_for(ledger.spec)
        tracker = self._tracker_for(ledger)
        return StudyWorker(
            ledger, data, tracker, self._device, self._owner, self._sandbox, self._patience
        )

    def _refuse(self, name: str, error: GridlessError) -> None:
        """Leave a study alone for a while. Raises `error` where the order names it: nobody else
        will serve it.
        """
        if self._order.studies is not None or self._stop.is_set():
            raise error
        self._workers.pop(name, None)
        self._refused[name] = time.monotonic() + RETRY_S, str(error)
        self._record = self._busy()
        logger.error("study %s is left alone for %.0f s: %s", name, RETRY_S, error)

    def _is_idle(self) -> bool:
        """Whether every study is over: those of the order, or all that are open and can be served
        here.
        """
        if self._order.studies is not None:
            over = {n for n in self._candidates() if (w := self._worker(n)) and self._is_over(n, w)}
            finals = self._patience.call(lambda: finals_of(self._storage, over))
            self._named += [name for name in finals if name not in self._named]
            if self._order.until_idle:
                self._over |= over
            return not self._candidates()
        orphaned = self._patience.call(lambda: orphaned_studies(self._storage))
        workers = {name: self._worker(name) for name in [*self._candidates(), *orphaned]}
        # Of all of them: each closes a study that is over.
        is_over = [self._is_over(name, worker) for name, worker in workers.items() if worker]
        return all(is_over)

    def _rest(self, name: str) -> None:
        """After a full disk failed a trial, wait for room: a little at first, longer if trials go
        on failing.
        """
        self._rest_s = min(max(FIRST_REST_S, 2 * self._rest_s), LONGEST_REST_S)
        logger.error("the disk is full: waiting for room, at most %.0f s", self._rest_s)
        self._record = replace(
            self._busy(name), note=f"the disk is full: waiting for room below {home()}"
        )
        until = time.monotonic() + self._rest_s
        self._stop.wait(FIRST_REST_S)
        while time.monotonic() < until and shutil.disk_usage(home()).free < MIN_FREE_MB * 2**20:
            if self._stop.wait(1.0):
                return
        self._record = self._busy()

    def _beat(self) -> None:
        """Say every few seconds that this worker lives, whether or not it has a trial."""
        roster = Roster(self._storage)
        while True:
            try:
                roster.beat(self._owner, self._record)
                self._patience.note_beat()
            except RetryLaterError as error:
                self._patience.note_outage()
                logger.warning("no heartbeat: %s", error)
            except (
                Exception
            ):  # whatever it is, without this thread nobody would be taken for lost any more
                logger.exception("no heartbeat")
                roster = Roster(self._storage)
            if self._ended.wait(grace_s() / 6):
                return
