"""Compute as it is counted for every system: epochs over the same training images."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self


class BudgetSpentError(BaseException):
    """The budget is spent. No `Exception`: systems would take it for a setting that failed."""


@dataclass
class Meter:
    """What a search has spent, and the validation accuracy of every epoch of it."""

    limit: int | None
    """Epochs that may be spent; None where the system itself knows when to end."""
    started: float = field(default_factory=time.time)
    """When the search began, seconds of Unix time."""
    settings: set[str] = field(default_factory=set)
    """Those that were trained, each as text."""
    values: list[float] = field(default_factory=list)
    """Validation accuracies, fractions, one per epoch spent."""
    seconds: list[float] = field(default_factory=list)
    """When each epoch ended, seconds since `started`."""

    def begin(self, setting: Mapping[str, Any]) -> None:
        """Note that `setting` is trained from now on. Raises BudgetSpentError if none is left."""
        self._check()
        self.settings.add(json.dumps(dict(setting), sort_keys=True))

    def epoch(self, value: float, *, at: float | None = None) -> None:
        """Count an epoch, ended now or `at` Unix time. Raises BudgetSpentError after the last."""
        self.values.append(value)
        self.seconds.append((time.time() if at is None else at) - self.started)
        self._check()

    def _check(self) -> None:
        if self.limit is not None and len(self.values) >= self.limit:
            raise BudgetSpentError

    def write(self, path: Path) -> None:
        """Write what was counted as JSON."""
        counted = {"n_settings": len(self.settings), "values": self.values, "seconds": self.seconds}
        path.write_text(json.dumps(counted), encoding="utf-8")


@dataclass(frozen=True)
class Trace:
    """What a meter counted."""

    n_settings: int
    values: tuple[float, ...]
    seconds: tuple[float, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `Meter.write` wrote."""
        raw: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return cls(int(raw["n_settings"]), tuple(raw["values"]), tuple(raw["seconds"]))

    def improvements(self) -> list[tuple[int, float, float]]:
        """(epochs spent, best accuracy so far, seconds) wherever the best rises."""
        steps: list[tuple[int, float, float]] = []
        for n, (value, seconds) in enumerate(zip(self.values, self.seconds, strict=True), start=1):
            if not steps or value > steps[-1][1]:
                steps.append((n, value, seconds))
        return steps
