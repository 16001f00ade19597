"""A file of TensorBoard's events that several processes append to, one after another."""

import math
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from search.files import locked

NAME = "events.out.tfevents.gridless"
"""TensorBoard looks for files that are called so; with one name there is one per folder."""
_VERSION = "brain.Event:2"
_LENGTH = struct.Struct("<Q")
_CHECK = struct.Struct("<I")
_HEAD = _LENGTH.size + _CHECK.size


class EventFile:
    """The events of one folder, locked while it is open, to which nothing is added twice.

    All that was added is written at once in the end: a process that is killed leaves whole events
    and at most one torn one, which the next cuts off. The times of events are those of what they
    tell, so that it writes the same bytes again: a TensorBoard that reads just now goes on there.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = locked(self._path, wait=True)
        self._new = bytearray()
        self._size = 0
        self._series: dict[str, dict[int, float]] = defaultdict(dict)
        """Each tag's values by step, in their order."""

    def __enter__(self) -> Self:
        """Read what is there."""
        self._lock.__enter__()
        for event, end in _events(self._path.read_bytes()):
            self._size = end
            self._note(event)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self._new:
                self._append()
        finally:
            self._lock.__exit__(kind, error, trace)

    def add_scalars(self, values: Mapping[str, float], step: int, at: float) -> None:
        """Those of `values` that are not at `step` yet."""
        points = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        due = [point for point in points if not self._has(point, step)]
        if due:
            self._add(Event(wall_time=at, step=step, summary=Summary(value=due)))

    def add_once(self, summary: Summary, at: float, step: int = 0) -> None:
        """A `summary` without numbers, of which the first one at `step` counts."""
        if step not in self._series[summary.value[0].tag]:
            self._add(Event(wall_time=at, step=step, summary=summary))

    def _add(self, event: Event) -> None:
        if not self._size and not self._new:
            self._new += _record(Event(wall_time=event.wall_time, file_version=_VERSION))
        self._new += _record(event)
        self._note(event)

    def _note(self, event: Event) -> None:
        for point in event.summary.value:
            series = self._series[point.tag]
            # A step that comes again begins the rest anew, for TensorBoard too.
            while series and next(reversed(series)) >= event.step:
                series.popitem()
            series[event.step] = point.simple_value

    def _has(self, point: Summary.Value, step: int) -> bool:
        value = self._series[point.tag].get(step)
        return value is not None and (value == point.simple_value or math.isnan(value))

    def _append(self) -> None:
        with self._path.open("r+b") as file:
            file.truncate(self._size)
            file.seek(self._size)
            file.write(self._new)


def _record(event: Event) -> bytes:
    content = event.SerializeToString(deterministic=True)
    length = _LENGTH.pack(len(content))
    checks = [_CHECK.pack(masked_crc32c(part)) for part in (length, content)]
    return b"".join((length, checks[0], content, checks[1]))


def _events(content: bytes) -> Iterator[tuple[Event, int]]:
    """The whole events in `content`, each with where it ends."""
    start = 0
    while start + _HEAD <= len(content):
        length = content[start : start + _LENGTH.size]
        body = start + _HEAD
        end = body + _LENGTH.unpack(length)[0] + _CHECK.size
        check = content[start + _LENGTH.size : body]
        if end > len(content) or check != _CHECK.pack(masked_crc32c(length)):
            break
        yield Event.FromString(content[body : end - _CHECK.size]), end
        start = end
