"""Which studies a worker process serves: those that its order names, or all on the queue."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from search.errors import GridlessError, InputError, StudyError
from search.files import unwritable
from search.paths import home
from search.study.storage.claim import Claim
from search.study.storage.ledger import finals_of
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import OpenStudy, open_studies, orphaned_studies
from search.study.storage.trial_rows import DamagedError
from search.worker.outages import Outages
from search.worker.study_worker import StudyWorker

logger = logging.getLogger(__name__)

MakeWorker = Callable[[str], StudyWorker]
"""Makes the worker of a study by its name. Raises InputError, StudyError or OSError if it can't."""


@dataclass
class ServedStudy:
    """What a worker process remembers of a study. Times are of the monotonic clock."""

    worker: StudyWorker | None = None
    """None while it can't be served here."""
    last_served: float = 0.0
    last_check: float = 0.0
    """When it was asked whether it is over."""
    is_over: bool = False
    refused_until: float = 0.0
    refusal: str = ""
    """Why it can't be served here; empty where it can."""


class Studies(ABC):
    """The studies that one worker process serves. Every method waits while the database is away."""

    def __init__(self, storage: LedgerStorage, outages: Outages, make_worker: MakeWorker) -> None:
        self._storage = storage
        self._outages = outages
        self._make_worker = make_worker
        self._served: dict[str, ServedStudy] = {}
        self._last_look = 0.0

    @abstractmethod
    def candidates(self) -> Sequence[str]:
        """The names of the studies that may have a trial to run, those to be served first first."""

    @abstractmethod
    def refuse(self, name: str, error: GridlessError) -> None:
        """Leave a study alone that can't be served here, or raise `error`."""

    @abstractmethod
    def forget(self, name: str, error: InputError) -> None:
        """Leave a study for good that was deleted or is damaged, or raise `error`."""

    @abstractmethod
    def are_over(self) -> bool:
        """Whether no study has anything left to do here; closes those that are over."""

    @abstractmethod
    def tidy(self) -> None:
        """However busy: close what nobody works on, and end what lost workers left."""

    def claim(self) -> tuple[str, StudyWorker, Claim] | None:
        """The first trial that is to be had, with its study and that one's worker."""
        for name in self.candidates():
            worker = self.worker(name)
            try:
                claim = worker.claim() if worker else None
            except InputError as error:  # it was deleted, or is damaged
                self.forget(name, error)
                continue
            if worker and claim:
                self._study(name).last_served = time.monotonic()
                return name, worker, claim
            self._last_look = 0.0  # the queue is not as it was when looked at
            if worker:
                self._close(name)
        return None

    def worker(self, name: str) -> StudyWorker | None:
        """The worker of study `name`; None while that can't be served here."""
        study = self._study(name)
        if study.worker is not None or study.refused_until > time.monotonic():
            return study.worker
        try:
            study.worker = self._make_worker(name)
        except (InputError, StudyError) as error:
            self.refuse(name, error)
        except OSError as error:
            self.refuse(name, InputError(unwritable(home(), error)))
        else:
            study.refusal = ""
        return study.worker

    def is_over(self, name: str) -> bool:
        """Whether a study that can be served here is over; it is closed then."""
        worker = self.worker(name)
        if worker is None:
            return False
        try:
            return worker.is_over()
        except InputError as error:  # it was deleted, or is damaged
            self.forget(name, error)
            return True

    @property
    def note(self) -> str:
        """Which studies can't be served here, and why."""
        refusals = {name: study.refusal for name, study in list(self._served.items())}
        return "; ".join(f"can't serve {name}: {why}" for name, why in refusals.items() if why)

    def _study(self, name: str) -> ServedStudy:
        return self._served.setdefault(name, ServedStudy())

    def _close(self, name: str) -> None:
        """Close a study without a trial to hand out, if it is over: others may keep us busy."""
        study = self._study(name)
        if time.monotonic() - study.last_check > self._outages.pace.look:
            self.is_over(name)
            study.last_check = time.monotonic()


