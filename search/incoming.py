"""Files and texts from elsewhere, read within bounds: regular files only, no more values than make
sense, and nothing that does not fit into memory.
"""

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import psutil

from search.errors import InputError

MAX_VALUES = 10_000
"""Of a file that people write, with every alias written out."""
MAX_YAML_BYTES = 2**20
_CGROUP = Path("/sys/fs/cgroup")
_JSON_GROWTH = 10
"""How many times its size JSON takes once it is read."""


def opened(path: str | Path) -> IO[bytes]:
    """Open a regular file for reading. Raises OSError, for a pipe, a device or a folder as well,
    and never waits.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return open(descriptor, "rb")


def check_memory(n_bytes: int, what: str) -> None:
    """Raise InputError when `what`, which takes `n_bytes`, does not fit into half of the memory
    that is free.
    """
    free = min([psutil.virtual_memory().available, *_left_to_container()])
    if n_bytes > free / 2:
        rule = (
            f"{what} takes {n_bytes / 1e9:,.1f} GB, more than half of the {free / 1e9:,.1f} GB of"
            " memory free"
        )
        raise InputError(f"{rule}; make it smaller, or take a machine with more memory")


def _left_to_container() -> Iterator[int]:
    """The bytes that this process's container may still take, where it has a limit."""
    with contextlib.suppress(OSError, ValueError):  # no control groups, or "max"
        yield int((_CGROUP / "memory.max").read_text()) - int(
            (_CGROUP / "memory.current").read_text()
        )


def read_json(path: str | Path) -> Any:
    """What a file of JSON holds. Raises OSError, ValueError when it is no JSON, and InputError when
    it is too large.
    """
    with opened(path) as file:
        return parse_json(file.read(_checked_size(file, path)))


def _checked_size(file: IO[bytes], path: str | Path) -> int:
    n_bytes = os.fstat(file.fileno()).st_size
    check_memory(n_bytes * _JSON_GROWTH, f"{path}: its content")
    return n_bytes


def parse_json(text: bytes | str) -> Any:
    """What JSON means. Raises ValueError: nesting of any depth and numbers of any length are no
    more than wrong.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
