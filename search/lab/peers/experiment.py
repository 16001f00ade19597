"""Every system on every task with every seed: one process each, in turns, kept as they end."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from search.lab.experiment import run_at_once
from search.lab.peers.meter import Trace
from search.lab.peers.task import Task
from search.lab.runs_file import Key
from search.study.environment import cpu_name
from search.worker.engines.devices import Device, environment_for
from search.worker.engines.protocol import STOP_WAIT_S

_LOG_LINES = 3
_GRACE_S = 2 * STOP_WAIT_S
"""A study waits for its workers, and then has its own end to see to."""


@dataclass(frozen=True)
class Setup:
    """One search."""

    system: str
    task: Task

    @property
    def key(self) -> Key:
        """System, task and seed."""
        return self.system, self.task.name, self.task.seed


@dataclass(frozen=True)
class Done:
    """A search that has ended."""

    setup: Setup
    trace: Trace | None
    reason: str = ""
    """Why there is no trace."""


def in_turns(systems: Sequence[str], tasks: Sequence[Task]) -> list[Setup]:
    """All searches by task and seed, another system first each time: none has the quiet hours."""
    by_turn = enumerate(sorted(tasks, key=lambda t: t.seed))
    setups = []
    for turn, task in by_turn:
        for i in range(len(systems)):
            system = systems[(i + turn) % len(systems)]
            setups.append(Setup(system, task))
    return setups


class Searches:
    """Runs searches, `jobs` at a time."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._live: set[subprocess.Popen[bytes]] = set()
        self._is_stopping = False

    def run(self, setups: Sequence[Setup], keep: Callable[[Done], None]) -> bool:
        """Run all `setups`, each given to `keep` when done; Ctrl-C gives up what runs: False."""
        calls = [partial(self._search, setup) for setup in setups]
        with ThreadPoolExecutor(self._jobs) as pool:
            return run_at_once(pool, calls, keep, self._stop)

    def _stop(self) -> None:
        self._is_stopping = True
        for process in list(self._live):
            _end(process)

    def _search(self, setup: Setup) -> Done:
        with tempfile.TemporaryDirectory(
            prefix="gridless-peers-", ignore_cleanup_errors=True
        ) as name:
            folder = Path(name)
            setup.task.write(folder / "task.json")
            with (folder / "log").open("wb") as log:
                code = self._wait(_start(setup, folder, log))
            if code == 0:
                return Done(setup, Trace.read(folder / "trace.json"))
            text = (folder / "log").read_text(encoding="utf-8", errors="replace")
            lines = text.strip().splitlines()
            return Done(setup, None, f"exit code {code}: " + " / ".join(lines[-_LOG_LINES:]))

    def _wait(self, process: "subprocess.Popen[bytes]") -> int:
        self._live.add(process)
        try:
            if self._is_stopping:
                _end(process)
            return process.wait()
        finally:
            self._live.discard(process)
            _end(process)  # what it may have left behind


def _start(setup: Setup, folder: Path, log: IO[bytes]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603  # this very package
        [sys.executable, "-m", "search.lab.peers", setup.system, "task.json", "trace.json"],
        cwd=folder,
        stdout=log,
        stderr=log,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        env=_environment(setup.task.threads),
    )


def _environment(threads: int) -> dict[str, str]:
    source = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
    bound = environment_for(Device(cpu_name()), threads=threads)
    return os.environ | bound | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all of its group: told first, so that each can end its own, then killed."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
        os.killpg(process.pid, signal.SIGKILL)