class NamedStudies(Studies):
    """The studies that an order names, and those of their finalists once they are there.

    An error in any of them ends the worker: nobody else will serve them.
    """

    def __init__(
        self,
        storage: LedgerStorage,
        outages: Outages,
        make_worker: MakeWorker,
        names: Sequence[str],
        *,
        until_idle: bool,
    ) -> None:
        """A study that is over is left for good with `until_idle`, else it may be opened again."""
        super().__init__(storage, outages, make_worker)
        self._until_idle = until_idle
        self._served = {name: ServedStudy() for name in names}

    def candidates(self) -> Sequence[str]:
        """Those that are not over, in the order in which they were named."""
        return [name for name, study in self._served.items() if not study.is_over]

    def refuse(self, name: str, error: GridlessError) -> None:
        """Raise `error`, whichever study it is."""
        del name
        raise error

    def forget(self, name: str, error: InputError) -> None:
        """Raise `error`, whichever study it is."""
        del name
        raise error

    def are_over(self) -> bool:
        """Whether all of them are over, and their finalists'."""
        over = {name for name in self.candidates() if self.is_over(name)}
        for name in self._outages.call(lambda: finals_of(self._storage, over)):
            self._study(name)
        if self._until_idle:
            for name in over:
                self._study(name).is_over = True
        return not self.candidates()

    def tidy(self) -> None:
        """Leave all as it is: a worker of named studies closes each as it goes by."""


class QueuedStudies(Studies):
    """All studies that are open: a service meets them without end, and forgets those that are over.

    One that can't be served here is left alone for a while, and the others are served.
    """

    def __init__(self, storage: LedgerStorage, outages: Outages, make_worker: MakeWorker) -> None:
        super().__init__(storage, outages, make_worker)
        self._open: list[OpenStudy] = []
        self._last_tidied = time.monotonic()

    def candidates(self) -> Sequence[str]:
        """The most urgent, the least busy, and the one served longest ago first."""
        if time.monotonic() - self._last_look > self._outages.pace.look:
            self._open = self._outages.call(lambda: open_studies(self._storage))
            self._last_look = time.monotonic()
        return [study.name for study in sorted(self._open, key=self._turn)]

    def _turn(self, study: OpenStudy) -> tuple[int, int, float]:
        served = self._served.get(study.name, ServedStudy())
        return -study.place.priority, study.n_running, served.last_served

    def refuse(self, name: str, error: GridlessError) -> None:
        """Leave a study alone for a while. Raises `error` once a stop was asked for."""
        if self._outages.stop.is_set():
            raise error
        wait_s = self._outages.pace.refusal
        study = self._study(name)
        study.worker = None
        study.refused_until = time.monotonic() + wait_s
        study.refusal = str(error)
        logger.error("study %s is left alone for %.0f s: %s", name, wait_s, error)

    def forget(self, name: str, error: InputError) -> None:
        """Forget a study that was deleted; one that is damaged is refused."""
        if isinstance(error, DamagedError):  # it is there still, and would be tried again at once
            self.refuse(name, error)
            return
        logger.warning("%s: %s", name, error)
        self._served.pop(name, None)

    def is_over(self, name: str) -> bool:
        """Whether a study that can be served here is over; it is closed and forgotten then."""
        is_over = super().is_over(name)
        if is_over and not self._study(name).refusal:
            self._served.pop(name)
        return is_over

    def are_over(self) -> bool:
        """Whether all that can be served here are over."""
        names = dict.fromkeys([*self.candidates(), *self._orphaned()])
        # All of them are asked: each closes a study that is over.
        is_over = [self.is_over(name) for name in names if self.worker(name)]
        return all(is_over)

    def tidy(self) -> None:
        """Every few seconds, close what nobody works on, and end what lost workers left."""
        if time.monotonic() - self._last_tidied < self._outages.pace.tidy:
            return
        self._last_tidied = time.monotonic()
        studies = self._outages.call(lambda: open_studies(self._storage))
        quiet = [study.name for study in studies if not study.n_running]
        for name in [*quiet, *self._orphaned()]:
            self.is_over(name)

    def _orphaned(self) -> list[str]:
        return self._outages.call(lambda: orphaned_studies(self._storage))
