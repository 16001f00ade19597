"""What a worker tells a tracker about its trials."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class Tracker(Protocol):
    """One method per event of a trial. None of them raises or waits: a tracker that is down fails
    no trial.

    `trial` is the trial's number, from 0; `at` is in Unix seconds. A trial may be started and ended
    several times (paused, taken over from a lost worker): to the reader it stays one trial.
    """

    def start(self, trial: int, *, at: float, tags: Mapping[str, str]) -> None:
        """Tell that a worker began a segment of `trial`, whose state is RUNNING from now on."""

    def params(self, trial: int, params: Mapping[str, Any]) -> None:
        """Tell the trial's params. The first value told for a name stays."""

    def metrics(self, trial: int, step: int, values: Mapping[str, float], *, at: float) -> None:
        """Tell what was measured at `step` (epochs completed, from 1). A step told again is
        dropped.
        """

    def end(self, trial: int, state: str, *, at: float, tags: Mapping[str, str]) -> None:
        """Tell that the segment ended with `state`: WAITING, or one for good: COMPLETE, PRUNED,
        FAIL.
        """

    def summary(
        self, trial: int | None, *, at: float, tags: Mapping[str, str], values: Mapping[str, float]
    ) -> None:
        """Tell what has come of `trial` (None: of the study) by `at`. The latest told of a name
        holds.
        """

    def artifacts(self, trial: int | None, paths: Sequence[Path]) -> None:
        """Tell files or folders to keep with the trial, or with the study when `trial` is None."""


class NullTracker:
    """Tracks nothing."""

    def start(self, trial: int, *, at: float, tags: Mapping[str, str]) -> None:
        """Do nothing."""

    def params(self, trial: int, params: Mapping[str, Any]) -> None:
        """Do nothing."""

    def metrics(self, trial: int, step: int, values: Mapping[str, float], *, at: float) -> None:
        """Do nothing."""

    def end(self, trial: int, state: str, *, at: float, tags: Mapping[str, str]) -> None:
        """Do nothing."""

    def summary(
        self, trial: int | None, *, at: float, tags: Mapping[str, str], values: Mapping[str, float]
    ) -> None:
        """Do nothing."""

    def artifacts(self, trial: int | None, paths: Sequence[Path]) -> None:
        """Do nothing."""
