"""The control group of this process, of version 2 or 1: what the kernel allows and counts there."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path("/")
_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Of version 2 and of 1: the limit, what is in use, and what of that the kernel may drop."""


def memory_folders(root: Path = ROOT) -> Iterator[Path]:
    """Folders of files about memory: of our own group, then of those that it is in.

    In a container the mount may show our group as its root, whatever its path outside is.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mount = root / "sys/fs/cgroup"
    for fields in (line.split(":", 2) for line in lines):
        if len(fields) != 3:
            continue
        _, controllers, path = fields
        if not controllers or "memory" in controllers.split(","):
            top = mount / "memory" if controllers else mount
            group = top / path.lstrip("/")
            yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(top))


def free_memory(root: Path = ROOT) -> int | None:
    """Bytes that our group may still take, with what is only cached; None where it has no limit."""
    free = []
    for folder in memory_folders(root):
        for limit, usage, cached in _FILES:
            with suppress(OSError, ValueError, KeyError):  # "max", or of the other version
                n_bytes = int((folder / limit).read_text()) - int((folder / usage).read_text())
                rows = (folder / "memory.stat").read_text().splitlines()
                free.append(n_bytes + int(dict(row.split() for row in rows)[cached]))
    return min(free, default=None)
