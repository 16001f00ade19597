"""The last word on studies that a service has ended: `python -m search.worker.final_report STUDY`
writes its report.

The storage's URL, which may hold a password, comes by stdin. A process of its own, so that the
worker goes on with other studies meanwhile.
"""

import logging
import os
import subprocess
import sys
import time

from search.errors import GridlessError
from search.paths import home
from search.retry_limits import grace_s
from search.study.storage.claim import WorkerIdentity
from search.study.storage.due_reports import due_reports, take_report
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.workers import WorkerRoster
from search.worker.outages import Outages

logger = logging.getLogger(__name__)

_END_S = 2.0
_MIRROR_S = 60.0
"""How long other reports wait for trackers; `gridless sync` brings what is late."""
_NO_MIRROR = "--no-mlflow"


class FinalReports:
    """Writes the reports that are due, one at a time, for the worker `owner`."""

    def __init__(
        self,
        storage: LedgerStorage,
        owner: WorkerIdentity,
        names: tuple[str, ...] | None,
        outages: Outages,
        *,
        mirrors: bool = True,
    ) -> None:
        """Of the studies `names` only, if these are given; `mirrors` brings them to trackers."""
        self._storage = storage
        self._owner = owner
        self._names = names
        self._outages = outages
        self._mirrors = mirrors
        self._process: subprocess.Popen[bytes] | None = None
        self._study = ""
        self._looked = 0.0
        self._is_due = False
        """Whether a report was due, or written by another worker, at the last look."""
        self._resting: dict[str, float] = {}
        """When a study whose report could not be written is tried again."""

    def is_busy(self) -> bool:
        """Whether a report is due or being written; begins to write it."""
        if self._process is not None and self._process.poll() is None:
            return True
        if self._process is not None:
            self._settle(self._process.returncode)
        if time.monotonic() - self._looked < self._outages.pace.due_look:
            return self._is_due
        self._looked = time.monotonic()
        due = self._outages.call(self._due)
        if name := self._outages.call(lambda: self._take(due)):
            self._start(name)
        self._is_due = bool(due)
        return self._is_due

    def stop(self) -> None:
        """End what is being written; another worker, or `gridless report`, does it again."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _due(self) -> list[str]:
        now = time.monotonic()
        due = [
            name
            for name in due_reports(self._storage)
            if self._names is None or name in self._names
        ]
        return [name for name in due if self._resting.get(name, 0.0) <= now]

    def _take(self, due: list[str]) -> str | None:
        alive = (
            {w.worker for w in WorkerRoster(self._storage).read() if w.silent_s < grace_s()}
            if due
            else set()
        )
        return next(
            (name for name in due if take_report(self._storage, name, self._owner.worker, alive)),
            None,
        )

    def _start(self, name: str) -> None:
        program = [sys.executable, "-m", "search.worker.final_report", name]
        if not self._mirrors:
            program.append(_NO_MIRROR)
        self._process = subprocess.Popen(program, stdin=subprocess.PIPE)  # noqa: S603
        self._study = name
        if self._process.stdin:
            self._process.stdin.write(f"{self._storage.url}\n".encode())
            self._process.stdin.close()

    def _settle(self, code: int) -> None:
        self._process = None
        self._looked = 0.0
        if code:
            wait_s = self._outages.pace.due_retry
            message = "the report of %s could not be written; tried again in %.0f s"
            logger.error(message, self._study, wait_s)
            self._resting[self._study] = time.monotonic() + wait_s
            # Others may try meanwhile.
            self._outages.call(lambda: take_report(self._storage, self._study, "", ()))


def main() -> int:
    """Write the report of the study that is named."""
    from search.report.study_report import report_study  # noqa: PLC0415  # a second to load
    from search.tracking.process import Request, bring_now  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.nice(10)
    name, url = sys.argv[1], sys.stdin.readline().strip()
    try:
        report_study(LedgerStorage(url), name, home() / name)
    except GridlessError as error:
        logger.error("%s: %s", name, error)
        return 1
    logger.info("the report of %s is in %s", name, home() / name)
    if _NO_MIRROR not in sys.argv[2:]:
        # No mirror of another machine can read its files.
        request = Request(url, (name,), only_shared=True)
        bring_now(request, home() / name / "logs" / "trackers.log", wait_s=_MIRROR_S)
    return 0


if __name__ == "__main__":
    sys.exit(main())
