"""Where a study's trials write."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from search import artifacts
from search.paths import artifacts as artifacts_of
from search.paths import home
from search.records import TrialRecord

_LOG_TAIL_CHARS = 3000


@dataclass(frozen=True)
class TrialFiles:
    """The files and folders of the trials of `study`."""

    study: str

    def log(self, number: int) -> Path:
        """The output of a trial's process, on this machine."""
        return home() / self.study / "logs" / f"trial-{number:04d}.log"

    @property
    def evidence(self) -> str:
        """What is kept of trials for people to look at."""
        return artifacts.join(artifacts_of(self.study), "evidence")

    @property
    def checkpoints(self) -> str:
        """The folder of all checkpoints."""
        return artifacts.join(artifacts_of(self.study), "checkpoints")

    def checkpoint(self, number: int) -> str:
        """The state of a trial after its last epoch."""
        return artifacts.join(self.checkpoints, f"trial-{number:04d}.npz")


def log_tail(log: Path) -> str:
    """The end of a trial's log; empty where there is none."""
    try:
        return log.read_text(errors="replace")[-_LOG_TAIL_CHARS:]
    except OSError:
        return ""


def drop_checkpoints(study: str, trials: Sequence[TrialRecord]) -> None:
    """Remove what checkpoints `study` still has, unless one of its `trials` goes on."""
    if all(trial.ended for trial in trials):
        with suppress(OSError):
            artifacts.remove_tree(TrialFiles(study).checkpoints)
