"""What a tracker promises: trials and studies are brought to it from the storage, by one process at
a time.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from search.records import Epoch, Search, StudyRecord, TrialRecord


class Tracker(Protocol):
    """Keeps studies elsewhere. An entry point of the group `gridless.trackers` makes one from an
    `Ids`.

    Both methods may raise anything when what they write to is out of reach: they are called again
    later, with the same and more. They may be called again after they succeeded, too, so that
    bringing a thing twice must change nothing.
    """

    target: str
    """What it writes to, for people, without passwords: an address or a folder."""
    is_local: bool
    """Whether that lies on this machine, so that another machine has one of its own."""

    def trial_changed(self, study: StudyRecord, trial: TrialRecord, new: Sequence[Epoch]) -> None:
        """Bring `trial` as it stands; `new` are its epochs that were not brought before.

        `study`, the trial's own, has no trials here. Raises GoneError when what had been brought of
        it is there no more.
        """

    def study_ended(self, search: Search, files: Sequence[Path]) -> None:
        """Bring what came of `search`: it is over, or a report of it was just written.

        `files` are the report's, where they lie on this machine. Raises as `trial_changed`.
        """


class Ids(Protocol):
    """Under which ids a tracker keeps studies and trials, for all processes: the first stays."""

    def get(self, study: str, trial: int | None = None) -> str | None:
        """The id of `trial` of `study` (None: of the study itself), if one was reserved."""

    def reserve(self, study: str, trial: int | None, new: str) -> str:
        """Keep the id `new` unless there is one already; the one that holds."""


class GoneError(Exception):
    """What had been brought of a study is there no more: all of it is to be brought again."""


class NotReadyError(Exception):
    """This process can't use a tracker: a package, an address or a password is missing."""


class RefusedError(Exception):
    """A tracker won't take this study, but others, until somebody mends what the message says."""
