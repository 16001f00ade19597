"""Keeps a worker on a Ray cluster's machine: starts it, again if it ends, and stops it."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from search.errors import InputError
from search.files import last_line, unwritable
from search.retry_limits import worker_restarts
from search.secret import without_secrets
from search.study.environment import code_version
from search.worker.engines.devices import environment_for, given_device
from search.worker.engines.gpu_locks import GpuClaims, claim_gpus
from search.worker.engines.protocol import STOP_WAIT_S
from search.worker.engines.restarts import Kept
from search.worker.engines.work_order import HOPELESS

_KEPT_VARIABLES = ("GRIDLESS_HOME", "GRIDLESS_DATA", "KERAS_HOME")
"""Folders: what a node was started with goes before what the command has."""


@dataclass(frozen=True)
class Terms:
    """A keeper's terms. They hold secrets, and Ray would show a `runtime_env` to anyone."""

    version: str
    """`code_version()` of the command."""
    machine: str
    """`machine()` of the command."""
    one_machine: bool
    """Whether only that machine will do, since the studies are in a file of it."""
    variables: Mapping[str, str]
    """Environment variables of the command that workers heed."""
    home: str
    """The command's home folder, for nodes that were given none of their own."""
    threads: int
    gpus: float
    """Of each worker: 1, a fraction when several share one, 0 for the CPU."""
    program: tuple[str, ...]
    """The worker, as arguments of Python."""
    max_restarts: int | None = field(default_factory=worker_restarts)
    """How often in a row a worker is started again; None: for ever."""

    @property
    def share(self) -> int:
        """How many workers are on one GPU."""
        return round(1 / self.gpus) if 0 < self.gpus < 1 else 1

    def environment(self) -> dict[str, str]:
        """The variables of a process on this node."""
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if os.environ.get(name)}
        variables = (
            {"TF_CPP_MIN_LOG_LEVEL": "2"}
            | os.environ
            | {"GRIDLESS_HOME": self.home}
            | dict(self.variables)
            | kept
        )
        return variables | {"GRIDLESS_HOME": str(Path(variables["GRIDLESS_HOME"]).absolute())}


@dataclass(frozen=True)
class Report:
    """How a worker is."""

    node: str
    """Ray's id of its node."""
    code: int | None
    """Its exit code, None while it is at work, or has still to wait for its GPU."""
    trouble: str | None = None
    """Why it ended early, can't be started here, or has to wait."""

    @property
    def is_at_work(self) -> bool:
        """Whether the worker runs."""
        return self.code is None and self.trouble is None


class Keeper:
    """One worker process. Its calls may get lost and be repeated without harm."""

    def __init__(self, index: int, node: str) -> None:
        self._index, self._node = index, node
        self._kept = Kept()
        self._has_order = False
        self._claims: GpuClaims | None = None

    def serve(self, terms: Terms, order: bytes | None) -> Report:
        """See to it that the worker runs, and has its `order` (a line) once there is one."""
        if problem := _misfit(terms):
            return Report(self._node, HOPELESS, problem)
        variables = terms.environment()
        home = Path(variables["GRIDLESS_HOME"])
        log = home / "logs" / f"worker-{self._index}.log"
        self._kept.restarts.most = terms.max_restarts
        try:
            if self._kept.code is None and self._kept.check(
                lambda: self._start(terms, variables, log)
            ):
                self._has_order = False
        except InputError as error:  # the worker before it may still be giving its trial back
            return Report(self._node, None, f"{socket.gethostname()}: {error}")
        except OSError as error:
            return Report(
                self._node,
                HOPELESS,
                f"{socket.gethostname()}: {unwritable(home, error)} for `ray start` there",
            )
        if order and not self._has_order:
            self._send(order)
        code = self._kept.code
        return Report(
            self._node,
            code,
            (
                f"{(last_line(log) or 'a worker died')} (see {log} on {socket.gethostname()})"
                if code
                else None
            ),
        )

    def stop(self) -> None:
        """Ask the worker to give its trial back and end; make it after STOP_WAIT_S seconds."""
        self._kept.close()
        if process := self._kept.process:
            try:
                process.wait(STOP_WAIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, terms: Terms, variables: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
        device = given_device(gpu=terms.gpus > 0)
        if (
            self._claims is None and terms.share == 1
        ):  # sharers can't each hold a lock: Ray alone counts them
            self._claims = claim_gpus([device], which="all", holder="Ray")
        command = [*terms.program, "--index", str(self._index), "--device", device.name]
        bound = environment_for(device, threads=terms.threads, share=terms.share)
        return _start(
            command,
            without_secrets(variables) | bound,
            log,
            self._claims.fds if self._claims else (),
        )

    def _send(self, order: bytes) -> None:
        process = self._kept.process
        if process and process.stdin and process.poll() is None:
            with suppress(BrokenPipeError):  # it died just now: a later call starts another
                process.stdin.write(order)
                process.stdin.flush()
            self._has_order = True


class Actor(Keeper):
    """A keeper that Ray placed. Kept by `ray.remote(Actor)`, where Ray is known to be installed."""

    def __init__(self, index: int) -> None:
        import ray  # noqa: PLC0415  # an extra

        super().__init__(index, ray.get_runtime_context().get_node_id())


def machine() -> str:
    """What tells this machine, or container, from others."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()} {boot.read_text().strip() if boot.exists() else ''}"


def _misfit(terms: Terms) -> str | None:
    """Why this node can't serve, if it can't."""
    host = socket.gethostname()
    if (version := code_version()) != terms.version:
        return (
            f"{host} has Gridless {version}, the command {terms.version}; install the same on every"
            " node"
        )
    if terms.one_machine and machine() != terms.machine:
        return (
            f"{host} can't open the studies, a file of another machine; set GRIDLESS_STORAGE to a"
            " PostgreSQL URL"
        )
    return None


def _start(
    arguments: list[str], variables: dict[str, str], log: Path, fds: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", *arguments],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            start_new_session=True,
            pass_fds=fds,
        )
