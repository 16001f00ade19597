"""Prepared data is locked while somebody uses it, so that nobody removes it meanwhile.

A folder's lock is a file beside it, which the kernel frees when a process ends, however it ends.
Where no lock can be had, as in a folder that can't be written, there is none.
"""

import fcntl
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Use:
    """Holds folders, which may not be there yet, while it lives; waits for a removal to end."""

    def __init__(self, *folders: Path) -> None:
        for folder in folders:
            with suppress(OSError):
                folder.parent.mkdir(parents=True, exist_ok=True)
                weakref.finalize(self, os.close, _locked(_lock_file(folder), fcntl.LOCK_SH))


@contextmanager
def unused(folder: Path) -> Iterator[bool]:
    """Keep others from using `folder`, which is to be removed; whether nobody uses it."""
    file = _lock_file(folder)
    try:
        fd = _locked(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
        return
    except OSError:
        yield True
        return
    try:
        yield True
        if not folder.exists():
            file.unlink(missing_ok=True)
    finally:
        os.close(fd)


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _locked(file: Path, how: int) -> int:
    """The lock file, open and locked. Raises BlockingIOError when another use forbids `how`."""
    while True:
        fd = _open(file)
        try:
            fcntl.flock(fd, how)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), file.stat()):
                    return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # whoever held it removed it: the file that counts is another


def _open(file: Path) -> int:
    """Open to write, which NFS wants of those that lock alone; to read another user's."""
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except PermissionError:
        return os.open(file, os.O_RDONLY | os.O_CLOEXEC)
