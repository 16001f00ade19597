"""A worker process's day: it runs a segment of a trial, and again, until told to stop or idle."""

import logging
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import replace

from search.errors import InputError, RetryLaterError, StudyError
from search.paths import MIN_FREE_MB, home
from search.records import Ending
from search.retry_limits import grace_s
from search.study.storage.builders import fetch_builder
from search.study.storage.claim import WorkerIdentity
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.workers import WorkerRecord, WorkerRoster
from search.worker.data import data_for
from search.worker.engines.work_order import WorkOrder
from search.worker.final_report import FinalReports
from search.worker.outages import Outages
from search.worker.studies import NamedStudies, QueuedStudies, Studies
from search.worker.study_worker import StudyWorker
from search.worker.trial.sandbox import Sandbox

logger = logging.getLogger(__name__)

_GOODBYE_S = 2.0
_NOTE_CHARS = 300


class Service:
    """Serves the studies of an order with one device, as the worker `owner`."""

    def __init__(
        self,
        storage: LedgerStorage,
        order: WorkOrder,
        owner: WorkerIdentity,
        device: str,
        sandbox: Sandbox,
        outages: Outages,
    ) -> None:
        self._storage = storage
        self._owner = owner
        self._sandbox = sandbox
        self._outages = outages
        self._until_idle = order.until_idle
        self._allows_pickled = order.allows_pickled
        self._studies = self._studies_of(order)
        self._final_reports = (
            FinalReports(storage, owner, order.studies, outages, mirrors=order.mirrors)
            if order.reports
            else None
        )
        self._rest_s = 0.0
        self._ended = threading.Event()
        self._idle_record = WorkerRecord(owner.worker, device)
        self._record = self._idle_record

    def _studies_of(self, order: WorkOrder) -> Studies:
        if order.studies is None:
            return QueuedStudies(self._storage, self._outages, self._make_worker)
        return NamedStudies(
            self._storage,
            self._outages,
            self._make_worker,
            order.studies,
            until_idle=order.until_idle,
        )

    def run(self) -> None:
        """Work until a stop is asked for or, if the order says so, nothing is left to do.

        Raises StudyError when a study that the order names can't be served here, or the storage
        stays away.
        """
        pulse = threading.Thread(target=self._beat, daemon=True)
        pulse.start()
        pace = self._outages.pace
        nap_s = pace.shortest_nap
        try:
            while not self._outages.stop.is_set():
                if self._run_one():
                    nap_s = pace.shortest_nap
                    continue
                if self._studies.are_over() and self._until_idle and not self._is_reporting():
                    return
                self._outages.stop.wait(nap_s)
                nap_s = min(2 * nap_s, pace.longest_nap)
        finally:
            if self._final_reports:
                self._final_reports.stop()
            self._ended.set()
            pulse.join(_GOODBYE_S)
            with suppress(RetryLaterError):
                WorkerRoster(self._storage).leave(self._owner)

    def _run_one(self) -> bool:
        """Run a segment of the first trial that is to be had; whether there was one."""
        self._is_reporting()
        self._studies.tidy()
        work = self._studies.claim()
        if work is None:
            return False
        study, worker, claim = work
        self._record = replace(self._idle_record, study=study, trial=claim.number)
        try:
            outcome = worker.run(claim)
        except InputError as error:  # it was deleted, or is damaged
            self._studies.forget(study, error)
            return True
        except StudyError as error:
            self._studies.refuse(study, error)
            return True
        finally:
            self._record = self._idle_record
        if outcome and outcome.ending == Ending.CANCEL:
            self._studies.is_over(study)
        if outcome and outcome.disk_full:
            self._rest(study)
        elif outcome and outcome.ending == Ending.DONE:
            self._rest_s = 0.0
        return True

    def _is_reporting(self) -> bool:
        """Whether a study's report is due or being written; begins it."""
        return self._final_reports is not None and self._final_reports.is_busy()

    def _make_worker(self, study: str) -> StudyWorker:
        ledger = self._outages.call(lambda: Ledger(self._storage, study))
        allowed = self._allows_pickled
        self._outages.call(lambda: fetch_builder(self._storage, ledger.spec, is_allowed=allowed))
        data = data_for(ledger.spec)
        return StudyWorker(
            ledger,
            data,
            self._idle_record.device,
            self._owner,
            self._sandbox,
            self._outages,
        )

    def _rest(self, study: str) -> None:
        """After a full disk failed a trial, wait for room; longer if trials go on failing."""
        pace = self._outages.pace
        self._rest_s = min(max(pace.shortest_rest, 2 * self._rest_s), pace.longest_rest)
        logger.error("the disk is full: waiting for room, at most %.0f s", self._rest_s)
        note = f"the disk is full: waiting for room below {home()}"
        self._record = replace(self._idle_record, study=study, note=note)
        until = time.monotonic() + self._rest_s
        self._outages.stop.wait(pace.shortest_rest)
        while time.monotonic() < until and shutil.disk_usage(home()).free < MIN_FREE_MB * 2**20:
            if self._outages.stop.wait(1.0):
                return
        self._record = self._idle_record

    def _beat(self) -> None:
        """Say every few seconds that this worker lives, whether or not it has a trial."""
        roster = WorkerRoster(self._storage)
        while True:
            try:
                record = self._record
                note = record.note or self._studies.note[:_NOTE_CHARS]
                roster.beat(self._owner, replace(record, note=note))
                self._outages.note_beat()
            except RetryLaterError as error:
                self._outages.note_outage()
                logger.warning("no heartbeat: %s", error)
            except Exception:
                # Whatever it is: without this thread nobody would be taken for lost any more.
                logger.exception("no heartbeat")
                roster = WorkerRoster(self._storage)
            if self._ended.wait(grace_s() / 6):
                return
