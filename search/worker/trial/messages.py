"""What a trial's process tells its worker. It is answered after EpochDone only."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from search.records import Ending
from search.strategies.protocol import Decision
from search.training.memory import Memory


@dataclass(frozen=True)
class Started:
    """The process runs: from here on its time is the trial's own, not the framework's loading."""


@dataclass(frozen=True)
class Built:
    """The network stands and training is about to begin."""

    n_params: int


@dataclass(frozen=True)
class EpochDone:
    """An epoch was completed and is in the checkpoint; the process waits for an answer."""

    metrics: Mapping[str, Any]
    memory: Memory | None = None
    """The most that the process has held so far."""


@dataclass(frozen=True)
class Measured:
    """What was asked for beside values of epochs, by the names of facts: latency_ms …"""

    facts: Mapping[str, float]


@dataclass(frozen=True)
class Evaluated:
    """A replicate was scored: {split, accuracy, loss, n}."""

    evaluation: Mapping[str, Any]


@dataclass(frozen=True)
class Ended:
    """The segment is over; why, where its ending wants a reason."""

    ending: Ending
    reason: str = ""
    untrainable: bool = False
    disk_full: bool = False
    """Whether it failed for want of room on a disk, which the next trial would want, too."""
    memory: Memory | None = None
    """The most that the process has held."""


Message = Started | Built | EpochDone | Measured | Evaluated | Ended


class WorkerPipe:
    """A trial's way to its worker. Its use ends the trial once the worker is gone."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def send(self, message: Message) -> None:
        """Tell the worker."""
        try:
            self._pipe.send(message)
        except ConnectionError:
            os._exit(1)

    def hear(self) -> Decision:
        """What the worker answers to an EpochDone."""
        try:
            decision = Decision(self._pipe.recv())
        except (EOFError, ConnectionError):
            os._exit(1)
        return decision
