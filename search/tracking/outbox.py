"""The local outbox: events that workers append as lines, for another process to send on.

One file per writer, one JSON object per line. A worker that is killed leaves at most one line
without end.
"""

import json
import logging
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from search.files import locked, write_text
from search.records import State

_log = logging.getLogger(__name__)

LAST_SYNC = "last_sync.json"
"""The file of an outbox that says how far it was sent on last."""
_HEADER = "study.json"
_MAX_PENDING = 100_000


def is_outbox(folder: Path) -> bool:
    """Whether `folder` has a header, readable or not."""
    return os.path.exists(folder / _HEADER)


class Event(BaseModel):
    """One line of an outbox. Fields that its kind has no use for are empty."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["start", "params", "metrics", "end", "summary", "artifacts"]
    trial: int | None = Field(ge=0)
    at: FiniteFloat = Field(ge=0)
    step: int = Field(default=0, ge=0)
    state: State = State.RUNNING
    tags: dict[str, str] = {}
    params: dict[str, Any] = {}
    values: dict[str, float] = {}
    paths: list[str] = []


class Input(BaseModel):
    """A part of a data set that a study's trials use."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(min_length=1, max_length=500)
    """Different for each part of one data set: MLflow tells data by name and digest."""
    digest: str = Field(min_length=1, max_length=36)
    context: str
    """What it is used for: training, validation or test."""
    source: str
    """What loads it: a registered name or a path."""


class Header(BaseModel):
    """What an outbox says of its study."""

    model_config = ConfigDict(frozen=True)

    study: str = Field(min_length=1)
    id: str = Field(pattern=r"^[\w-]+$")
    """Tells this study from an earlier, deleted one of the same name."""
    at: FiniteFloat = Field(ge=0)
    tags: dict[str, str] = {}
    params: dict[str, Any] = {}
    inputs: list[Input] = []


@dataclass(frozen=True)
class Line:
    """A complete line of the outbox's file `name`, which ends at byte `end`; `event` is None if
    corrupt.
    """

    name: str
    end: int
    event: Event | None


class Outbox:
    """A Tracker that appends to its own file in `folder`. Nothing that goes wrong is raised: it is
    logged.

    Lines that can't be written (a full disk) are kept and written before the next one. Once written
    they survive the death of this process by any signal, but not a power cut.
    """

    def __init__(self, folder: Path, writer: str) -> None:
        safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in writer)
        self._path = folder / f"{safe}-{uuid.uuid4().hex[:12]}.jsonl"
        self._pending: deque[bytes] = deque(maxlen=_MAX_PENDING)
        self._lock = threading.Lock()
        self._torn = False
        self._failing = False

    def start(self, trial: int, *, at: float, tags: Mapping[str, str]) -> None:
        """Tell that a worker began a segment of `trial`, whose state is RUNNING from now on."""
        self._append({"kind": "start", "trial": trial, "at": at, "tags": dict(tags)})

    def params(self, trial: int, params: Mapping[str, Any]) -> None:
        """Tell the trial's params. The first value told for a name stays."""
        self._append({"kind": "params", "trial": trial, "at": time.time(), "params": dict(params)})

    def metrics(self, trial: int, step: int, values: Mapping[str, float], *, at: float) -> None:
        """Tell what was measured at `step` (epochs completed, from 1). A step told again is
        dropped.
        """
        self._append(
            {"kind": "metrics", "trial": trial, "at": at, "step": step, "values": dict(values)}
        )

    def end(self, trial: int, state: str, *, at: float, tags: Mapping[str, str]) -> None:
        """Tell that the segment ended with `state`: WAITING, or one for good: COMPLETE, PRUNED,
        FAIL.
        """
        self._append({"kind": "end", "trial": trial, "at": at, "state": state, "tags": dict(tags)})

    def summary(
        self, trial: int | None, *, at: float, tags: Mapping[str, str], values: Mapping[str, float]
    ) -> None:
        """Tell what has come of `trial` (None: of the study) by `at`. The latest told of a name
        holds.
        """
        self._append(
            {
                "kind": "summary",
                "trial": trial,
                "at": at,
                "tags": dict(tags),
                "values": dict(values),
            }
        )

    def artifacts(self, trial: int | None, paths: Sequence[Path]) -> None:
        """Tell files or folders to keep with the trial, or with the study when `trial` is None."""
        names = [str(path.absolute()) for path in paths]
        self._append({"kind": "artifacts", "trial": trial, "at": time.time(), "paths": names})

    def _append(self, event: Mapping[str, Any]) -> None:
        try:
            line = json.dumps(event, default=_plain, separators=(",", ":")).encode() + b"\n"
        except (TypeError, ValueError) as error:
            _log.warning("tracking: an event can't be written as JSON and is dropped (%s)", error)
            return
        with self._lock:
            self._pending.append(line)
            try:
                while self._pending:
                    self._write(self._pending[0])
                    self._pending.popleft()
            except OSError as error:
                if not self._failing:
                    _log.warning(
                        "tracking: %s can't be written, kept for later (%s)", self._path, error
                    )
                self._failing = True
            else:
                self._failing = False

    def _write(self, line: bytes) -> None:
        # A line that was written in part stays behind as a corrupt one, so that it doesn't spoil
        # the next.
        data = b"\n" + line if self._torn else line
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Opened anew each time: a service meets studies without end.
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            n_written = os.write(fd, data)
        finally:
            os.close(fd)
        if n_written < len(data):
            self._torn = self._torn or n_written > 0
            raise OSError(f"{n_written} of {len(data)} bytes written")
        self._torn = False


def _plain(value: object) -> object:
    """`value` as something JSON knows: NumPy's scalars by their number, anything else as text."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "ndim", 1) == 0 else str(value)


def write_header(folder: Path, header: Mapping[str, Any]) -> None:
    """Write what the study is, once: a header that is there already stays.

    `header` has `study` (its name) and may have `tags`, `params`, `inputs`, `at` (when it was made,
    Unix seconds) and `id` (letters, digits, - and _; whatever tells this study from others of its
    name in the study's storage, needed when several machines have outboxes of their own; drawn at
    random when absent). Raises pydantic.ValidationError when `header` is none, OSError when the
    folder can't be written.
    """
    full = Header.model_validate({"id": uuid.uuid4().hex, "at": time.time(), **header})
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".header.lock", wait=True):
        if read_header(folder) is None:
            text = json.dumps(full.model_dump(), default=_plain, indent=1)
            write_text(folder / _HEADER, text + "\n")


def read_header(folder: Path) -> Header | None:
    """Return the study's header, None if there is none that can be read."""
    try:
        return Header.model_validate_json((folder / _HEADER).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def read_events(folder: Path, positions: Mapping[str, int]) -> Iterator[Line]:
    """Yield every complete line after `positions` (bytes by file name, 0 where not named), file by
    file.

    A last line without its end is left for later. A file shorter than its position is read from its
    start.
    """
    for path in sorted(folder.glob("*.jsonl")):
        position = positions.get(path.name, 0)
        with path.open("rb") as file:
            if position > os.fstat(file.fileno()).st_size:
                position = 0
            file.seek(position)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                position += len(line)
                yield Line(path.name, position, _parse(line))


def file_sizes(folder: Path) -> dict[str, int]:
    """Return the size in bytes of each file of events, by name: two equal answers mean nothing new.
    Raises OSError.
    """
    with os.scandir(folder) as entries:
        return {
            entry.name: entry.stat().st_size for entry in entries if entry.name.endswith(".jsonl")
        }


def _parse(line: bytes) -> Event | None:
    try:
        return Event.model_validate_json(line)
    except ValidationError:
        return None
