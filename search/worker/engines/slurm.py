"""Workers in jobs of SLURM, one for each device, by submitit.

The order, which holds the database's password, lies in a file beside the jobs' logs that only its
owner may read. Jobs serve for as long as it is there, and is touched now and then.
"""

import importlib.util
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from search.errors import InputError
from search.files import last_line
from search.paths import storage_url
from search.processes import end_descendants
from search.registry import nearest
from search.secret import without_secrets
from search.study.settings import Settings
from search.worker.engines.devices import Crew, cluster_crew, given_device
from search.worker.engines.local import LocalWorkers
from search.worker.engines.protocol import STOP_WAIT_S, Terms, Workers
from search.worker.engines.restarts import Restarts
from search.worker.engines.work_order import HOPELESS, STOPPED, WorkOrder

LOOK_S = 1.0
ASK_S = 30.0
"""Seconds between calls of sacct, which tells of jobs that died without a word."""
TIMEOUT_MIN = 60
"""Of a job, unless another is given; submitit's own is 5."""
PREEMPTION = {signal.SIGUSR1, signal.SIGUSR2}
"""What submitit is told of preemption by. SLURM sends it to every process of a job."""
_ONE = {"nodes", "tasks_per_node", "ntasks_per_node", "gpus_per_node", "gpus_per_task"}
_WHOLE = {"time", "timeout_min", "cpus_per_task", "signal_delay_s", "max_num_timeout"}


@dataclass
class WorkerJob:
    """What a job does: it keeps its device's workers for as long as their command lives."""

    order: Path
    """The file that holds the order, once there is one."""
    workers: LocalWorkers
    """Its workers, but for their device, which SLURM chooses."""
    gpu: bool
    silence_s: float = 120.0
    """A command that has not touched the order for so long is gone; shared folders are slow."""
    _running: LocalWorkers | None = field(default=None, init=False)
    _is_stopped: bool = field(default=False, init=False)

    def __call__(self) -> tuple[int, str | None]:
        """0, STOPPED or HOPELESS, and why a worker was given up, if one was."""
        signal.signal(signal.SIGTERM, self._stop)  # submitit would wait to be killed
        signal.pthread_sigmask(signal.SIG_BLOCK, PREEMPTION)
        devices = (given_device(gpu=self.gpu),) * len(self.workers.devices)
        self._running = replace(self.workers, devices=devices)
        try:
            self._running.start()
            return self._serve(self._running)
        finally:
            self._running.stop()

    def checkpoint(self) -> Any:
        """Give the trials back; what is to run when SLURM has a node again, which is the same."""
        import submitit  # noqa: PLC0415  # an extra

        if self._running:
            self._running.stop()
        return submitit.helpers.DelayedSubmission(replace(self))

    def _stop(self, *_: object) -> None:
        self._is_stopped = True

    def _serve(self, workers: LocalWorkers) -> tuple[int, str | None]:
        touched, heard, has_order = 0, time.monotonic(), False
        while workers.check():
            try:
                line, now = self.order.read_bytes(), self.order.stat().st_mtime_ns
                if now != touched:
                    touched, heard = now, time.monotonic()
                if line.endswith(b"\n") and not has_order:
                    workers.go(WorkOrder.from_line(line))
                    has_order = True
            except OSError as error:  # a shared folder may be away for a moment
                self._is_stopped |= isinstance(error, FileNotFoundError)
            if time.monotonic() - heard > self.silence_s:
                self.order.unlink(missing_ok=True)
            if self._is_stopped:
                return STOPPED, None
            signal.pthread_sigmask(signal.SIG_UNBLOCK, PREEMPTION)
            time.sleep(LOOK_S)
            signal.pthread_sigmask(signal.SIG_BLOCK, PREEMPTION)
        trouble = workers.trouble()
        return HOPELESS if trouble else 0, trouble


