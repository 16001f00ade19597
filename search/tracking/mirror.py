"""Sending an outbox on to MLflow: as often as one likes, from any point, without doubling anything."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from uuid import uuid4

from search.files import locked, write_text
from search.tracking.fold import fold
from search.tracking.outbox import read_events, read_header
from search.tracking.store import StudyStore

_log = logging.getLogger(__name__)

_BATCH = 1000
_SLOWEST_S = 60.0
_NAP_S = 0.2
DRAIN_S = 20.0
"""How long `follow` goes on once it is told to stop, seconds."""


@dataclass(frozen=True)
class SyncResult:
    """How far an outbox has been sent on."""

    n_sent: int
    """Events that this call sent on."""
    n_left: int
    """Events that wait to be sent."""
    error: str | None
    """Why some are left, one line; None if nothing went wrong."""


def sync(folder: Path, *, uri: str, artifact_root: Path | None, limit_s: float | None = None) -> SyncResult:
    """Send what is new in the outbox `folder` to the MLflow store at `uri`, for about `limit_s` seconds.

    `artifact_root` is where a store on this machine keeps artifacts (None: where MLflow would); a server
    decides that itself. Never raises: what goes wrong is in the result; the outbox keeps what was not sent.
    """
    return _Mirror(folder, uri, artifact_root).sync(limit_s, settle=True)


def follow(
    folder: Path,
    *,
    uri: str,
    artifact_root: Path | None,
    stop: Callable[[], bool],
    every_s: float = 2.0,
    drain_s: float = DRAIN_S,
) -> SyncResult:
    """Send on what comes in, every `every_s` seconds and less often while that fails, until `stop()` is true.

    Then send the rest, for about `drain_s` seconds, and return the last result, with `n_sent` over all. A
    """
    mirror = _Mirror(folder, uri, artifact_root)
    n_sent, delay = 0, every_s
    while not stop():
        result = mirror.sync(None, settle=False, stop=stop)
        n_sent += result.n_sent
        delay = min(2 * delay, max(every_s, _SLOWEST_S)) if result.error else every_s
        again = time.monotonic() + delay
        while time.monotonic() < again and not stop():
            time.sleep(min(_NAP_S, every_s))
    last = mirror.sync(drain_s, settle=True)
    return SyncResult(n_sent + last.n_sent, last.n_left, last.error)


class _Mirror:
    """Keeps the connection and what is known of the store from one call to the next."""

    def __init__(self, folder: Path, uri: str, artifact_root: Path | None) -> None:
        self._folder, self._uri, self._artifact_root = folder, uri, artifact_root
        self._store: StudyStore | None = None
        self._token = uuid4().hex

    def sync(self, limit_s: float | None, *, settle: bool, stop: Callable[[], bool] = lambda: False) -> SyncResult:
        until = time.monotonic() + limit_s if limit_s is not None else float("inf")
        n_sent, error = 0, None
        lock = self._folder / ".sync.lock"
        try:
            with locked(lock, wait=False) as is_ours:
                if is_ours:
                    self._take(lock)
                    for n in self._send(settle, lambda: stop() or time.monotonic() > until):
                        n_sent += n
                else:
                    error = "another process is sending this outbox on"
        except Exception as problem:
            # Stores, servers and drivers each raise their own; the remedy is the same: connect and try again.
            self._store = None
            error = _line(problem)
            _log.warning("MLflow: %s", error)
        return SyncResult(n_sent, self._count(), error)

    def _take(self, lock: Path) -> None:
        """Forget what is known of the store if another process had the lock since we did."""
        if lock.read_text(encoding="utf-8") != self._token:
            self._store = None
            lock.write_text(self._token, encoding="utf-8")

    def _send(self, settle: bool, is_over: Callable[[], bool]) -> Iterator[int]:
        """Send batch by batch, yielding how many events each had."""
        header = read_header(self._folder)
        if header is None:
            if self._count():
                raise RuntimeError(f"{self._folder / 'study.json'} is missing or damaged")
            return
        store = self._store = self._store or StudyStore(self._uri, self._artifact_root, header)
        while batch := list(islice(read_events(self._folder, positions := self._positions()), _BATCH)):
            events = [line.event for line in batch if line.event]
            if len(events) < len(batch):
                _log.warning("%d damaged lines skipped in %s", len(batch) - len(events), self._folder)
            for trial, update in fold(events).items():
                if is_over():
                    return
                store.apply(trial, update)
            self._save(store, {**positions, **{line.name: line.end for line in batch}})
            yield len(events)
        if settle:
            store.settle()

    @property
    def _file(self) -> Path:
        return self._folder / "positions.json"

    def _positions(self) -> dict[str, int]:
        """How far each file has been sent to this store; {}, which is harmless, if that isn't known."""
        try:
            saved = json.loads(self._file.read_text(encoding="utf-8"))
            # What another store got, or this one before it was emptied, says nothing here.
            if saved["store"] == self._key and (self._store is None or saved["run"] == self._store.run_id):
                return {str(name): int(end) for name, end in saved["files"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            _log.debug("no positions: %s", error)
        return {}

    def _save(self, store: StudyStore, positions: dict[str, int]) -> None:
        text = json.dumps({"store": self._key, "run": store.run_id, "files": positions})
        write_text(self._file, text)

    @property
    def _key(self) -> str:
        """Tells stores apart without writing down a password that the address may hold."""
        return sha256(self._uri.encode()).hexdigest()[:16]

    def _count(self) -> int:
        try:
            return sum(line.event is not None for line in read_events(self._folder, self._positions()))
        except OSError as error:
            _log.warning("the outbox can't be read: %s", error)
            return 0


def _line(problem: Exception) -> str:
    text = " ".join(str(problem).split()) or type(problem).__name__
    return text if len(text) <= 300 else text[:300] + "…"
