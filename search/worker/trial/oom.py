"""Whether the kernel's out-of-memory killer struck: the process says nothing, the kernel counts."""

import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

KILLED = (
    "out of memory: the kernel killed its process; take a smaller batch_size or network, fewer"
    " workers, or a larger memory limit"
)
_COUNT = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
_RAISED = 500
"""Added to a trial's badness, of 1000: the kernel takes it before its worker and others."""


def count_kills(root: Path = Path("/")) -> int | None:
    """How many processes of our control group the killer has taken; of the whole machine where no
    group counts.

    None where nothing counts, as on other systems than Linux.
    """
    for file in (*_group_files(root), root / "proc/vmstat"):
        with suppress(OSError):
            if count := _COUNT.search(file.read_text()):
                return int(count[1])
    return None


def was_killed(exitcode: int | None, before: int | None, after: int | None) -> bool:
    """Whether the killer took a process that ended with `exitcode`, by its counts around it."""
    return (
        exitcode == -signal.SIGKILL and before is not None and after is not None and after > before
    )


def volunteer() -> None:
    """Let the kernel take this process first when memory runs out."""
    file = Path("/proc/self/oom_score_adj")
    with suppress(OSError, ValueError):  # not on other systems, and perhaps not in a sandbox
        file.write_text(str(min(1000, int(file.read_text()) + _RAISED)))


def _group_files(root: Path) -> Iterator[Path]:
    """Files with the count of our own group: of version 2, then of version 1.

    In a container the mount may show our group as its root, whatever its path outside is.
    """
    try:
        groups = [
            line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines()
        ]
    except OSError:
        return
    mount = root / "sys/fs/cgroup"
    for fields in groups:
        if len(fields) != 3:
            continue
        _, controllers, path = fields
        group = path.lstrip("/")
        if not controllers:
            yield from (mount / group / "memory.events", mount / "memory.events")
        elif "memory" in controllers.split(","):
            yield from (
                mount / "memory" / group / "memory.oom_control",
                mount / "memory/memory.oom_control",
            )
