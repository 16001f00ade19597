"""The mirror's process: what it is asked, how it is started and ended, and what it answers."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from search.registry import folder_last
from search.tracking.follow import Finished

DRAIN_S = 45.0
"""How long it goes on once it is to end, seconds."""
DRAIN_WAIT_S = 60.0
HURRIED_WAIT_S = 3.0
"""After Ctrl-C nobody wants to wait for a tracker."""
ONCE_WAIT_S = 600.0
_ONCE_MARGIN_S = 20.0
"""To begin and to end."""
_DEAD_S = 1.0


@dataclass(frozen=True)
class Request:
    """What a mirror is to do. It holds the database's password, so it goes by a pipe."""

    storage: str
    """The studies' database."""
    studies: tuple[str, ...] | None = None
    """Searches of which all must have arrived in the end; None for all."""
    follow: bool = True
    """Go on until stdin ends; otherwise bring what is there, and break off when stdin ends."""
    limit_s: float = 580.0
    """How long it may take to bring what is there."""
    is_thorough: bool = False
    """Go through what was brought before, too, to see whether it is still there."""
    only_shared: bool = False
    """Leave out trackers that write to this machine: its command has one of its own for them."""

    def to_line(self) -> bytes:
        """The request as one line of JSON, its end included."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Request":
        """The request that `to_line` wrote."""
        raw = json.loads(line)
        return cls(**raw | {"studies": None if raw["studies"] is None else tuple(raw["studies"])})


def answer_line(tracker: str, finished: Finished) -> str:
    """What a mirror says of one tracker: as it begins, that all is left, and in the end."""
    return json.dumps({"tracker": tracker, **asdict(finished)}) + "\n"


def answers(lines: Iterable[bytes]) -> dict[str, Finished]:
    """What a mirror said last of each tracker."""
    rows = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return {row.pop("tracker"): Finished(**row | {"left": tuple(row["left"])}) for row in rows}


def start_mirror(request: Request, log: Path) -> subprocess.Popen[bytes]:
    """Start a mirror; it ends once its stdin is closed, or this process dies."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "search.tracking"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,
            env=os.environ | folder_last(),
        )
    if process.stdin:
        process.stdin.write(request.to_line())
        process.stdin.flush()
    return process


def end_mirror(process: subprocess.Popen[bytes], wait_s: float) -> dict[str, Finished] | None:
    """Let a mirror bring the rest, for at most `wait_s` seconds; what it says, None if it failed
    before it said anything.
    """
    with process:
        try:
            out, _ = process.communicate(timeout=wait_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out = _output_of(process)
        except BaseException:  # Ctrl-C: nobody waits for it any more
            process.kill()
            process.wait()
            raise
    finished = answers(out.splitlines(keepends=True))
    return finished if finished or process.returncode == 0 else None


def _output_of(process: subprocess.Popen[bytes]) -> bytes:
    """What a process said that is dead, though what it started may hold its pipe open."""
    try:
        return process.communicate(timeout=_DEAD_S)[0]
    except subprocess.TimeoutExpired as error:
        return bytes(error.output or b"")


def bring_now(
    request: Request, log: Path, *, wait_s: float = ONCE_WAIT_S
) -> dict[str, Finished] | None:
    """Bring what is there; as `end_mirror`."""
    limit_s = max(wait_s - _ONCE_MARGIN_S, wait_s / 2)
    process = start_mirror(replace(request, follow=False, limit_s=limit_s), log)
    # It breaks off when its stdin ends, so that is kept open until it has answered.
    pipe, process.stdin = process.stdin, None
    try:
        return end_mirror(process, wait_s)
    finally:
        if pipe:
            pipe.close()
