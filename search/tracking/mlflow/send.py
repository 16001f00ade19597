"""Sending an outbox on to MLflow: as often as one likes, from any point, without doubling
anything.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

from search.files import locked, write_text
from search.secret import masked, redacted
from search.tracking.mlflow.runs import RunMovedError
from search.tracking.mlflow.store import StudyStore
from search.tracking.outbox import LAST_SYNC, file_sizes, read_events, read_header
from search.tracking.update import fold

_log = logging.getLogger(__name__)

_BATCH = 1000
_N_MOVES = 5
_MAX_ERROR = 300


@dataclass(frozen=True)
class SyncResult:
    """How far an outbox has been sent on."""

    n_sent: int
    """Events that this call sent on."""
    n_left: int
    """Events that wait to be sent."""
    error: str | None
    """Why some are left, one line without passwords; None if nothing went wrong."""
    is_busy: bool = False
    """Whether another process is at it."""


def sync(
    folder: Path, *, uri: str, artifact_root: Path | None, limit_s: float | None = None
) -> SyncResult:
    """Send what is new in the outbox `folder` to the MLflow store at `uri`, for about `limit_s`
    seconds.

    `artifact_root` is where a store on this machine keeps artifacts (None: where MLflow would); a
    server decides that itself. Never raises: what goes wrong is in the result; the outbox keeps
    what was not sent.
    """
    return Mirror(folder, uri, artifact_root).sync(limit_s=limit_s, settle=True)


def write_result(folder: Path, result: SyncResult) -> None:
    """Write `result` into last_sync.json of the outbox `folder`, for whoever started the
    process.
    """
    shown = {name: value for name, value in asdict(result).items() if name != "is_busy"}
    try:
        write_text(folder / LAST_SYNC, json.dumps(shown) + "\n")
    except OSError as error:
        _log.warning("the result can't be written: %s", error)


class Mirror:
    """Sends one outbox on, keeping the connection and what is known of the store from one call to
    the next.
    """

    def __init__(self, folder: Path, uri: str, artifact_root: Path | None) -> None:
        self._folder, self._uri, self._artifact_root = folder, uri, artifact_root
        self._store: StudyStore | None = None
        self._token = uuid4().hex
        self._sent: Mapping[str, int] | None = None
        self.is_settled = False
        """Whether the study's run tells how the trials ended that were sent."""

    def is_idle(self) -> bool:
        """Whether nothing was written since all had been sent; costs no more than a look at the
        folder.
        """
        try:
            return self._sent is not None and file_sizes(self._folder) == self._sent
        except OSError:
            return False

    def is_done(self) -> bool:
        """Whether all was sent and settled, by this process or an earlier one; doesn't ask
        MLflow.
        """
        try:
            return self._is_all_sent() and self.is_settled
        except OSError:
            return False

    def sync(
        self,
        *,
        limit_s: float | None = None,
        n_batches: int | None = None,
        settle: bool,
        stop: Callable[[], bool] = lambda: False,
    ) -> SyncResult:
        """Send what is new until `stop()`, for about `limit_s` seconds and at most `n_batches`
        thousand events.

        With `settle`, say at the end whether the study is over by what was sent. Never raises.
        """
        until = time.monotonic() + limit_s if limit_s is not None else float("inf")
        n_sent, error, is_busy = 0, None, False
        lock = self._folder / ".sync.lock"
        try:
            sizes = file_sizes(self._folder)
            with locked(lock, wait=False) as is_ours:
                if is_ours:
                    self._take(lock)
                    for n in self._send_patiently(
                        settle, n_batches, lambda: stop() or time.monotonic() > until
                    ):
                        n_sent += n
                else:
                    error, is_busy = "another process is sending this outbox on", True
        except Exception as problem:
            # Stores, servers and drivers each raise their own; the remedy is the same: connect and
            # try again.
            self._store = None
            error = _line(problem, self._uri)
            _log.warning("MLflow: %s", error)
        n_left = self.count()
        self._sent = sizes if not n_left and error is None else None
        return SyncResult(n_sent, n_left, error, is_busy)

    def _take(self, lock: Path) -> None:
        """Forget what is known of the store if another process had the lock since we did."""
        if lock.read_text(encoding="utf-8") != self._token:
            self._store = None
            lock.write_text(self._token, encoding="utf-8")

    def _send_patiently(
        self, settle: bool, n_batches: int | None, is_over: Callable[[], bool]
    ) -> Iterator[int]:
        """Send batch by batch, looking runs up anew where another host has deleted a twin that was
        written to.
        """
        for _ in range(_N_MOVES):
            try:
                yield from self._send(settle, n_batches, is_over)
            except RunMovedError as moved:
                self._store = None
                _log.debug("run %s has moved", moved)
            else:
                return
        raise RuntimeError("runs are deleted in MLflow faster than they can be looked up")

    def _send(
        self, settle: bool, n_batches: int | None, is_over: Callable[[], bool]
    ) -> Iterator[int]:
        """Send batch by batch, yielding how many events each had."""
        header = read_header(self._folder)
        if header is None:
            if self.count():
                raise RuntimeError(f"{self._folder / 'study.json'} is missing or damaged")
            return
        if not settle and self._is_all_sent():
            return  # without asking MLflow
        store = self._store = self._store or StudyStore(self._uri, self._artifact_root, header)
        while batch := list(
            islice(read_events(self._folder, positions := self._positions()), _BATCH)
        ):
            if n_batches == 0:
                return
            n_batches = None if n_batches is None else n_batches - 1
            events = [line.event for line in batch if line.event]
            if len(events) < len(batch):
                _log.warning(
                    "%d damaged lines skipped in %s", len(batch) - len(events), self._folder
                )
            for trial, update in fold(events).items():
                if is_over():
                    return
                store.apply(trial, update)
            self._save(
                store, {**positions, **{line.name: line.end for line in batch}}, is_settled=False
            )
            yield len(events)
        if settle:
            store.settle()
            self._save(store, self._positions(), is_settled=True)
            # A study that is quiet costs no memory, and knows no better later than what it looks up
            # then.
            self._store = None

    def _is_all_sent(self) -> bool:
        saved = self._saved()
        self.is_settled = saved.get("is_settled") is True
        return bool(saved) and next(read_events(self._folder, self._positions()), None) is None

    @property
    def _file(self) -> Path:
        return self._folder / "positions.json"

    def _saved(self) -> dict[str, Any]:
        """What was noted when something was last sent to this store; {}, which is harmless, if that
        isn't known.
        """
        try:
            saved = json.loads(self._file.read_text(encoding="utf-8"))
            # What another store got, or this one before it was emptied, says nothing here.
            if saved["store"] == self._key and (
                self._store is None or saved["run"] == self._store.run_id
            ):
                return dict(saved)
        except (OSError, ValueError, TypeError, KeyError) as error:
            _log.debug("no positions: %s", error)
        return {}

    def _positions(self) -> dict[str, int]:
        """How far each file has been sent to this store."""
        try:
            return {str(name): int(end) for name, end in self._saved().get("files", {}).items()}
        except (ValueError, TypeError, AttributeError) as error:
            _log.debug("no positions: %s", error)
        return {}

    def _save(self, store: StudyStore, positions: dict[str, int], *, is_settled: bool) -> None:
        note = {
            "store": self._key,
            "run": store.run_id,
            "files": positions,
            "is_settled": is_settled,
        }
        write_text(self._file, json.dumps(note))
        self.is_settled = is_settled

    @property
    def _key(self) -> str:
        """Tells stores apart without writing down a password that the address may hold."""
        return sha256(masked(self._uri).encode()).hexdigest()[:16]

    def count(self) -> int:
        """Return how many events wait to be sent."""
        try:
            return sum(
                line.event is not None for line in read_events(self._folder, self._positions())
            )
        except OSError as error:
            _log.warning("the outbox can't be read: %s", error)
            return 0


def _line(problem: Exception, uri: str) -> str:
    text = redacted(" ".join(str(problem).split()), uri) or type(problem).__name__
    return text if len(text) <= _MAX_ERROR else text[:_MAX_ERROR] + "…"
