"""Files and texts from elsewhere, which may be anything: bounds of kind, length and memory."""

import errno
import json
import os
import stat
from pathlib import Path
from typing import IO, Any

import psutil

from search.control_group import ROOT, free_memory
from search.errors import InputError

MAX_VALUES = 10_000
"""Of a file that people write, with every alias written out."""
MAX_YAML_BYTES = 2**20
_JSON_GROWTH = 10
"""How many times its size JSON takes once it is read."""


def opened(path: str | Path) -> IO[bytes]:
    """Open a regular file to read, never waiting. Raises OSError, for a pipe or folder as well."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return open(descriptor, "rb")


def check_memory(n_bytes: int, what: str) -> None:
    """Raise InputError when `what`, which takes `n_bytes`, has too little memory."""
    if problem := memory_problem(n_bytes):
        rule = f"{what} takes {problem}"
        raise InputError(f"{rule}; make it smaller, or take a machine with more memory")


def memory_problem(n_bytes: int, root: Path = ROOT) -> str | None:
    """Why `n_bytes` are too many, if they don't fit into half of the memory that is free.

    Free is what the machine and our container, as files under `root` tell, both have left.
    """
    of_machine, of_group = psutil.virtual_memory().available, free_memory(root)
    free = of_machine if of_group is None else min(of_machine, of_group)
    if n_bytes <= free / 2:
        return None
    return f"{n_bytes / 1e9:,.1f} GB, more than half of the {free / 1e9:,.1f} GB of memory free"


def read_json(path: str | Path) -> Any:
    """What a JSON file holds. Raises OSError, ValueError for no JSON, InputError for too much."""
    with opened(path) as file:
        return parse_json(file.read(_checked_size(file, path)))


def _checked_size(file: IO[bytes], path: str | Path) -> int:
    n_bytes = os.fstat(file.fileno()).st_size
    check_memory(n_bytes * _JSON_GROWTH, f"{path}: its content")
    return n_bytes


def parse_json(text: bytes | str) -> Any:
    """What JSON means. Raises ValueError, for any depth of nesting or length of number, too."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