@dataclass
class _Slot:
    task: WorkerJob
    restarts: Restarts
    job: Any
    """submitit's."""
    code: int | None = None
    """What the WorkerJob returned, or 1 if SLURM or an error ended it; None before."""
    trouble: str | None = None

    @property
    def has_begun(self) -> bool:
        return bool(self.job.paths.stdout.exists())

    @property
    def is_over(self) -> bool:
        is_last = self.code in {0, HOPELESS} or self.restarts.are_spent
        return self.code is not None and is_last and self.restarts.most is not None

    def look(self) -> None:
        """Note that the job lives, or what it ended with."""
        if self.code is None and self.job.done():
            self.code, self.trouble = self._result()
        elif self.code is None and self.has_begun:
            self.restarts.live()
        elif self.code is None:  # the queue's time is not the job's
            self.restarts.begin()

    def _result(self) -> tuple[int, str | None]:
        if self.job.paths.result_pickle.exists():
            with suppress(RuntimeError):  # it raised an error
                code, trouble = self.job.result()
                return code, trouble
        log = self.job.paths.stderr
        reason = f"{last_line(log) or 'it left no word'} (see {log})"
        return 1, f"job {self.job.job_id} ended as {self.job.state}: {reason}"


@dataclass
class SlurmWorkers:
    """The workers of one command, in jobs that SLURM, or submitit on this machine, runs."""

    terms: Terms
    order: Path
    tasks: Sequence[WorkerJob]
    executor: Mapping[str, Any]
    """How submitit's executor is made, and its parameters."""
    parameters: Mapping[str, Any]
    touch_s: float = 10.0
    """Seconds between two signs of life."""
    _executor: Any = None
    _slots: list[_Slot] = field(default_factory=list)
    _has_stopped: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Submit the jobs. Raises InputError when they are refused."""
        import submitit  # noqa: PLC0415  # an extra

        submitit.core.logger.get_logger().handlers.clear()  # one writes on stdout
        submitit.SlurmJob.watcher = type(submitit.SlurmJob.watcher)(delay_s=ASK_S)
        folder = self.order.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.order, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            threading.Thread(target=self._touch, daemon=True).start()
            self._executor = submitit.AutoExecutor(folder, **self.executor)
            self._executor.update_parameters(**self.parameters)
            for task, job in zip(self.tasks, self._submit(self.tasks), strict=True):
                self._slots.append(_Slot(task, Restarts(self.terms.max_restarts), job))
                self._slots[-1].restarts.begin()
        except (OSError, RuntimeError, AssertionError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"no job was submitted: {reason}; see --engine-options") from error
        numbers = ", ".join(slot.job.job_id for slot in self._slots)
        self.terms.say(f"submitted jobs {numbers}; logs in {folder}")

    def _submit(self, tasks: Sequence[WorkerJob]) -> list[Any]:
        # SLURM keeps the environment, and Ctrl-C is for the command alone.
        secrets = {k: os.environ.pop(k) for k in set(os.environ) - set(without_secrets(os.environ))}
        signals = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return list(self._executor.submit_array(tasks))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, signals)
            os.environ.update(secrets)

    def _touch(self) -> None:
        while not self._has_stopped.wait(self.touch_s):
            with suppress(OSError):
                os.utime(self.order)

    def go(self, order: WorkOrder) -> None:
        """Let the jobs' workers carry out `order`."""
        self.order.write_bytes(order.to_line())

    def check(self) -> bool:
        """Submit jobs again that died or were cancelled; whether any is at work, or waits to be."""
        for slot in self._slots:
            slot.look()
            if slot.code is not None and not slot.is_over and slot.restarts.are_due:
                slot.restarts.again()
                with suppress(OSError, RuntimeError):  # tried again as if it had died at once
                    [slot.job] = self._submit([slot.task])
                    slot.code = slot.trouble = None
        if any(slot.code == 0 for slot in self._slots):  # there is nothing to wait in a queue for
            return any(
                slot.code is None and slot.has_begun and slot.job.state != "PENDING"
                for slot in self._slots
            )
        return not all(slot.is_over for slot in self._slots)

    def trouble(self) -> str | None:
        """Why a job ended before the order was carried out, if one did."""
        return next((slot.trouble for slot in self._slots if slot.trouble), None)

    def stop(self) -> None:
        """Have the jobs give their trials back and end; cancel what is left after STOP_WAIT_S."""
        self._has_stopped.set()
        self.order.unlink(missing_ok=True)
        waiting = [slot for slot in self._slots if not slot.has_begun]
        deadline = time.monotonic() + STOP_WAIT_S + 2 * LOOK_S
        self._cancel(waiting)
        while left := [slot for slot in self._slots if slot.has_begun and not slot.job.done()]:
            if time.monotonic() > deadline:
                self._cancel(left)
                break
            time.sleep(0.1)
        self._slots.clear()  # submitit's jobs look at files when they go, which they can't at exit

    def _cancel(self, slots: Sequence[_Slot]) -> None:
        for slot in slots:
            if self.executor["cluster"] == "local":  # its process is deaf to what submitit sends
                end_descendants(int(slot.job.job_id))
            else:
                slot.job.cancel(check=False)


