"""Who holds a trial, and whether that process still lives."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True)
class WorkerIdentity:
    """A worker as the storage knows it: enough to tell here whether its process lives."""

    worker: str
    """For people: its machine and process number."""
    host: str
    pid: int
    born: float

    @classmethod
    def me(cls, worker: str = "") -> "WorkerIdentity":
        """This process, called `worker` or by its machine and process number."""
        return cls(
            worker or f"{socket.gethostname()}/{os.getpid()}",
            _host(),
            os.getpid(),
            _born(os.getpid()),
        )

    def holds(self, claim: Mapping[str, Any]) -> bool:
        """Whether a stored `claim` is this process's."""
        return (claim.get("host"), claim.get("pid"), claim.get("born")) == (
            self.host,
            self.pid,
            self.born,
        )


@dataclass(frozen=True)
class Claim:
    """The right to write to one trial, until it is finished, given back or lost."""

    trial_id: int
    number: int
    token: str
    promoted: bool = False
    """Taken from a rung, where it has earned to go on."""
    new: bool = False
    """Never claimed before."""


def is_lost(claim: Mapping[str, Any], silent_s: float | None, grace_s: float) -> bool:
    """Whether the worker of a stored `claim` is gone: its process on this machine is, or it was
    silent for too long.

    A process that lives and is silent hangs, or can't reach the database: its trial is no more use
    to anybody.
    """
    if silent_s is not None and silent_s > grace_s:
        return True
    return claim.get("host") == _host() and not _lives(int(claim["pid"]), float(claim["born"]))


@cache
def _host() -> str:
    """Host name, boot and PID namespace: inside one of these, a PID means one process."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    space = Path("/proc/self/ns/pid")
    return "/".join(
        [
            socket.gethostname(),
            boot.read_text().strip() if boot.exists() else "",
            os.readlink(space) if space.exists() else "",
        ]
    )


def _lives(pid: int, born: float) -> bool:
    try:
        return _born(pid) == born and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except FileNotFoundError:
        return bool(psutil.pid_exists(pid))  # /proc may hide another user's processes
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False


def _born(pid: int) -> float:
    """When a process began: on Linux in ticks since boot, which setting the clock does not move."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        return float(stat.read_text().rpartition(")")[2].split()[19])
    return float(psutil.Process(pid).create_time())
