"""Workers on this machine: started, watched, started again when they die, and stopped."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from search.errors import InputError
from search.files import last_line, unwritable
from search.fork_server import shared, start
from search.registry import folder_last
from search.retry_limits import worker_restarts
from search.secret import without_secrets
from search.study.settings import Settings
from search.training.model_process import PRELOAD
from search.worker.engines.devices import Crew, Device, environment_for, plan_crew
from search.worker.engines.gpu_locks import claim_crew
from search.worker.engines.protocol import STOP_WAIT_S, Terms, Workers, no_options
from search.worker.engines.restarts import Kept, Restarts
from search.worker.engines.work_order import WorkOrder


@dataclass
class _Slot:
    index: int
    device: Device
    kept: Kept

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        return self.kept.process


@dataclass
class LocalWorkers:
    """One worker process per entry of `devices`, on this machine."""

    folder: Path
    """Where their logs go."""
    devices: tuple[Device, ...]
    threads: int
    """CPU threads of each."""
    share: int = 1
    """How many of them share a GPU."""
    max_restarts: int | None = field(default_factory=worker_restarts)
    """How often in a row one is started again; None: for ever, as a service should."""
    fds: tuple[int, ...] = ()
    """Files that they keep open: their claims to GPUs."""
    first: int = 0
    """The number of the first among its command's workers."""
    _slots: list[_Slot] = field(default_factory=list)
    _order: bytes = b""

    def start(self) -> None:
        """A worker per entry of `devices`. Raises InputError if their logs can't be written."""
        self._slots = [
            _Slot(i, device, Kept(Restarts(self.max_restarts)))
            for i, device in enumerate(self.devices, self.first)
        ]
        try:
            for slot in self._slots:
                self._keep(slot)
        except OSError as error:
            raise InputError(unwritable(self.folder, error)) from error

    def go(self, order: WorkOrder) -> None:
        """Let the workers carry out `order`."""
        self._order = order.to_line()
        for slot in self._slots:
            _send(slot, self._order)

    def _keep(self, slot: _Slot) -> None:
        if slot.kept.check(lambda: self._start(slot)):
            _send(slot, self._order)

    def _start(self, slot: _Slot) -> subprocess.Popen[bytes]:
        logs = self.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "search.worker",
            "--index",
            str(slot.index),
            "--device",
            slot.device.name,
        ]
        bound = environment_for(slot.device, threads=self.threads, share=self.share)
        variables = _environment(bound) | shared(bound)
        with self._log(slot).open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                command,
                env=variables,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=self.fds,
            )

    def _log(self, slot: _Slot) -> Path:
        return self.folder / "logs" / f"worker-{slot.index}.log"

    def check(self) -> bool:
        """Start workers again that died or were stopped; whether any is still at work."""
        working = [self._is_at_work(slot) for slot in self._slots]
        return any(working)

    def _is_at_work(self, slot: _Slot) -> bool:
        if slot.kept.code is not None:
            return False
        self._keep(slot)
        return True

    def trouble(self) -> str | None:
        """Why a worker ended before the study was over, if one did: the last line of its log."""
        for slot in self._slots:
            if slot.process and slot.process.poll() not in {None, 0}:
                log = self._log(slot)
                return f"{last_line(log) or 'a worker died'} (see {log})"
        return None

    def stop(self) -> None:
        """Ask the workers to give trials back and end; make them after STOP_WAIT_S."""
        for slot in self._slots:
            slot.kept.close()
        processes = [s.process for s in self._slots if s.process]
        deadline = time.monotonic() + STOP_WAIT_S
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _send(slot: _Slot, order: bytes) -> None:
    if slot.process and slot.process.stdin:
        with suppress(BrokenPipeError):  # it died already: `check` starts another
            slot.process.stdin.write(order)
            slot.process.stdin.flush()


def _environment(bound: dict[str, str]) -> dict[str, str]:
    inherited = without_secrets(os.environ) | folder_last()
    return {"TF_CPP_MIN_LOG_LEVEL": "2"} | inherited | bound


class LocalEngine:
    """This machine's devices; GPUs are claimed for the workers unless they share them."""

    def crew(self, settings: Settings) -> Crew:
        """As `plan_crew` says."""
        if problems := no_options("local", settings):
            raise InputError(problems)
        return plan_crew(
            gpus=settings.gpus,
            trials_per_gpu=settings.trials_per_gpu,
            workers=settings.workers,
            threads=settings.threads,
        )

    def load_ahead(self, crew: Crew) -> None:
        """Start one fork server for all workers; those with GPUs have one each, bound to them."""
        if all(device.gpu is None for device in crew.devices):
            bound = environment_for(crew.devices[0], threads=crew.threads, share=crew.share)
            start(PRELOAD, _environment(bound))

    @contextmanager
    def workers(self, crew: Crew, settings: Settings, terms: Terms) -> Iterator[Workers]:
        """One worker per device of `crew`."""
        if terms.address is not None:
            raise InputError(
                f"--address {terms.address}: workers of this machine have none; give --engine, too"
            )
        self.load_ahead(crew)
        fds: tuple[int, ...] = ()
        notices: tuple[str, ...] = ()
        if not settings.share_gpus:
            crew, claims = claim_crew(crew, holder=terms.holder)
            fds, notices = claims.fds, claims.notices
        try:
            for notice in notices:
                terms.say(f"note: {notice}")
            yield LocalWorkers(
                terms.folder,
                crew.devices,
                crew.threads,
                crew.share,
                max_restarts=terms.max_restarts,
                fds=fds,
            )
        finally:
            if fds:
                claims.close()


ENGINE = LocalEngine()
