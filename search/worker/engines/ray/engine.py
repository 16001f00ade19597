"""Workers on a Ray cluster's nodes, with the same calls as `LocalWorkers`."""

import importlib.util
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.errors import InputError
from search.files import last_line, unwritable
from search.paths import home, storage_url
from search.retry_limits import worker_restarts
from search.study.environment import code_version
from search.study.settings import Settings
from search.worker.engines import protocol
from search.worker.engines.devices import Crew, cluster_crew
from search.worker.engines.protocol import STOP_WAIT_S, Workers, no_options
from search.worker.engines.ray.cluster import ClusterSettings
from search.worker.engines.ray.keeper import Terms, machine
from search.worker.engines.work_order import WorkOrder

WORKER = ("-m", "search.worker")
"""The worker, as arguments of Python."""
_PASSED_ON = (
    "AWS_",
    "AZURE_",
    "FSSPEC_",
    "GRIDLESS_",
    "JAX_",
    "KERAS_BACKEND",
    "MLFLOW_",
    "PG",
    "TF_",
    "XLA_",
)
"""Beginnings of the environment variables that workers heed."""
_KEPT = ("GRIDLESS_HOME", "GRIDLESS_STORAGE_PASSWORD_FILE")
"""Not passed on: a node may have its own, and the order holds the password."""
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
_SHUTDOWN_S = 15.0


@dataclass
class RayWorkers:
    """The workers of one command, placed by Ray. They give their trials back when this process
    dies.

    A worker whose node dies is started on another, once one has room for it.
    """

    folder: Path
    """Where Ray's log goes; each worker's is in its node's home folder."""
    address: str | None
    """The head's address as `ray start` prints it; "auto" for this machine's; None to start Ray."""
    n_workers: int | None
    """None for as many as the cluster has room for."""
    gpus_per_worker: float | None
    """1, or 1/K for K workers on a GPU; 0 for the CPU; None for 1 if there are GPUs, else 0."""
    cpus_per_worker: float | None
    """CPUs, as Ray counts them; None for 0 with a GPU and `threads` without."""
    threads: int
    """CPU threads of each worker."""
    max_restarts: int | None = field(default_factory=worker_restarts)
    """How often in a row a worker is started again; None: for ever, as a service should."""
    program: tuple[str, ...] = WORKER
    n_started: int = 0
    """How many there are, or will be once the cluster has room, after `start`."""
    _process: subprocess.Popen[bytes] | None = None
    _last: dict[str, Any] = field(default_factory=lambda: {"at_work": True, "trouble": None})
    _listener: threading.Thread | None = None

    def start(self) -> None:
        """Join the cluster and start the workers.

        Raises InputError when Ray isn't installed or reached, the cluster doesn't fit the settings,
        or no node has this version of Gridless.
        """
        if importlib.util.find_spec("ray") is None:
            raise InputError(
                "--engine ray needs Ray, which is not installed; run: pip install 'gridless[ray]'"
            )
        self._process = self._start()
        self._send(self._settings().to_line())
        answer = json.loads(self._process.stdout.readline() or "{}") if self._process.stdout else {}
        if "n_workers" not in answer:
            self._process.wait()
            raise InputError(
                answer.get("problems") or [f"Ray could not be started: {self._log_end()}"]
            )
        self.n_started = int(answer["n_workers"])
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _start(self) -> subprocess.Popen[bytes]:
        variables = os.environ | _QUIET | (_private_cluster() if self.address is None else {})
        try:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("ab") as log:
                return subprocess.Popen(
                    [sys.executable, "-m", "search.worker.engines.ray.driver"],
                    env=variables,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            raise InputError(unwritable(self.folder, error)) from error

    def _settings(self) -> ClusterSettings:
        variables = {
            k: v for k, v in os.environ.items() if k.startswith(_PASSED_ON) and k not in _KEPT
        }
        terms = Terms(
            version=code_version(),
            machine=machine(),
            one_machine=True,
            variables=variables,
            home=str(home()),
            threads=self.threads,
            gpus=0.0,
            program=self.program,
            max_restarts=self.max_restarts,
        )
        shared = not storage_url().startswith("sqlite")
        return ClusterSettings(
            self.address,
            self.n_workers,
            self.gpus_per_worker,
            self.cpus_per_worker,
            shared_storage=shared,
            terms=terms,
        )

    def go(self, order: WorkOrder) -> None:
        """Let the workers serve `order`."""
        self._send(json.dumps({"order": order.to_line().decode()}).encode() + b"\n")

    def check(self) -> bool:
        """Whether any worker is at work, or on its way to a node that has room for it."""
        return (
            self._process is not None
            and self._process.poll() is None
            and bool(self._last["at_work"])
        )

    def trouble(self) -> str | None:
        """Why a worker ended before the studies were over, if one did."""
        if self._process is not None and self._process.poll() not in {None, 0}:
            return (
                f"Ray's driver ended, as it does when the cluster's head is lost: {self._log_end()}"
            )
        trouble: str | None = self._last["trouble"]
        return trouble

    def stop(self) -> None:
        """Have the workers give their trials back and end, by force after STOP_WAIT_S seconds."""
        if self._process is None:
            return
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(STOP_WAIT_S + _SHUTDOWN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._listener:
            self._listener.join()

    @property
    def _log(self) -> Path:
        return self.folder / "logs" / "ray.log"

    def _log_end(self) -> str:
        return f"{last_line(self._log) or 'no word'} (see {self._log})"

    def _send(self, line: bytes) -> None:
        if self._process and self._process.stdin:
            with suppress(BrokenPipeError):  # it ended: `check` and `trouble` tell
                self._process.stdin.write(line)
                self._process.stdin.flush()

    def _listen(self) -> None:
        if self._process and self._process.stdout:
            for line in self._process.stdout:
                self._last = json.loads(line)
            self._process.stdout.close()


def _private_cluster() -> dict[str, str]:
    """Variables for a private Ray: whoever reaches one runs code as its user."""
    # By the first, Ray takes 127.0.0.1 for this machine's address, and listens nowhere else.
    # Without a token, it would leave one in the user's home, which changes how clusters are started
    # from there.
    return {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }


class RayEngine:
    """The nodes of a Ray cluster, which chooses their devices itself."""

    def crew(self, settings: Settings) -> Crew:
        """As `cluster_crew` says."""
        return cluster_crew("Ray", settings, no_options("ray", settings))

    def load_ahead(self, crew: Crew) -> None:
        """Nothing: workers on other machines load theirs."""

    @contextmanager
    def workers(self, crew: Crew, settings: Settings, terms: protocol.Terms) -> Iterator[Workers]:
        """As many workers as `settings` ask for, or the cluster has room for."""
        yield RayWorkers(
            terms.folder,
            terms.address,
            settings.workers,
            gpus_per_worker=_gpus_per_worker(settings),
            cpus_per_worker=None,
            threads=crew.threads,
            max_restarts=terms.max_restarts,
        )


def _gpus_per_worker(settings: Settings) -> float | None:
    if settings.gpus == "none":
        return 0.0
    return None if settings.trials_per_gpu == 1 else 1 / settings.trials_per_gpu


ENGINE = RayEngine()
