"""Whether the kernel's out-of-memory killer struck: the process says nothing, the kernel counts."""

import re
import signal
from contextlib import suppress
from pathlib import Path

from search.control_group import ROOT, memory_folders

KILLED = (
    "out of memory: the kernel killed its process; take a smaller batch_size or network, fewer"
    " workers, or a larger memory limit"
)
_COUNTS = ("memory.events", "memory.oom_control")
"""Files that have it, of version 2 and 1."""
_COUNT = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
_RAISED = 500
"""Added to a trial's badness, of 1000: the kernel takes it before its worker and others."""


def count_kills(root: Path = ROOT) -> int | None:
    """How many processes of our control group the killer has taken; of the whole machine where no
    group counts.

    None where nothing counts, as on other systems than Linux.
    """
    files = [folder / name for folder in memory_folders(root) for name in _COUNTS]
    for file in (*files, root / "proc/vmstat"):
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
