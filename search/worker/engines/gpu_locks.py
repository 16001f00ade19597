"""Claims on GPUs, so that two launchers of one machine, containers included, never share one
unasked.

A claim is a lock (flock) on a file of the GPU's own, in a folder that all processes of the machine
share. The kernel frees it when the last process that has it open ends, however it ends: a launcher
hands it on to its workers.
"""

import errno
import fcntl
import json
import os
import re
import socket
import stat
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from search.errors import InputError
from search.worker.engines.devices import Crew, Device

FOLDER_VARIABLE = "GRIDLESS_GPU_LOCKS"
_SHARED_FOLDER = 0o1777
_SHARED_FILE = 0o666
_HOLDER_CHARS = 500


@dataclass(frozen=True)
class GpuClaims:
    """GPUs that are ours until `close`, and until every process that was handed `fds` has ended."""

    devices: tuple[Device, ...]
    """Those that may be used; a CPU needs no claim."""
    fds: tuple[int, ...]
    """To be passed on to the workers: `subprocess.Popen(…, pass_fds=claims.fds)`."""
    notices: tuple[str, ...] = ()
    """What was left out, and why."""

    def close(self) -> None:
        """Let go. Workers that were handed the claims keep them."""
        for fd in self.fds:
            os.close(fd)


class _BusyError(Exception):
    """Somebody else holds the claim; the text says who."""


def lock_folder() -> Path:
    """Where the claims are: GRIDLESS_GPU_LOCKS, or gridless-gpus among temporary files."""
    return Path(os.environ.get(FOLDER_VARIABLE) or Path(tempfile.gettempdir(), "gridless-gpus"))


def claim_crew(crew: Crew, *, holder: str = "") -> tuple[Crew, GpuClaims]:
    """Claim the GPUs that `crew` needs, and the crew on them.

    Where nobody named the GPUs, free ones take the place of those in use, and fewer workers start
    if there are too few. Raises InputError as `claim_gpus` does.
    """
    n = min(len(crew.devices), len(crew.pool))
    claims = claim_gpus(crew.pool, which="all" if crew.chosen else "free", n=n, holder=holder)
    return crew.limited_to(claims.devices), claims


def claim_gpus(
    devices: Sequence[Device],
    *,
    which: Literal["free", "all"],
    n: int | None = None,
    holder: str = "",
) -> GpuClaims:
    """Claim the first `n` (all for None) of `devices` that are "free", or just the first `n` with
    "all".

    `holder` tells others what for, such as the study's name. Raises InputError, with nothing
    claimed, when none is free, when one is not and "all" are wanted, or when the folder of claims
    can't be used.
    """
    tried = list(devices) if n is None or which == "free" else list(devices[:n])
    got: list[Device] = []
    fds: list[int] = []
    busy: list[str] = []
    for device in tried:
        if len(got) == n:
            break
        try:
            if device.uuid is not None:
                fds.append(_claim(device.uuid, holder))
            got.append(device)
        except _BusyError as error:
            busy.append(f"GPU {device.name} ({device.uuid}) is in use by {error}")
        except OSError as error:
            _close(fds)
            raise InputError(_unusable(error)) from error
    if busy and (which == "all" or not got):
        _close(fds)
        remedy = "wait for it, take others (--gpus), or share it (--share-gpus)"
        raise InputError([f"{text}; {remedy}" for text in busy])
    return GpuClaims(tuple(got), tuple(fds), tuple(f"{text}: left out" for text in busy))


def _claim(uuid: str, holder: str) -> int:
    path = _folder() / f"{re.sub(r'[^A-Za-z0-9-]', '_', uuid)}.lock"
    while True:
        fd = _open(path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(fd, path):
                _sign(fd, holder)
                return fd
        except BlockingIOError as error:
            other = _read_holder(fd)
            os.close(fd)
            raise _BusyError(other) from error
        except BaseException:
            os.close(fd)
            raise
        os.close(
            fd
        )  # somebody cleaned up between opening and locking: the file that counts is another


def _folder() -> Path:
    folder = lock_folder()
    try:
        folder.mkdir(mode=0o700, parents=True)
        folder.chmod(_SHARED_FOLDER)
    except FileExistsError:
        # In a folder that anybody may write, a link would lead wherever its maker likes; a named
        # one was meant.
        status = folder.stat() if os.environ.get(FOLDER_VARIABLE) else folder.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "is a link or no folder", str(folder)) from None
    return folder


def _open(path: Path) -> int:
    """The lock file, made if it is new; any user's, as long as it is a plain file."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        fd = os.open(path, flags)
    except FileNotFoundError:
        try:
            # Exclusively: in a folder like this, the kernel may refuse to «create» another user's
            # existing file.
            fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, _SHARED_FILE)
            os.fchmod(fd, _SHARED_FILE)
        except FileExistsError:
            fd = os.open(path, flags)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(fd)
        raise OSError(errno.EPERM, "is no plain file of its own", str(path))
    return fd


def _is_at(fd: int, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), path.lstat())
    return False


def _sign(fd: int, holder: str) -> None:
    """Say who holds the claim. It is information only, so a full disk does not matter."""
    text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "for": holder[:100]})
    with suppress(OSError):
        os.ftruncate(fd, 0)
        os.pwrite(fd, text.encode(), 0)


def _read_holder(fd: int) -> str:
    """Who holds it, as the file says: any user may have written it."""
    try:
        signed = json.loads(os.pread(fd, _HOLDER_CHARS, 0))
        text = f"process {int(signed['pid'])} on {signed['host']}" + (
            f" for {signed['for']}" if signed["for"] else ""
        )
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
    return "".join(c for c in text if c.isprintable())


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def _unusable(error: OSError) -> str:
    place = error.filename or lock_folder()
    return (
        f"GPUs can't be claimed: {place}: {error.strerror}; set {FOLDER_VARIABLE} to a folder that"
        " all users of these GPUs may write, or claim none (--share-gpus)"
    )