class SlurmEngine:
    """SLURM's nodes, whose devices it chooses itself, one for each job."""

    def crew(self, settings: Settings) -> Crew:
        """As `cluster_crew` says, of every option; for one GPU where no number was asked for."""
        options = _options(settings)
        crew = cluster_crew("SLURM", settings, _problems(options))
        n_workers = settings.workers or crew.share
        threads = settings.threads or options.get("cpus_per_task", 1) // crew.share or 1
        return replace(crew, devices=crew.pool * n_workers, threads=threads)

    def load_ahead(self, crew: Crew) -> None:
        """Nothing: workers on other machines load theirs."""

    @contextmanager
    def workers(self, crew: Crew, settings: Settings, terms: Terms) -> Iterator[Workers]:
        """A job for each GPU with the workers that share it, or for each worker."""
        if terms.address is not None:
            raise InputError(f"--address {terms.address}: SLURM has none; leave it out")
        options = _options(settings)
        cluster = options.pop("cluster")
        gpu = settings.gpus != "none" and cluster == "slurm"
        order = terms.folder / "logs" / "slurm" / uuid4().hex / "order"
        tasks = []
        for first in range(0, len(crew.devices), crew.share):
            devices = crew.devices[first : first + crew.share]
            workers = LocalWorkers(
                terms.folder, devices, crew.threads, crew.share, terms.max_restarts, first=first
            )
            tasks.append(WorkerJob(order, workers, gpu))
        parameters: dict[str, Any] = {"name": terms.holder, "timeout_min": TIMEOUT_MIN}
        parameters["cpus_per_task"] = crew.threads * crew.share
        if gpu and not {"gres", "gpus_per_task"} & options.keys():
            parameters["gpus_per_node"] = 1
        timeouts = {f"{cluster}_max_num_timeout": options.pop("max_num_timeout", 3)}
        parameters |= {f"slurm_{name}": value for name, value in options.items()}
        yield SlurmWorkers(terms, order, tasks, {"cluster": cluster} | timeouts, parameters)


def _options(settings: Settings) -> dict[str, Any]:
    """The cluster and its parameters, which may be spelled as sbatch or AutoExecutor do, too."""
    options = {"cluster": "slurm"}
    for name, value in settings.engine_options.items():
        options[name.replace("-", "_").removeprefix("slurm_")] = value
    return options


def _problems(options: Mapping[str, Any]) -> list[str]:
    """Why no jobs can be submitted with `options`."""
    problems = []
    if options["cluster"] != "local" and not shutil.which("sbatch"):
        remedy = "run this where SLURM takes jobs, or try it here: --engine-options cluster=local"
        problems.append(f"SLURM's sbatch can't be found; {remedy}")
    if options["cluster"] != "local" and storage_url().startswith("sqlite"):
        problems.append("SQLite can't be shared by nodes; set GRIDLESS_STORAGE to postgresql://…")
    if importlib.util.find_spec("submitit") is None:
        remedy = "run: pip install 'gridless[slurm]'"
        return [*problems, f"--engine slurm needs submitit, which is not installed; {remedy}"]
    import submitit  # noqa: PLC0415  # an extra

    names = {"cluster", "max_num_timeout"} | submitit.SlurmExecutor._valid_parameters()
    names |= submitit.AutoExecutor._valid_parameters()
    for name, value in options.items():
        rule = _rule(name, value) if name in names else nearest(name, names)
        problems += [f"--engine-options {name}={value}: {rule}"] if rule else []
    return problems


def _rule(name: str, value: object) -> str | None:
    """What submitit's parameter `name` breaks, if it does."""
    if name == "cluster" and value not in {"slurm", "local"}:
        return "must be slurm or local"
    if name in _ONE and value != 1:
        return "must be 1: a job is one task with one device"
    if name in _WHOLE and (type(value) is not int or value < 0):
        return "must be a whole number"
    return None


ENGINE = SlurmEngine()
