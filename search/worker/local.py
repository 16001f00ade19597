"""Workers on this machine: started, watched, started again when they die, and stopped."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from search.errors import InputError
from search.files import unwritable
from search.worker.devices import Device, environment_for

STOPPED = 3
HOPELESS = 4
"""Exit codes of a worker, beside 0 for «the study is over» and whatever a crash leaves."""
MAX_RESTARTS = 3
STOP_WAIT_S = 15.0


@dataclass(frozen=True)
class Assignment:
    """A study to serve: its name and the folders of its data. Only a study of replicates is told the test folder."""

    name: str
    data: str
    test_data: str | None = None


@dataclass
class _Slot:
    index: int
    device: Device
    process: subprocess.Popen[bytes] | None = None
    n_restarts: int = 0


@dataclass
class LocalWorkers:
    """The worker processes of one command. They end by themselves when this process dies: their stdin closes.

    They load their framework as soon as they are started and wait for `go`, while the command still prepares.
    """

    folder: Path
    """Where their logs go."""
    devices: tuple[Device, ...]
    threads: int
    _slots: list[_Slot] = field(default_factory=list)
    _order: bytes = b""

    def start(self) -> None:
        """Start one worker per entry of `devices`. Raises InputError when their logs can't be written."""
        self._slots = [_Slot(i, device) for i, device in enumerate(self.devices)]
        try:
            for slot in self._slots:
                self._start(slot)
        except OSError as error:
            raise InputError(unwritable(self.folder, error)) from error

    def go(self, studies: Sequence[Assignment], *, storage: str, mlflow: bool) -> None:
        """Let the workers serve `studies`, earlier ones first."""
        order = {"studies": [asdict(s) for s in studies], "storage": storage, "mlflow": mlflow}
        self._order = json.dumps(order).encode()
        for slot in self._slots:
            _tell(slot, self._order)

    def _start(self, slot: _Slot) -> None:
        logs = self.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "search.worker", "--index", str(slot.index), "--device", slot.device.name]
        variables = {"TF_CPP_MIN_LOG_LEVEL": "2"} | os.environ | environment_for(slot.device, threads=self.threads)
        with (logs / f"worker-{slot.index}.log").open("ab") as log:
            slot.process = subprocess.Popen(  # noqa: S603
                command, env=variables, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )

    def check(self) -> bool:
        """Start workers that died, or that somebody stopped, again, a few times each; whether any is still at work."""
        for slot in self._slots:
            code = slot.process.poll() if slot.process else 0
            if code not in {None, 0, HOPELESS} and slot.n_restarts < MAX_RESTARTS:
                slot.n_restarts += 1
                self._start(slot)
                _tell(slot, self._order)
        return any(slot.process and slot.process.poll() is None for slot in self._slots)

    def trouble(self) -> str | None:
        """Why a worker ended before the study was over, if one did: the last line of its log."""
        for slot in self._slots:
            if slot.process and slot.process.poll() not in {None, 0}:
                log = self.folder / "logs" / f"worker-{slot.index}.log"
                lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
                return f"{lines[-1] if lines else 'a worker died'} (see {log})"
        return None

    def stop(self) -> None:
        """Ask the workers to give their trials back and end; make them after STOP_WAIT_S seconds."""
        processes = [s.process for s in self._slots if s.process]
        for process in processes:
            if process.stdin:
                with suppress(BrokenPipeError):
                    process.stdin.close()
        deadline = time.monotonic() + STOP_WAIT_S
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _tell(slot: _Slot, order: bytes) -> None:
    if slot.process and slot.process.stdin:
        with suppress(BrokenPipeError):  # it died already: `check` starts another
            slot.process.stdin.write(order + b"\n")
            slot.process.stdin.flush()
