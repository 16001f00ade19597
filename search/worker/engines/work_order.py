"""What a worker process is told to do, and what its exit code says."""

import json
from dataclasses import asdict, dataclass

STOPPED = 3
HOPELESS = 4
"""Exit codes of a worker, beside 0 for «nothing is left to do» and whatever a crash leaves."""


@dataclass(frozen=True)
class WorkOrder:
    """Which studies to serve. It holds the database's password, so it goes by a pipe."""

    storage: str
    """The studies' database."""
    studies: tuple[str, ...] | None = None
    """Names, earlier ones first; None for all that are open on the queue, shared out fairly."""
    until_idle: bool = True
    """End once nothing is left to do; otherwise wait for more."""
    reports: bool = False
    """Write the reports of studies that are over: nobody waits for them who would."""
    mirrors: bool = True
    """Bring those reports to the studies' trackers."""
    allows_pickled: bool = False
    """Run builders that are stored with their studies, which is code of whoever made these."""

    def to_line(self) -> bytes:
        """The order as one line of JSON, its end included."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "WorkOrder":
        """The order that `to_line` wrote."""
        raw = json.loads(line)
        return cls(**raw | {"studies": None if raw["studies"] is None else tuple(raw["studies"])})
