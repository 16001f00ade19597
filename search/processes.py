"""A process with a keeper, which ends all that it started when it ends, in any session."""

import ctypes
import gc
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import NoReturn

import psutil

_END_S = 5.0
"""How long the kernel may take to end processes; it does not while a driver holds on to one."""
_LOOK_S = 0.01
_LONGEST_PARENT = 57
"""Characters: under a longer folder, a socket's path would exceed its 107 bytes."""
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def stay_kept(lifeline: Connection | None = None) -> None:
    """Fork. Returns in the child, in a folder for temporary files of its own; this process stays as
    its keeper.

    The keeper ends as the child does or, without waiting for it, when `lifeline` is closed at its
    other end (without one: when it is asked to by SIGINT or SIGTERM, to which it is deaf
    otherwise). Before, it ends all that descends from the child and removes the folder. To be
    called before any thread is started.
    """
    folder = _temporary_folder()
    keeper = os.getpid()
    _control(_PR_SET_CHILD_SUBREAPER, 1)  # on Linux no descendant gets away, whoever its parent was
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # until the keeper can hear them
    child = os.fork()
    if child == 0:
        _control(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if lifeline:
            lifeline.close()
        if folder:
            os.environ["TMPDIR"] = tempfile.tempdir = folder
        return
    status = 1 << 8
    try:
        status = _watch(child, lifeline)
        if end_descendants(keeper):
            with suppress(ChildProcessError):
                while True:
                    os.wait()
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        _end_as(status)


@contextmanager
def loading_for_good() -> Iterator[None]:
    """Keep the garbage collector off what is imported here, during the import and ever after."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def end_descendants(pid: int) -> bool:
    """Kill all that descends from the process `pid`; whether it is dead, within seconds."""
    deadline = time.monotonic() + _END_S
    while (descendants := _descendants(pid)) and time.monotonic() < deadline:
        for descendant in descendants:
            with suppress(psutil.Error):
                descendant.kill()
        time.sleep(_LOOK_S)
    return not descendants


def _descendants(pid: int) -> list[psutil.Process]:
    """All that descends from the process `pid` and is not dead already."""
    living = []
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if process.status() != psutil.STATUS_ZOMBIE:
                    living.append(process)
    return living


def _watch(child: int, lifeline: Connection | None) -> int:
    """The status that `child` ended with; 0 if the keeper was told not to wait for it."""
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN if lifeline else lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    while (status := _reap(child)) is None:
        ready = wait([awake, *([lifeline] if lifeline else [])])
        numbers = set(os.read(awake, 4096)) if awake in ready else set()
        if lifeline in ready or numbers - {signal.SIGCHLD}:
            return 0
    return status


def _reap(child: int) -> int | None:
    """Take note of dead children, adopted ones too; the status of `child` if it is among them."""
    status = None
    with suppress(ChildProcessError):
        while True:
            pid, wait_status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                status = wait_status
    return status


def _temporary_folder() -> str | None:
    """None where there is no room for one, or sockets in it would have too long a path."""
    with suppress(OSError):
        if len(tempfile.gettempdir()) <= _LONGEST_PARENT:
            return tempfile.mkdtemp(prefix="gridless-")
    return None


def _control(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _end_as(status: int) -> NoReturn:
    """End as a process of this wait status did, so that whoever started it reads the same."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)
